"""Reads a flatbuffer back and compares, operator by operator, the precision it has with the one that was asked for.

TensorFlow's converter leaves operators in float without a word when it finds no way to quantise them. Every operator is
therefore traced to the torch layer it stems from, by the names TensorFlow gives tensors, and judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from converters.tflite_graph.names import layers_of
from converters.tflite_graph.read import TfliteGraph, TfliteOp, read_tflite
from toolkit.compress.bias_scales import BIAS_INPUT, check_bias_scales
from toolkit.compress.levels import LEVELS_REASON
from toolkit.compress.precision import LayerPrecision, PrecisionPlan
from toolkit.compress.realised import WIDENING, Realisation, Realised
from toolkit.errors import AuditError
from toolkit.recipe.schema import Precision
from toolkit.results.fidelity import PrecisionOp

_SHOWN = 5
_FLOAT_ARITHMETIC = ("float16", "float32", "int8-weights", "int8-storage")
_MATRICES_ONLY = ("int8-weights", "int8-storage")
INTEGER = ("int8", "int16x8", "int8-weights")
# TF-MOT prefixes the names of the layers it wraps.
_WRAPPERS = re.compile(r"(?<![A-Za-z0-9_.])(?:quant_|prune_low_magnitude_)")
_ROUNDING = "/quantize/FakeQuant"
"""In the names of tensors that `keras_qat` rounds behind a layer that computes in float."""
_RESTATING = ("QUANTIZE", "DEQUANTIZE", "DENSIFY", "CAST")
_HANDS_ON = "has the precision of the operators around it"
_WHOLE_NUMBERS = "computes with whole numbers or truth values"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An operator whose precision is not the one asked for.

    Attributes:
        op: torch names of the layers the operator computes.
        kind: operator of the flatbuffer.
        asked: precision asked of it.
        realised: precision it has.
        macs: its multiply-adds.
        reason: why it is a difference.
    """

    op: str
    kind: str
    asked: str
    realised: str
    macs: int
    reason: str


def float_share(rows: Iterable[PrecisionOp]) -> float | None:
    """Share of the multiply-adds that run in float; ``None`` without any.

    Beside int8 weights the kernels round their input to int8 first, so that those are not counted. Nor are
    convolutions of loud parts (`toolkit/compress/levels.py`): they repeat work, which must not shrink the share.
    """
    once = [row for row in rows if row.macs and row.because != LEVELS_REASON]
    whole = sum(row.macs or 0 for row in once)
    return sum(row.macs or 0 for row in once if row.realised not in INTEGER) / whole if whole else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """Every operator of a file with what was asked and what it has.

    Attributes:
        rows: one for each operator, in execution order.
        differences: operators that are not as asked.
        unseen: torch names of layers no operator is named after: merged into others or folded into constants.
    """

    rows: tuple[PrecisionOp, ...]
    differences: tuple[Difference, ...]
    unseen: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        """Multiply-adds of the file."""
        return sum(row.macs or 0 for row in self.rows)

    @property
    def float_macs_ratio(self) -> float:
        """`float_share` of the file; 0 for one without multiply-adds."""
        return float_share(self.rows) or 0.0


def audit(
    tflite: bytes | TfliteGraph, plan: PrecisionPlan, torch_names: Mapping[str, str] | None = None
) -> AuditReport:
    """Checks that every operator has the precision the plan asks of it.

    Args:
        tflite: the file, or its first graph.
        plan: what was asked.
        torch_names: layer name to ``<torch module path>/<Op>``, for names that differ from those of the plan.

    Raises:
        AuditError: an operator has another precision; the message lists the first ones by torch name. Or a bias is in
            another scale than the sums it is added to.
    """
    graph = read_tflite(tflite) if isinstance(tflite, bytes) else tflite
    check_bias_scales(graph, f"part {plan.part!r}")
    report = read_back(graph, plan, torch_names)
    if report.differences:
        lines = [
            f"{item.op} ({item.kind}): asked {item.asked}, is {item.realised}; {item.reason}"
            for item in report.differences[:_SHOWN]
        ]
        more = len(report.differences) - _SHOWN
        lines += [f"and {more} more"] if more > 0 else []
        raise AuditError(
            f"{len(report.differences)} of {len(report.rows)} operators do not have the precision asked for:\n  "
            + "\n  ".join(lines),
            code="precision/not-realised",
            where=f"part {plan.part!r}, {report.differences[0].op}",
            hint="ask for the realised precision in a rule with its reason, or change the model so that it can be had",
        )
    return report


def read_back(
    tflite: bytes | TfliteGraph, plan: PrecisionPlan, torch_names: Mapping[str, str] | None = None
) -> AuditReport:
    """The same without judgement: what every operator was asked to be and what it is."""
    graph = read_tflite(tflite) if isinstance(tflite, bytes) else tflite
    return _Audit(graph, plan, torch_names or {}).report()


