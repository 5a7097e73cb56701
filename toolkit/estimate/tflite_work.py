"""What the operators of a .tflite file ask of a processor."""

from __future__ import annotations

from dataclasses import dataclass

from converters.tflite_graph.read import TfliteGraph, TfliteOp
from toolkit.estimate.workload import Format, Kind, OpWork

_KINDS: dict[str, Kind] = {
    "CONV_2D": "conv",
    "TRANSPOSE_CONV": "conv",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "matmul",
    "BATCH_MATMUL": "matmul",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "matmul",
}
_FREE = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
_LOOKUPS = frozenset({"GATHER", "EMBEDDING_LOOKUP", "GATHER_ND"})
_EIGHT_BIT = frozenset({"INT8", "UINT8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOp:
    """An operator of a file with its work.

    Attributes:
        index: place in the file.
        work: what it asks for.
        format: number format it computes in.
    """

    index: int
    work: OpWork
    format: Format


def file_work(graph: TfliteGraph) -> tuple[FileOp, ...]:
    """Work of every operator that costs anything; reshapes and constants that are widened once are left out."""
    widened = {
        op.outputs[0]: graph.tensors[op.inputs[0]]
        for op in graph.ops
        if op.kind == "DEQUANTIZE" and graph.tensors[op.inputs[0]].data is not None
    }
    found = []
    for op in graph.ops:
        if op.kind in _FREE or (op.outputs and op.outputs[0] in widened):
            continue
        found.append(_file_op(graph, op, frozenset(widened)))
    return tuple(found)


def _file_op(graph: TfliteGraph, op: TfliteOp, widened: frozenset[int]) -> FileOp:
    read = [index for index in op.inputs if index >= 0]
    constant = [index for index in read if index in widened or graph.tensors[index].data is not None]
    runtime = [index for index in read if index not in constant]
    kind = _KINDS.get(op.kind, "other")
    form = _format(graph, [*runtime, *op.outputs])
    weights = 0 if op.kind in _LOOKUPS or kind == "other" else sum(_elements(graph, index) for index in constant)
    stored = [graph.tensors[index] for index in constant if index not in widened]
    hybrid = form == "float" and any(tensor.dtype in _EIGHT_BIT for tensor in stored)
    moved = list(op.outputs) if op.kind in _LOOKUPS else [*runtime, *op.outputs]
    return FileOp(
        index=op.index,
        format=form,
        work=OpWork(
            kind=kind,
            macs=graph.multiply_adds(op),
            weights=weights,
            activations=sum(_elements(graph, index) for index in moved) * (2 if op.kind in _LOOKUPS else 1),
            weight_bytes=sum(tensor.nbytes for tensor in stored) if hybrid and weights else None,
        ),
    )


def _format(graph: TfliteGraph, indices: list[int]) -> Format:
    dtypes = {graph.tensors[index].dtype for index in indices}
    if dtypes & _EIGHT_BIT:
        return "w8a8"
    return "w8a16" if "INT16" in dtypes else "float"


def _elements(graph: TfliteGraph, index: int) -> int:
    count = 1
    for size in graph.tensors[index].shape:
        count *= int(size)
    return count
