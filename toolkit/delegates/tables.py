"""The delegates' own acceptance rules, transcribed from LiteRT's sources with a line number on every check."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def nnapi_table() -> dict[str, Any]:
    """Every check of ``NNAPIDelegateKernel::Validate``, by operator."""
    return _read("nnapi_ops.json")


@cache
def gpu_table() -> dict[str, Any]:
    """Every check of the classic GPU delegate and of the LiteRT GPU accelerator (ML Drift), by operator."""
    return _read("gpu_ops.json")


@cache
def coreml_table() -> dict[str, Any]:
    """Every check of the Core ML delegate's ``IsNodeSupportedByDelegate``, by operator."""
    return _read("coreml_ops.json")


@cache
def xnnpack_table() -> dict[str, Any]:
    """Every check of the XNNPACK delegate's ``VisitNode``, by operator."""
    return _read("xnnpack_ops.json")


@cache
def runtime_table() -> dict[str, Any]:
    """The release each version of an operator came with (``FindMinimumRuntimeVersionForOp``), by operator."""
    return _read("runtime_versions.json")


@cache
def qnn_table() -> dict[str, Any]:
    """Operators LiteRT's Qualcomm compiler translates, and what QNN refuses for an NPU with integers only."""
    return _read("qnn_ops.json")


@cache
def hint_table() -> dict[str, Any]:
    """Advice by operator and kind of rule, and by kind of rule alone."""
    return _read("hints.json")


def commit(table: dict[str, Any]) -> str:
    """Short hash of the LiteRT commit that a table was read from."""
    return str(table["source"]["commit"])[:12]


def _read(name: str) -> dict[str, Any]:
    return json.loads((files("toolkit.delegates") / "tables" / name).read_text(encoding="utf-8"))
