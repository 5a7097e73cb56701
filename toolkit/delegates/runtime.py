"""The TFLite runtime itself: which release knows every operator of a file, at the version the file asks for.

An interpreter registers each operator for a range of versions and refuses a file that asks for a later one, whatever
the delegate. 8-bit weights beside float activations ask for late ones: matrices with a scale for each row came with
2.17, tables with 2.18.
"""

from __future__ import annotations

import re
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.flatbuffer import content_of
from toolkit.delegates.tables import commit, runtime_table
from toolkit.errors import DelegateError
from toolkit.results import OperatorAge, RuntimeNeed

Release = tuple[int, ...]
_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
_CUSTOM = schema.BuiltinOperator.CUSTOM


def parse_release(text: str) -> Release:
    """``2.17`` or ``2.17.0`` as numbers that compare.

    Raises:
        DelegateError: it is no release.
    """
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?", text.strip())
    if found is None:
        raise DelegateError(
            f"{text!r} is no release of the TFLite runtime",
            code="delegate/unknown-release",
            hint="give TensorFlow's number, e.g. 2.16",
        )
    return tuple(int(number or 0) for number in found.groups())


def runtime_need(source: bytes | Path, name: str) -> RuntimeNeed:
    """The oldest release that loads a file, all of its graphs.

    Args:
        source: a TFLite file that was read or written by this toolkit before.
        name: what to call it.
    """
    ages = _ages(content_of(source))
    known = [age for age in ages if age.release]
    release = max((age.release for age in known), key=parse_release, default="")
    table = runtime_table()
    return RuntimeNeed(
        file=name,
        release=release,
        newest=tuple(age for age in known if age.release == release),
        unknown=tuple(f"{age.op} {age.version}" for age in ages if not age.release),
        source=f"{table['source']['file']}@{commit(table)}",
    )


def runtime_needs(folder: Path) -> tuple[RuntimeNeed, ...]:
    """Of every file of a bundle, by name."""
    return tuple(runtime_need(path, path.name) for path in sorted(folder.glob("*.tflite")))


def check_runtime(source: bytes, part: str, wanted: str) -> None:
    """Refuses a file that a wanted release does not load.

    Args:
        source: the file.
        part: for the message.
        wanted: release; empty is any.

    Raises:
        DelegateError: an operator came later, or the table says nothing of it.
    """
    if not wanted:
        return
    limit = parse_release(wanted)
    late = [age for age in _ages(source) if not age.release or parse_release(age.release) > limit]
    if not late:
        return
    named = ", ".join(f"{age.op} version {age.version} ({age.release or 'in no release known here'})" for age in late)
    raise DelegateError(
        f"TFLite {wanted} does not know all of its operators: {named}",
        code="delegate/runtime-too-old",
        where=part,
        hint="int8-weights asks for 2.17 (tables: 2.18); int8-storage and int8 for 2.7 or less, float16 for 1.15. "
        "Choose another precision in the recipe, or ship a newer runtime with the app",
    )


def _ages(content: bytes) -> list[OperatorAge]:
    """Every operator that is used, at its version, once; by name."""
    model = schema.Model.GetRootAs(content)
    used = {
        graph.Operators(at).OpcodeIndex()
        for graph in map(model.Subgraphs, range(model.SubgraphsLength()))
        for at in range(graph.OperatorsLength())
    }
    found = set()
    for index in used:
        code = model.OperatorCodes(index)
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = (code.CustomCode() or b"").decode("utf-8", "replace")
        found.add((f"custom {custom}" if kind == _CUSTOM else _NAMES.get(kind, f"operator {kind}"), code.Version()))
    ops = runtime_table()["ops"]
    return [OperatorAge(op=op, version=version, release=_release(ops, op, version)) for op, version in sorted(found)]


def _release(ops: dict[str, list[str | None]], op: str, version: int) -> str:
    releases = ops.get(op, [])
    return (releases[version - 1] or "") if 0 < version <= len(releases) else ""
