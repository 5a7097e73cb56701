"""One operator with its tensors at hand, the way a delegate looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.tflite_graph.read import TfliteGraph, TfliteOp, TfliteTensor

QUANTIZED = ("UINT8", "INT8")
"""Types NNAPI calls quantised; int16 is left out by the delegate itself."""

_ALIASES = {
    "fused_activation": "fused_activation_function",
    "dilation_h": "dilation_h_factor",
    "dilation_w": "dilation_w_factor",
    "stride_height": "stride_h",
    "stride_width": "stride_w",
}
_WHEN_MISSING: dict[str, Any] = {
    "fused_activation_function": "NONE",
    "mode": "UNKNOWN",
    "type": "UNKNOWN",
    "weights_format": "DEFAULT",
    "padding": "UNKNOWN",
    "output_type": "NOTYPE",
    "dilation_h_factor": 1,
    "dilation_w_factor": 1,
    "new_shape": (),
    "squeeze_dims": (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpView:
    """An operator and its tensors.

    Attributes:
        op: the operator.
        inputs: its input tensors, None where an optional input is absent.
        outputs: its output tensors.
        graph: the graph around it, for checks that look at neighbours.
    """

    op: TfliteOp
    inputs: tuple[TfliteTensor | None, ...]
    outputs: tuple[TfliteTensor | None, ...]
    graph: TfliteGraph

    def tensor(self, reference: str) -> TfliteTensor | None:
        """The tensor behind ``input0`` or ``output1``; None when absent."""
        prefix, side = ("input", self.inputs) if reference.startswith("input") else ("output", self.outputs)
        index = int(reference.removeprefix(prefix))
        return side[index] if index < len(side) else None

    def dtype(self, reference: str) -> str | None:
        """Type of a tensor, None when absent."""
        found = self.tensor(reference)
        return None if found is None else found.dtype

    def shape(self, reference: str) -> tuple[int, ...] | None:
        """Shape of a tensor, None when absent."""
        found = self.tensor(reference)
        return None if found is None else found.shape

    def values(self, reference: str) -> np.ndarray | None:
        """Constant value of a tensor, None when absent or computed at run time."""
        found = self.tensor(reference)
        return None if found is None else found.data

    def integers(self, reference: str) -> np.ndarray | None:
        """Constant value of a tensor of whole numbers; None when absent, computed or of another type."""
        found = self.values(reference)
        return found if found is not None and found.dtype.kind in "iu" else None

    def is_const(self, reference: str) -> bool:
        """True for a tensor stored in the file."""
        return self.values(reference) is not None

    def option(self, name: str) -> Any:
        """An option by the tables' or the schema's name; what TFLite assumes (mostly 0) where the file has none."""
        key = _ALIASES.get(name, name)
        found = self.op.options.get(key)
        return _WHEN_MISSING.get(key, 0) if found is None else found

    @property
    def runtime_inputs(self) -> int:
        """Number of inputs that are neither constant nor absent."""
        return sum(t is not None and t.data is None for t in self.inputs)

    @property
    def const_inputs(self) -> int:
        """Number of constant inputs."""
        return sum(t is not None and t.data is not None for t in self.inputs)


def view(graph: TfliteGraph, op: TfliteOp, remap: Mapping[int, int] | None = None) -> OpView:
    """Builds the view; ``remap`` replaces an input tensor by another (float16 constants seen through DEQUANTIZE)."""
    remap = remap or {}

    def at(index: int) -> TfliteTensor | None:
        return None if index < 0 else graph.tensors[index]

    return OpView(
        op=op,
        inputs=tuple(at(remap.get(i, i)) for i in op.inputs),
        outputs=tuple(at(i) for i in op.outputs),
        graph=graph,
    )


def float16_constants(graph: TfliteGraph) -> dict[int, tuple[int, int]]:
    """DEQUANTIZE nodes that only widen a float16 constant: output tensor to (constant tensor, op index)."""
    found = {}
    for op in graph.ops:
        if op.kind == "DEQUANTIZE" and op.outputs and op.inputs and op.inputs[0] >= 0:
            source = graph.tensors[op.inputs[0]]
            if source.dtype == "FLOAT16" and source.data is not None:
                found[op.outputs[0]] = (op.inputs[0], op.index)
    return found