def operators_asking(tflite: bytes | TfliteGraph, plan: PrecisionPlan, precision: Precision) -> frozenset[int]:
    """Indices of the operators of a file that are asked to have ``precision``, to store their constants accordingly."""
    graph = read_tflite(tflite) if isinstance(tflite, bytes) else tflite
    return _Audit(graph, plan, {}).asking(precision)


def layers_by_operator(
    tflite: bytes | TfliteGraph, plan: PrecisionPlan
) -> list[tuple[TfliteOp, tuple[LayerPrecision, ...], str]]:
    """Operators that compute real values, with the layers whose precision they must have, and the one they have."""
    graph = read_tflite(tflite) if isinstance(tflite, bytes) else tflite
    return _Audit(graph, plan, {}).judged()


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTensor:
    """The tensor of a file that is the value of a layer.

    Attributes:
        index: of the tensor.
        merged: names of the layers its operator computes, the one whose value it is first, what multiplies last.
        realised: the precision its operator has; operators that only move values have that of what they move.
        is_partial: it is a product whose bias is elsewhere: the converter may fold a bias into the matrices behind.
    """

    index: int
    merged: tuple[str, ...]
    realised: str
    is_partial: bool = False


def layer_tensors(tflite: bytes | TfliteGraph, plan: PrecisionPlan, order: Sequence[str]) -> dict[str, LayerTensor]:
    """Layer name to the tensor that is its value, for layers that were not merged into others.

    An operator that several layers were merged into has the value of the one the model computes last: an activation
    behind a convolution, but the matrix behind a norm whose gain it swallowed. A layer that becomes several operators
    has the value of the last; a tensor that merely re-expresses one in another type is none.

    Args:
        tflite: the file, or its first graph.
        plan: what was asked.
        order: names of the model's layers as they are computed.
    """
    graph = read_tflite(tflite) if isinstance(tflite, bytes) else tflite
    return _Audit(graph, plan, {}).layer_tensors({name: place for place, name in enumerate(order)})


