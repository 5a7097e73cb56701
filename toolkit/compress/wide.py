"""A part with 16-bit activations and 8-bit weights: TensorFlow's conversion, and what it leaves undone.

* Biases that operators share get each operator's scale (`bias_scales`).
* A value to pad with is stored in float, which no kernel takes beside 16-bit values.
* Scores that are masked with a large number are refused, where `masked_scores` could not bring it down: an input does
  it, or something else than a mask is large.
* Operators TensorFlow Lite has no 16-bit kernel for stay in float; where the part's default asked for 16 bits, the plan
  says why, and where a rule of the recipe did, the audit stops the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.keras_to_tflite import TfliteOptions, to_tflite
from converters.spec import Arrays
from converters.tflite_graph.additions import constant
from converters.tflite_graph.read import TfliteGraph, read_tflite
from converters.tflite_graph.replace import replaced_operators
from toolkit.compress.audit import layers_by_operator
from toolkit.compress.bias_scales import with_own_biases
from toolkit.compress.precision import PrecisionPlan
from toolkit.errors import RecipeError

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel

_NO_KERNEL: Final = frozenset(
    {
        "ARG_MAX", "ARG_MIN", "CEIL", "COS", "CUMSUM", "DEPTH_TO_SPACE", "DIV", "ELU", "EQUAL", "FLOOR", "GELU",
        "GREATER", "GREATER_EQUAL", "HARD_SWISH", "L2_NORMALIZATION", "LESS", "LESS_EQUAL", "LOG_SOFTMAX", "NEG",
        "NOT_EQUAL", "POW", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "SELECT", "SELECT_V2", "SIGN", "SIN", "SQRT",
        "SQUARE",
    }
)  # fmt: skip
"""Left in float by TensorFlow 2.19's converter, each seen in a model of the zoo or refused by LiteRT 2.3 in 16 bits."""
_COARSEST_SCORE_STEP: Final = 0.05
_LOOPS: Final = frozenset({"LSTM", "GRU"})


def export_wide(
    relayered: RelayeredModel, plan: PrecisionPlan, calibration: Sequence[Arrays]
) -> tuple[bytes, PrecisionPlan]:
    """Writes the file.

    Args:
        relayered: the part.
        plan: what is asked of it: int16x8 everywhere.
        calibration: inputs whose ranges the activations take.

    Returns:
        The file, and the plan with the reasons why some of its layers stay in float.

    Raises:
        RecipeError: the part has recurrent layers, or scores that are masked with a large number.
    """
    loop = next((layer for layer in relayered.model.layers if type(layer).__name__ in _LOOPS), None)
    if loop is not None:
        raise RecipeError(
            f"{plan.by_layer()[loop.name].node!r} is a recurrent layer, and TensorFlow's converter ends the process on "
            "loops with 16-bit activations",
            code="precision/not-realisable",
            where=f"part {plan.part!r}",
            hint="ask for int8, int8-weights or float16 for this part (any model: --recipe any-model-int8)",
        )
    options = TfliteOptions(quantization="int16x8", representative_dataset=tuple(calibration))
    content = with_own_biases(to_tflite(relayered.model, relayered.interface, options))
    content, _ = replaced_operators(content, "PADV2", _with_its_values_type)
    graph = read_tflite(content)
    _refuse_coarse_scores(graph, plan)
    return content, _told(graph, plan)


def _refuse_coarse_scores(graph: TfliteGraph, plan: PrecisionPlan) -> None:
    """Steps of a softmax's input are shares of its result: one of 0.05 is 5 % of every weight."""
    for op in graph.ops:
        scores = graph.tensors[op.inputs[0]] if op.kind == "SOFTMAX" else None
        if scores is None or scores.dtype != "INT16" or not scores.scales or scores.scales[0] <= _COARSEST_SCORE_STEP:
            continue
        lowest = scores.scales[0] * np.iinfo(np.int16).max
        raise RecipeError(
            f"the scores of a softmax reach {-lowest:.3g}, where a mask is added to them: 16 bits would hold the "
            f"others in steps of {scores.scales[0]:.3g}",
            code="precision/not-realisable",
            where=f"part {plan.part!r}, {scores.name}",
            hint="mask with -50 instead, or ask for int8, which keeps scores in float (--recipe any-model-int8)",
        )


def _with_its_values_type(model: Any, graph: Any, pad: Any) -> list[Any] | None:
    """The same operator with its value in the type of what it pads."""
    padded, value = graph.tensors[pad.inputs[0]], graph.tensors[pad.inputs[2]]
    if padded.type != schema.TensorType.INT16 or value.type != schema.TensorType.FLOAT32:
        return None
    (scale,) = padded.quantization.scale
    limits = np.iinfo(np.int16)
    number = np.frombuffer(bytes(model.buffers[value.buffer].data), "<f4").astype(np.float64)
    stored = np.clip(np.rint(number / scale), limits.min, limits.max).astype(np.int16)
    name = value.name.decode("utf-8", "replace") + "/int16"
    made = constant(
        model, graph, name, stored.reshape(() if value.shape is None else value.shape), padded.type, scales=[scale]
    )
    pad.inputs = [int(pad.inputs[0]), int(pad.inputs[1]), made]
    return [pad]


def _told(graph: TfliteGraph, plan: PrecisionPlan) -> PrecisionPlan:
    """The plan with the reason for each layer whose operator has no kernel in 16 bits."""
    reasons = {
        item.layer: f"TensorFlow Lite has no 16-bit kernel for {op.kind}, which computes in float"
        for op, layers, realised in layers_by_operator(graph, plan)
        if op.kind in _NO_KERNEL and realised == "float32"
        for item in layers
        if item.rule is None and item.asked == "int16x8"
    }
    layers = tuple(
        replace(item, asked="float32", because=reasons[item.layer]) if item.layer in reasons else item
        for item in plan.layers
    )
    return replace(plan, layers=layers)
