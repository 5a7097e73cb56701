"""Facts kept inside a TFLite file: recipe, spec, layouts, names; as JSON in a metadata buffer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.errors import InputError
from converters.tflite_graph.buffers import compact
from converters.tflite_graph.flatbuffer import add_buffer, content_of, dump, load

METADATA_NAME = "conversion"


def write_metadata(content: bytes, facts: Mapping[str, Any]) -> bytes:
    """The file with ``facts`` (JSON values) stored in it, replacing earlier ones; keys are sorted.

    Raises:
        InputError: the file is no TFLite file, or a fact is no JSON value.
    """
    model = load(content)
    try:
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"the metadata cannot be written as JSON: {error}") from error
    model.metadata = [entry for entry in model.metadata or () if _name(entry) != METADATA_NAME]
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA_NAME, add_buffer(model, text.encode("utf-8"))
    model.metadata.append(entry)
    compact(model)
    return dump(model)


def read_metadata(source: bytes | Path) -> dict[str, Any]:
    """The facts stored in a file; empty when there are none.

    Raises:
        InputError: the file is damaged, or its metadata is no JSON object.
    """
    model = load(content_of(source), where=str(source) if isinstance(source, Path) else "")
    for entry in model.metadata or ():
        if _name(entry) != METADATA_NAME:
            continue
        try:
            text = np.ascontiguousarray(model.buffers[entry.buffer].data, np.uint8).tobytes().decode("utf-8")
            facts = json.loads(text)
        except (IndexError, TypeError, ValueError) as error:
            raise InputError(f"the file's metadata is damaged: {error}", hint="write or fetch it again") from error
        if not isinstance(facts, dict):
            raise InputError("the file's metadata is no JSON object", hint="write or fetch it again")
        return facts
    return {}


def _name(entry: Any) -> str:
    return entry.name.decode("utf-8") if isinstance(entry.name, bytes) else entry.name
