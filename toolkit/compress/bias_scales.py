"""Gives every integer convolution and matrix product a bias in its own scale.

A bias is added to sums of input times weight, and has their scale: the input's times the weights', channel by channel.
TensorFlow's converter (2.19, ``int16x8``) lets operators whose float biases are equal share one integer bias, in the
scale of one of them: the phases of a transposed convolution, which all have the bias of the whole, get wrong numbers
without a word (9.5 dB instead of 49.6 on a kernel of 3 with stride 2).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.additions import constant
from converters.tflite_graph.flatbuffer import dump, load
from converters.tflite_graph.read import TfliteGraph, TfliteTensor, read_tflite
from toolkit.errors import AuditError

_PLACES: Final = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""Where input, weights and bias stand among an operator's inputs."""
BIAS_INPUT: Final = {kind: bias for kind, (_, _, bias) in _PLACES.items()}
"""Where the bias stands alone."""
_SAME: Final = 1e-4
"""Relative; a scale is a product of two that was rounded to float32."""


def with_own_biases(content: bytes) -> bytes:
    """A file of one graph in which each bias has its operator's scale; the same bytes where all had."""
    found = read_tflite(content)
    misfits = _misfits(found)
    if not misfits:
        return content
    model = load(content)
    (graph,) = model.subgraphs
    for index, scales in misfits.items():
        operator, place = graph.operators[index], BIAS_INPUT[found.ops[index].kind]
        operator.inputs = [int(tensor) for tensor in operator.inputs]
        operator.inputs[place] = _restated(model, graph, found.tensors[operator.inputs[place]], scales)
    return dump(model)


def check_bias_scales(graph: TfliteGraph, where: str) -> None:
    """Holds every integer bias against the scale of the sums it is added to.

    Raises:
        AuditError: one is in another scale, and would be added as another number.
    """
    for index in _misfits(graph):
        name = graph.tensors[graph.ops[index].outputs[0]].name
        raise AuditError(
            f"the bias of {name!r} is not in the scale of the sums it is added to",
            code="precision/bias-scale",
            where=where,
            hint="ask for float32 there with a rule, and report the model: the toolkit should have mended the file",
        )


def _misfits(graph: TfliteGraph) -> dict[int, np.ndarray]:
    """Operators whose bias is in another scale, with the scale it should have."""
    found = {}
    for op in graph.ops:
        places = _PLACES.get(op.kind)
        if places is None or len(op.inputs) <= places[2] or min(op.inputs[place] for place in places) < 0:
            continue
        source, weights, bias = (graph.tensors[op.inputs[place]] for place in places)
        if bias.data is None or not (source.scales and weights.scales and bias.scales):
            continue
        wanted = np.float64(source.scales[0]) * np.asarray(weights.scales, np.float64)
        if not np.allclose(bias.scales, wanted, rtol=_SAME, atol=0.0):
            found[op.index] = wanted
    return found


def _restated(model: Any, graph: Any, bias: TfliteTensor, scales: np.ndarray) -> int:
    """Adds the same bias in other scales."""
    dtype = np.dtype(bias.dtype.lower())
    limits = np.iinfo(dtype)
    values = np.rint(np.asarray(bias.data) * np.asarray(bias.scales, np.float64) / scales)
    values = np.clip(values, limits.min, limits.max).astype(dtype)
    dtype_code = getattr(schema.TensorType, bias.dtype)
    return constant(model, graph, f"{bias.name}/own_scale", values, dtype_code, scales=scales)