class _Audit:
    def __init__(self, graph: TfliteGraph, plan: PrecisionPlan, torch_names: Mapping[str, str]) -> None:
        self.graph, self.plan, self.torch_names = graph, plan, torch_names
        self.layers = plan.by_layer()
        self.realisation = Realisation(graph)
        self.outputs = self._output_layers()

    def report(self) -> AuditReport:
        rows, differences, seen = [], [], set()
        for op in self.graph.ops:
            layers = self.layers_of(op)
            seen.update(item.layer for item in layers)
            row, difference = self._judge(op, layers)
            rows.append(row)
            if difference is not None:
                differences.append(difference)
        unseen = dict.fromkeys(self._node(item) for item in self.plan.layers if item.layer not in seen)
        return AuditReport(rows=tuple(rows), differences=tuple(differences), unseen=tuple(unseen))

    def asking(self, precision: Precision) -> frozenset[int]:
        found = set()
        for op in self.graph.ops:
            judged = _judged(self.layers_of(op), self.graph.multiply_adds(op))
            if judged and judged[-1].asked == precision and self.realisation.of(op).real:
                found.add(op.index)
        return frozenset(found)

    def judged(self) -> list[tuple[TfliteOp, tuple[LayerPrecision, ...], str]]:
        found = []
        for op in self.graph.ops:
            is_now = self.realisation.of(op)
            if is_now.real and not is_now.plumbing:
                found.append((op, tuple(_judged(self.layers_of(op), self.graph.multiply_adds(op))), is_now.name))
        return found

    def layer_tensors(self, places: Mapping[str, int]) -> dict[str, LayerTensor]:
        last: dict[str, LayerTensor] = {}
        for op in self.graph.ops:
            if op.kind in _RESTATING or not op.outputs:
                continue
            found = self._by_outputs(op.outputs[:1])
            if found:
                computed = _judged(self.layers_of(op), self.graph.multiply_adds(op))
                value = max((*found, *computed), key=lambda item: places.get(item.layer, -1)).layer
                multiplies = computed[-1].layer if computed else found[0].layer
                names = tuple(dict.fromkeys((value, found[0].layer, *(item.layer for item in computed))))
                is_now, asked = self.realisation.of(op), self.layers[multiplies].asked
                place = BIAS_INPUT.get(op.kind)
                last[value] = LayerTensor(
                    index=op.outputs[0],
                    merged=names,
                    realised=asked if _same(asked, is_now) else is_now.name,
                    is_partial=place is not None and (len(op.inputs) <= place or op.inputs[place] < 0),
                )
        return last

    def layers_of(self, op: TfliteOp) -> list[LayerPrecision]:
        """Layers an operator computes, last computed first; by its output, else by its weights."""
        found = self._by_outputs(op.outputs)
        from_weights = self._named([tensor.name for tensor in self.realisation.constants(op)])
        if self.graph.multiply_adds(op) and not any(item.multiplies for item in found):
            found += [item for item in from_weights if item.multiplies and item not in found][:1]
        return found or from_weights[:1]

    def _by_outputs(self, outputs: Sequence[int]) -> list[LayerPrecision]:
        """Layers that output tensors are named after, or that are tied to the first of them."""
        found = self._named([self.graph.tensors[index].name for index in outputs])
        return found or [self.outputs[index] for index in outputs[:1] if index in self.outputs]

    def _named(self, names: list[str]) -> list[LayerPrecision]:
        found: dict[str, None] = {}
        for name in map(_computing, names):
            direct = layers_of(name, self.layers) or layers_of(_WRAPPERS.sub("", name), self.layers)
            found.update(dict.fromkeys(direct))
        return [self.layers[name] for name in found]

    def _output_layers(self) -> dict[int, LayerPrecision]:
        """Outputs carry the name of the function's result, so they are tied to layers by their order."""
        found = {}
        for index, layer in zip(self.graph.outputs, self.plan.outputs, strict=False):
            maker = self.realisation.producer(index)
            while layer in self.layers and maker is not None:
                found[maker.outputs[0]] = self.layers[layer]
                if maker.kind not in ("DEQUANTIZE", "QUANTIZE"):
                    break
                maker = self.realisation.producer(maker.inputs[0])
        return found

    def _judge(self, op: TfliteOp, layers: list[LayerPrecision]) -> tuple[PrecisionOp, Difference | None]:
        is_now, macs = self.realisation.of(op), self.graph.multiply_adds(op)
        judged = _judged(layers, macs)
        wrong = next((item for item in judged if not _holds(item, is_now, merged=item is not judged[-1])), None)
        main = wrong or (judged[-1] if judged else None)
        asked = main.asked if main else self.plan.default
        because = main.because if main else "no layer is named: the part's default"
        realised = is_now.name
        names = " + ".join(dict.fromkeys(self._node(item) for item in layers)) or op.name
        difference = None
        if not is_now.real:
            asked, because = realised, _WHOLE_NUMBERS
        elif is_now.plumbing:
            asked, because = realised, _HANDS_ON
        else:
            if main is None:
                reason = "it cannot be traced to a layer"
                ambiguous = bool(macs) and len(self.plan.precisions()) > 1
                fails = ambiguous or not _same(asked, is_now)
            else:
                merged = f" (asked of {self._node(main)}, which is merged into this operator)"
                reason = because + (merged if main is not judged[-1] else "")
                fails = wrong is not None
            if fails:
                difference = Difference(
                    op=names, kind=op.kind, asked=asked, realised=realised, macs=macs, reason=reason
                )
            else:
                realised = asked  # float arithmetic without constants is float16 and float32 alike
        row = PrecisionOp(
            part=self.plan.part, op=names, kind=op.kind, asked=asked, realised=realised, because=because, macs=macs,
            bytes=0 if op.kind in WIDENING else sum(tensor.nbytes for tensor in self.realisation.constants(op)),
        )  # fmt: skip
        return row, difference

    def _node(self, item: LayerPrecision | None) -> str:
        return "" if item is None else self.torch_names.get(item.layer, item.node)


def _computing(name: str) -> str:
    """A tensor's name without the layers that only round what was computed, where it names others."""
    parts = name.split(";")
    return ";".join([part for part in parts if _ROUNDING not in part] or parts)


def _judged(layers: list[LayerPrecision], macs: int) -> list[LayerPrecision]:
    """The layers whose precision the operator must have.

    A multiplying operator is named after what was merged into it, then after itself, then now and then after layers
    that merely share a constant with it; any other one after itself first.
    """
    if not macs:
        return layers[:1]
    main = next((index for index, item in enumerate(layers) if item.multiplies), None)
    return layers[:1] if main is None else layers[: main + 1]


def _holds(item: LayerPrecision, is_now: Realised, *, merged: bool) -> bool:
    if merged and is_now.name in _FLOAT_ARITHMETIC:  # its own constants, if any, are now part of another's
        return item.asked in _FLOAT_ARITHMETIC
    return _same(item.asked, is_now)


def _same(asked: str, is_now: Realised) -> bool:
    if is_now.name == "float32" and not is_now.constants:
        return asked in _FLOAT_ARITHMETIC
    if asked in _MATRICES_ONLY and not is_now.matrix:  # they say how matrices are stored; biases and norms stay
        return is_now.name == "float32"
    return asked == is_now.name
