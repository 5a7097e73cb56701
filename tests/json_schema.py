"""Checks data against a JSON Schema, for the keywords that the project's schemas use; any other keyword is an error.

https://json-schema.org/draft/2020-12. Written out because no validator is among the locked packages.
"""

from __future__ import annotations

from typing import Any

_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
_ANNOTATIONS = {"$schema", "$defs", "title", "description", "default"}


def violations(data: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, path: str = "$") -> list[str]:
    """What of the schema the data breaks, each with its place; empty when it follows it."""
    root = schema if root is None else root
    found: list[str] = []
    for keyword, wanted in schema.items():
        if keyword in _ANNOTATIONS or (keyword == "additionalProperties" and "properties" in schema):
            continue
        found += _check(keyword, wanted, data, root, path)
    if isinstance(data, dict) and "properties" in schema:
        for name, value in data.items():
            inner = schema["properties"].get(name, schema.get("additionalProperties", {}))
            found += (
                violations(value, inner, root, f"{path}.{name}") if inner is not False else [f"{path}: has {name!r}"]
            )
    return found


def _check(keyword: str, wanted: Any, data: Any, root: dict[str, Any], path: str) -> list[str]:
    match keyword:
        case "$ref":
            return violations(data, root["$defs"][wanted.removeprefix("#/$defs/")], root, path)
        case "anyOf":
            tried = [violations(data, option, root, path) for option in wanted]
            return [] if any(not each for each in tried) else [f"{path}: fits none of {len(tried)} forms", *tried[0]]
        case "type":
            return [] if _is(data, wanted) else [f"{path}: {type(data).__name__}, not {wanted}"]
        case "const":
            return [] if data == wanted else [f"{path}: {data!r}, not {wanted!r}"]
        case "enum":
            return [] if data in wanted else [f"{path}: {data!r} is none of {wanted}"]
        case "properties":
            return []
        case "required":
            return [f"{path}: lacks {name!r}" for name in wanted if isinstance(data, dict) and name not in data]
        case "items":
            inside = enumerate(data) if isinstance(data, list) else ()
            return [line for i, value in inside for line in violations(value, wanted, root, f"{path}[{i}]")]
        case "additionalProperties":
            inside = data.items() if isinstance(data, dict) and isinstance(wanted, dict) else ()
            return [line for name, value in inside for line in violations(value, wanted, root, f"{path}.{name}")]
    raise NotImplementedError(f"{path}: keyword {keyword!r}")


def _is(data: Any, kind: str) -> bool:
    if kind in ("number", "integer"):
        right = (int, float) if kind == "number" else int
        return isinstance(data, right) and not isinstance(data, bool)
    return isinstance(data, _TYPES[kind])
