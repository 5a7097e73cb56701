"""Asks the XNNPACK CPU delegate's rules about one operator.

The table holds what ``xnnpack_delegate.cc`` checks on types, ranks and constants. Scale limits of quantised
operators are included where a network meets them. XNNPACK is what runs on the CPU by default.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from toolkit.delegates.op_view import OpView
from toolkit.delegates.tables import commit, nnapi_table
from toolkit.delegates.verdict import Refusal, Verdict

_FLOAT = ("FLOAT32",)
_QUANTISED = ("INT8", "UINT8")
_ANY = (*_FLOAT, *_QUANTISED)
_MAX_RANK = 6
_SMALLEST_SCALE_RATIO, _LARGEST_SCALE_RATIO = 1 / 256, 128.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What XNNPACK takes of one operator.

    Attributes:
        line: where the check starts in ``xnnpack_delegate.cc``.
        types: types of the data inputs and outputs.
        inputs: numbers of inputs it takes.
        constants: inputs that must be constant.
        rank: rank the data must have, None for any up to 6.
    """

    line: int
    types: tuple[str, ...] = _ANY
    inputs: tuple[int, ...] = (1,)
    constants: tuple[int, ...] = ()
    rank: int | None = None


_FLOAT_UNARY = (
    "ABS",
    "CEIL",
    "COS",
    "EXP",
    "FLOOR",
    "GELU",
    "HARD_SWISH",
    "LOG",
    "NEG",
    "RELU_N1_TO_1",
    "RELU",
    "RELU6",
    "ROUND",
    "RSQRT",
    "SIN",
    "SQRT",
    "SQUARE",
)
_FLOAT_BINARY = ("DIV", "MAXIMUM", "MINIMUM", "PRELU", "SQUARED_DIFFERENCE")
_REDUCE = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")

RULES: dict[str, Rule] = {
    **{kind: Rule(line=4588, types=_FLOAT) for kind in _FLOAT_UNARY},
    **{kind: Rule(line=4389, types=_FLOAT, inputs=(2,)) for kind in _FLOAT_BINARY},
    **{kind: Rule(line=4389, inputs=(2,)) for kind in ("ADD", "MUL", "SUB")},
    **{kind: Rule(line=5303, inputs=(2,), constants=(1,)) for kind in _REDUCE},
    "AVERAGE_POOL_2D": Rule(line=3506, types=_FLOAT, rank=4),
    "BATCH_MATMUL": Rule(line=3576, types=(*_FLOAT, "INT8"), inputs=(2,)),
    "CONCATENATION": Rule(line=3897, inputs=(2, 3, 4, 5)),
    "CONV_2D": Rule(line=3983, inputs=(3,), constants=(1, 2), rank=4),
    "DEPTHWISE_CONV_2D": Rule(line=4206, inputs=(3,), constants=(1, 2), rank=4),
    "DEPTH_TO_SPACE": Rule(line=4342),
    "DEQUANTIZE": Rule(line=4588),
    "ELU": Rule(line=4588, types=(*_FLOAT, "INT8")),
    "EXPAND_DIMS": Rule(line=4860, inputs=(2,), constants=(1,)),
    "FULLY_CONNECTED": Rule(line=4933, inputs=(2, 3)),
    "LEAKY_RELU": Rule(line=4588),
    "LOGISTIC": Rule(line=4588),
    "MAX_POOL_2D": Rule(line=5234, rank=4),
    "PAD": Rule(line=5614, inputs=(2,), constants=(1,)),
    "QUANTIZE": Rule(line=4588),
    "RESHAPE": Rule(line=5743, inputs=(1, 2), constants=(1,)),
    "RESIZE_BILINEAR": Rule(line=5850, inputs=(2,), constants=(1,), rank=4),
    "SLICE": Rule(line=5929, inputs=(3,), constants=(1, 2)),
    "SOFTMAX": Rule(line=6022, types=_FLOAT),
    "SPACE_TO_DEPTH": Rule(line=6064),
    "SPLIT": Rule(line=6129, inputs=(2,), constants=(0,)),
    "STRIDED_SLICE": Rule(line=6245, inputs=(4,), constants=(1, 2, 3)),
    "TANH": Rule(line=4588),
    "TRANSPOSE": Rule(line=6189, inputs=(2,), constants=(1,)),
    "TRANSPOSE_CONV": Rule(line=6838, inputs=(3, 4), constants=(0, 1), rank=4),
}

