"""Lets QUANTIZE do the clipping where a signal is split by level: an 8-bit range ends where the clip does.

    x -> MAXIMUM -> MINIMUM -> QUANTIZE -> quiet        =>      x -> QUANTIZE -> quiet
    `-> SUB of that clip -> QUANTIZE -> loud                    `-> SUB of its DEQUANTIZE -> QUANTIZE -> loud

Rounding saturates, so that the quiet part is the same. The loud part takes over what the quiet one really left, its
rounding included, which is less than half a step of either and vanishes when the loud part is rounded. Two passes over
the whole signal less; at the audio rate, moving memory is what these operators cost.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph import additions, edges
from converters.tflite_graph.buffers import compact
from converters.tflite_graph.flatbuffer import dump, load
from converters.tflite_graph.fuse_constants import kind_of
from converters.tflite_graph.widened_constants import drop_unused_tensors

_BUILTIN: Final = schema.BuiltinOperator
_CLIPS: Final = (_BUILTIN.MINIMUM, _BUILTIN.MAXIMUM)
_INT8: Final = (-128, 127)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Split:
    """Positions among the operators: the clips in the order they run, the QUANTIZE of their value, the SUB of it."""

    clips: tuple[int, ...]
    rounding: int
    rest: int


def without_saturating_clips(content: bytes) -> bytes:
    """The file in which no clip stands before a QUANTIZE whose range ends at the same values.

    Args:
        content: a file of one graph.

    Returns:
        The same bytes where no signal is split by level, and where a range ends elsewhere.
    """
    model = load(content)
    (graph,) = model.subgraphs
    splits = [found for index in range(len(graph.operators)) if (found := _split(model, graph, index))]
    if not splits:
        return content
    instead: dict[int, list[Any]] = {}
    for split in splits:
        instead |= _rewired(model, graph, split)
    graph.operators = [made for i, operator in enumerate(graph.operators) for made in instead.get(i, [operator])]
    drop_unused_tensors(graph, model)
    compact(model)
    return dump(model)


def _split(model: Any, graph: Any, index: int) -> _Split | None:
    """The split whose SUB stands at a position, when its clip can go."""
    rest = graph.operators[index]
    if kind_of(model, rest) != _BUILTIN.SUB:
        return None
    source, value = (int(tensor) for tensor in rest.inputs)
    ends, clips = {_BUILTIN.MAXIMUM: -np.inf, _BUILTIN.MINIMUM: np.inf}, []
    inner = value
    while inner != source:
        maker = edges.maker(graph, inner)
        clip = None if maker is None else graph.operators[maker]
        if clip is None or (kind := kind_of(model, clip)) not in _CLIPS or not _read_once(graph, inner, value):
            return None
        end = _constant(model, graph, int(clip.inputs[1]))
        if end is None or np.isfinite(ends[kind]):
            return None
        ends[kind] = end
        clips.insert(0, maker)
        inner = int(clip.inputs[0])
    others = [reader for reader in edges.readers(graph, value) if reader != index]
    if not clips or len(others) != 1 or kind_of(model, graph.operators[others[0]]) != _BUILTIN.QUANTIZE:
        return None
    rounded = graph.tensors[int(graph.operators[others[0]].outputs[0])]
    if not _saturates_at(rounded, ends[_BUILTIN.MAXIMUM], ends[_BUILTIN.MINIMUM]) or not _only_rounded(
        model, graph, rest
    ):
        return None
    return _Split(clips=tuple(clips), rounding=others[0], rest=index)


def _saturates_at(rounded: Any, low: float, high: float) -> bool:
    """Whether an 8-bit tensor ends within a step of both values; a side that is not clipped ends anywhere."""
    if rounded.type != schema.TensorType.INT8 or len(rounded.quantization.scale) != 1:
        return False
    step, zero = float(rounded.quantization.scale[0]), int(rounded.quantization.zeroPoint[0])
    first, last = (step * (value - zero) for value in _INT8)
    return all(not np.isfinite(end) or abs(end - reached) <= step for end, reached in ((low, first), (high, last)))


def _only_rounded(model: Any, graph: Any, operator: Any) -> bool:
    """Whether all that reads an operator's result rounds it, and so does not see a part of a step."""
    readers = edges.readers(graph, int(operator.outputs[0]))
    return bool(readers) and all(kind_of(model, graph.operators[i]) == _BUILTIN.QUANTIZE for i in readers)


def _rewired(model: Any, graph: Any, split: _Split) -> dict[int, list[Any]]:
    """What stands at the positions of a split's operators from now on; names of tensors tell whose they are."""
    rounding, rest = graph.operators[split.rounding], graph.operators[split.rest]
    clipped, rounded = int(rounding.inputs[0]), int(rounding.outputs[0])
    graph.tensors.append(copy.copy(graph.tensors[clipped]))
    held = len(graph.tensors) - 1
    back = additions.operator(model, "DEQUANTIZE", [rounded], held)
    rounding.inputs = [int(graph.operators[split.clips[0]].inputs[0])]
    rest.inputs = [int(rest.inputs[0]), held]
    gone: dict[int, list[Any]] = {position: [] for position in (*split.clips, split.rounding)}
    return gone | {split.clips[-1]: [rounding, back]}


def _constant(model: Any, graph: Any, tensor: int) -> float | None:
    """The one number a float32 constant holds."""
    data = model.buffers[graph.tensors[tensor].buffer].data
    if graph.tensors[tensor].type != schema.TensorType.FLOAT32 or data is None or len(data) != 4:
        return None
    return float(np.ascontiguousarray(data, np.uint8).view("<f4")[0])


def _read_once(graph: Any, tensor: int, last: int) -> bool:
    """Whether a value between two clips has no other reader; the last clip's readers are looked at by themselves."""
    return tensor == last or len(edges.readers(graph, tensor)) == 1
