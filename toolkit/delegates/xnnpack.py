"""Asks the XNNPACK CPU delegate's rules about one operator. XNNPACK is what runs on the CPU by default."""

from __future__ import annotations

from converters.tflite_graph.read import TfliteGraph
from toolkit.delegates.op_view import OpView, view
from toolkit.delegates.tables import commit, xnnpack_table
from toolkit.delegates.verdict import Refusal, Verdict
from toolkit.delegates.xnnpack_checks import INTERPRETERS, UNPACKED_BY, Check, tensors
from toolkit.errors import DelegateError

_LEFT_PACKED_LINE = 7410


def judge_op(seen: OpView) -> Verdict:
    """The first rule an operator breaks, as the delegate stops there.

    Raises:
        DelegateError: the table has a kind of check this version cannot interpret.
    """
    table = xnnpack_table()
    rules = table["ops"].get(seen.op.kind)
    if rules is None:
        return Verdict(refusals=(_refusal(table["not_listed"]["line"], "unmapped", f"XNNPACK has no {seen.op.kind}"),))
    for check in rules["checks"]:
        interpreter = INTERPRETERS.get(check["kind"])
        if interpreter is None:
            raise DelegateError(f"unknown kind of XNNPACK check {check['kind']!r}", where=_source(check["line"]))
        if check.get("optional") and seen.tensor(check["tensor"]) is None:
            continue
        if not interpreter(check, seen):
            return Verdict(refusals=(_refusal(check["line"], check["kind"], _message(check, seen)),))
    return Verdict()


def unpacking(graph: TfliteGraph) -> set[int]:
    """Operators that only unpack a constant (DEQUANTIZE, DENSIFY): done once, before anything runs."""
    found: set[int] = set()
    for op in graph.ops:
        if op.kind not in UNPACKED_BY or len(op.inputs) != 1 or len(op.outputs) != 1 or op.inputs[0] < 0:
            continue
        source, target = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
        made = any(op.inputs[0] in graph.ops[index].outputs for index in found)
        if op.kind == "DENSIFY":
            types = source.dtype in ("FLOAT16", "INT8", "FLOAT32") and source.dtype == target.dtype
            usable = source.data is not None and source.is_sparse and types
        else:
            usable = (source.data is not None or made) and not source.is_sparse and target.dtype == "FLOAT32"
            usable = usable and (source.dtype == "FLOAT16" or (source.dtype == "INT8" and len(source.scales) > 0))
        if usable:
            found.add(op.index)
    return found


def left_packed(graph: TfliteGraph) -> dict[int, Verdict]:
    """Those of `unpacking` that an operator reads which the delegate refuses: they stay on the CPU."""
    candidates = unpacking(graph)
    refused = [op for op in graph.ops if op.index not in candidates and not judge_op(view(graph, op)).accepted]
    needed = {tensor for op in refused for tensor in op.inputs}
    message = "a constant is only unpacked by the delegate when all its readers are delegated"
    verdict = Verdict(refusals=(_refusal(_LEFT_PACKED_LINE, "left_packed", message),))
    return {index: verdict for index in candidates if graph.ops[index].outputs[0] in needed}


def _source(line: int) -> str:
    table = xnnpack_table()
    return f"{table['source']['file']}:{line}@{commit(table)}"


def _refusal(line: int, kind: str, message: str) -> Refusal:
    return Refusal(kind=kind, message=message, source=_source(line))


def _message(check: Check, seen: OpView) -> str:
    message = str(check["message"])
    if check["kind"] == "n_inputs":
        return f"{len(seen.inputs)} inputs; {message}"
    if check["kind"] == "n_outputs":
        return f"{len(seen.outputs)} outputs; {message}"
    names = check.get("tensors") or ([check["tensor"]] if "tensor" in check else [])
    if not names:
        return message
    found = [t for name in names for t in tensors(seen, name) if t is not None]
    shown = ", ".join(f"{t.dtype} {list(t.shape)}" for t in found) or "absent"
    return f"{', '.join(names)}: {message}; found {shown}"