_DATA_INPUT = {"SPLIT": 1, "TRANSPOSE_CONV": 2}
_SECOND_DATA_INPUT = ("ADD", "MUL", "SUB", "CONCATENATION", *_FLOAT_BINARY)
_QUASI_CONSTANT = ("DEQUANTIZE", "DENSIFY")


def judge_op(view: OpView) -> Verdict:
    """All rules an operator breaks."""
    rule = RULES.get(view.op.kind)
    if rule is None:
        return Verdict(refusals=(_refusal("unmapped", f"XNNPACK has no {view.op.kind}", 3154),))
    broken = [*_counts(view, rule), *_types(view, rule), *_special(view)]
    return Verdict(refusals=tuple(_refusal(kind, message, rule.line) for kind, message in broken))


def _refusal(kind: str, message: str, line: int) -> Refusal:
    source = f"tflite/delegates/xnnpack/xnnpack_delegate.cc:{line}@{commit(nnapi_table())}"
    return Refusal(kind=kind, message=message, source=source)


def _counts(view: OpView, rule: Rule) -> list[tuple[str, str]]:
    broken = []
    present = [t for t in view.inputs if t is not None]
    if len(present) not in rule.inputs:
        broken.append(("n_inputs", f"{len(present)} inputs; takes {' or '.join(map(str, rule.inputs))}"))
    for index in rule.constants:
        tensor = view.tensor(f"input{index}")
        if tensor is not None and tensor.data is None and not _unpacked_constant(view, view.op.inputs[index]):
            broken.append(("const", f"input{index} must be constant"))
    data = view.shape(f"input{_DATA_INPUT.get(view.op.kind, 0)}") or ()
    if rule.rank is not None and len(data) != rule.rank:
        broken.append(("rank", f"rank {len(data)}; takes {rule.rank}"))
    if len(data) > _MAX_RANK:
        broken.append(("rank", f"rank {len(data)}; takes at most {_MAX_RANK}"))
    return broken


def _unpacked_constant(view: OpView, tensor: int) -> bool:
    """XNNPACK unpacks constants that stand behind a DEQUANTIZE or DENSIFY when it takes the graph."""
    for op in view.graph.ops:
        if tensor in op.outputs and op.kind in _QUASI_CONSTANT:
            return any(i >= 0 and view.graph.tensors[i].data is not None for i in op.inputs[:1])
    return False


def _types(view: OpView, rule: Rule) -> list[tuple[str, str]]:
    first = _DATA_INPUT.get(view.op.kind, 0)
    names = [f"input{first}", *(f"output{i}" for i in range(len(view.outputs)))]
    if view.op.kind in _SECOND_DATA_INPUT:
        names[1:1] = [f"input{i}" for i in range(1, len(view.inputs))]
    return [
        ("type_in", f"{name} is {view.dtype(name)}; takes {'/'.join(rule.types)}")
        for name in names
        if view.dtype(name) not in (None, *rule.types)
    ]


def _special(view: OpView) -> list[tuple[str, str]]:
    kind = view.op.kind
    if kind == "DEQUANTIZE" and view.dtype("input0") not in _QUANTISED:
        return [("type_in", f"input0 is {view.dtype('input0')}; takes int8")]
    if kind in ("ADD", "MUL", "SUB") and len({view.dtype(n) for n in ("input0", "input1", "output0")}) > 1:
        return [("same_type", "mixed types")]
    if kind == "LEAKY_RELU":
        return _leaky_relu(view)
    if kind == "STRIDED_SLICE":
        strides = view.integers("input3")
        if strides is not None and any(int(s) != 1 for s in strides.flat):
            return [("stride", "strides must be 1")]
        if any(view.option(mask) for mask in ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask")):
            return [("mask", "ellipsis, new-axis and shrink-axis masks are not supported")]
    return []


def _leaky_relu(view: OpView) -> list[tuple[str, str]]:
    source, target = view.tensor("input0"), view.tensor("output0")
    alpha = float(view.option("alpha"))
    if alpha == 0.0 or not math.isfinite(alpha):
        return [("alpha", f"alpha {alpha}")]
    if source is None or target is None or not len(source.scales) or not len(target.scales):
        return []
    ratio = source.scales[0] / target.scales[0]
    fits = _SMALLEST_SCALE_RATIO <= ratio <= _LARGEST_SCALE_RATIO
    negative = _SMALLEST_SCALE_RATIO <= abs(ratio * alpha) <= _LARGEST_SCALE_RATIO
    if fits and negative:
        return []
    return [("scale", f"input-to-output scale {ratio:.3g} times alpha {alpha:.3g} is outside 1/256 to 128")]
