"""Which layers of a part mind being rounded: one group at a time goes to 8 bits, the rest stays in float.

Source of the method: layer-wise sensitivity analysis, e.g. H. Wu et al., "Integer Quantization for Deep Learning
Inference", 2020, section 6.2; groups are chosen by what they cost in noise for each multiply-add they save. Noise of
groups that are rounded together is predicted as the sum of their powers, and the choice is measured once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.spec import Arrays
from toolkit.compress.calibrate import observe_statistics, search_ranges
from toolkit.compress.keras_qat import Ranges, wrap
from toolkit.compress.observe import target_inputs
from toolkit.compress.precision import LayerPrecision, PrecisionPlan
from toolkit.compress.quantised_tensors import quantised_tensors, tied_ranges
from toolkit.errors import RecipeError

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel

Progress = Callable[[int, int, str], None]
_RANGE_INPUTS = 3  # every third input is enough to choose between clipping and rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLoss:
    """What rounding one group alone costs.

    Attributes:
        group: torch module path, cut to the depth that was asked for.
        nodes: torch names of its operators.
        weights: numbers in its kernels and biases.
        snr_db: float output over the noise of this group, the worst output; infinite when nothing changes.
    """

    group: str
    nodes: tuple[str, ...]
    weights: int
    snr_db: float

    @property
    def noise(self) -> float:
        """Noise power relative to the signal's."""
        return 0.0 if math.isinf(self.snr_db) else 10.0 ** (-self.snr_db / 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """A part's groups, and the choice that was made of them.

    Attributes:
        losses: every group, the one that costs most first.
        kept: groups that stay in float.
        predicted_db: of the others together, by adding noise powers.
        measured_db: of the others together.
        whole_db: with nothing kept.
    """

    losses: tuple[GroupLoss, ...]
    kept: tuple[str, ...]
    predicted_db: float
    measured_db: float
    whole_db: float


def analyse_sensitivity(
    relayered: RelayeredModel,
    plan: PrecisionPlan,
    calibration: Sequence[Arrays],
    judged: Sequence[Arrays],
    *,
    target_db: float,
    depth: int,
    on_progress: Progress = lambda done, total, group: None,
) -> Sensitivity:
    """Measures every group of the layers a plan asks to be int8, and keeps in float what a target needs.

    Args:
        relayered: the float part.
        plan: says which layers are to be int8; the others stay as they are, in float.
        calibration: inputs ranges are chosen by.
        judged: other inputs, on which noise is measured.
        target_db: signal over noise the part should keep at its worst output.
        depth: parts of a torch path that name a group: 2 makes ``dec.resblocks.3.convs1.0`` part of ``dec.resblocks``.
        on_progress: told after every group.

    Raises:
        RecipeError: no layer is asked to be int8.
    """
    groups = layer_groups(plan, depth)
    if not groups:
        raise RecipeError(
            "no operator is asked to be int8: nothing is rounded that could be missed",
            code="sensitivity/nothing-rounded",
            where=f"part {plan.part!r}",
            hint="give a recipe with int8 in it, e.g. --recipe any-model-int8",
        )
    noise = _Noise(relayered, plan, calibration, judged)
    losses = []
    for number, (group, layers) in enumerate(groups.items(), 1):
        losses.append(
            GroupLoss(
                group=group,
                nodes=tuple(layer.node for layer in layers),
                weights=noise.weights(layers),
                snr_db=noise.snr_db({layer.layer for layer in layers}),
            )
        )
        on_progress(number, len(groups) + 2, group)
    losses.sort(key=lambda loss: loss.snr_db)
    every = {layer.layer for layers in groups.values() for layer in layers}
    whole_db = noise.snr_db(every)
    on_progress(len(groups) + 1, len(groups) + 2, "all together")
    kept = kept_for(losses, target_db)
    left = every - {layer.layer for group in kept for layer in groups[group]}
    measured = noise.snr_db(left) if left else math.inf
    on_progress(len(groups) + 2, len(groups) + 2, "the choice")
    together = sum(loss.noise for loss in losses if loss.group not in kept)
    return Sensitivity(
        losses=tuple(losses),
        kept=kept,
        predicted_db=-10.0 * math.log10(together) if together else math.inf,
        measured_db=measured,
        whole_db=whole_db,
    )


def layer_groups(plan: PrecisionPlan, depth: int) -> dict[str, tuple[LayerPrecision, ...]]:
    """Layers that are to be int8 by torch path cut to ``depth``, in the order of the graph."""
    groups: dict[str, tuple[LayerPrecision, ...]] = {}
    for layer in plan.layers:
        if layer.asked == "int8":
            name = ".".join(layer.torch_name.split(".")[:depth])
            groups[name] = (*groups.get(name, ()), layer)
    return groups


def kept_for(losses: Sequence[GroupLoss], target_db: float) -> tuple[str, ...]:
    """Groups to keep in float so that what is left is predicted to reach a target: most noise for each weight first."""
    budget, total = 10.0 ** (-target_db / 10.0), sum(loss.noise for loss in losses)
    kept: list[str] = []
    for loss in sorted(losses, key=lambda each: each.noise / max(each.weights, 1), reverse=True):
        if total <= budget:
            break
        if loss.noise > 0.01 * budget / len(losses):  # one that costs next to nothing would buy next to nothing
            kept.append(loss.group)
            total -= loss.noise
    return tuple(kept)


class _Noise:
    """Output noise of a part with any set of its layers rounded."""

    def __init__(
        self, relayered: RelayeredModel, plan: PrecisionPlan, calibration: Sequence[Arrays], judged: Sequence[Arrays]
    ) -> None:
        self._relayered, self._plan = relayered, plan
        self._statistics = observe_statistics(relayered, calibration)
        self._calibration = list(calibration)[::_RANGE_INPUTS]
        self._judged = list(target_inputs(relayered.interface, judged))
        self._float = [_outputs(relayered.model, arrays) for arrays in self._judged]
        self._ranges: dict[str, tuple[float, float]] = {}

    def weights(self, layers: Sequence[LayerPrecision]) -> int:
        """Numbers in the layers' kernels and biases."""
        model = self._relayered.model
        return sum(int(np.prod(w.shape)) for layer in layers for w in model.get_layer(layer.layer).weights)

    def snr_db(self, rounded: set[str]) -> float:
        """Float output over the noise, worst output, all judged inputs together."""
        layers = tuple(
            replace(item, asked="int8" if item.layer in rounded else "float32") for item in self._plan.layers
        )
        plan = replace(self._plan, layers=layers)
        model = wrap(self._relayered.model, plan, self._ranges_of(plan))
        power = [0.0] * len(self._float[0])
        noise = [0.0] * len(self._float[0])
        for arrays, expected in zip(self._judged, self._float, strict=True):
            for index, (wanted, found) in enumerate(zip(expected, _outputs(model, arrays), strict=True)):
                power[index] += float(np.square(wanted, dtype=np.float64).sum())
                noise[index] += float(np.square(found - wanted, dtype=np.float64).sum())
        return min(_decibels(p, n) for p, n in zip(power, noise, strict=True))

    def _ranges_of(self, plan: PrecisionPlan) -> Ranges:
        tensors = quantised_tensors(self._relayered.model, plan)
        unknown = [name for name in tensors.activations if name not in self._ranges]
        self._ranges |= search_ranges(self._relayered, self._calibration, self._statistics, unknown)
        return tied_ranges(self._relayered.model, tensors, self._ranges)


def _decibels(power: float, noise: float) -> float:
    return math.inf if noise == 0 else 10.0 * math.log10(max(power, 1e-30) / noise)


def _outputs(model: Any, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    found = model(list(arrays) if len(arrays) > 1 else arrays[0], training=False)
    return [np.asarray(value, np.float64) for value in (found if isinstance(found, (list, tuple)) else [found])]


def float_rules(kept: Sequence[str], losses: Sequence[GroupLoss]) -> list[dict[str, str]]:
    """Precision rules of a recipe that keep groups in float, each with what it costs as its reason."""
    by_name = {loss.group: loss for loss in losses}
    rules = []
    for group in kept:
        loss = by_name[group]
        because = f"alone it costs {loss.snr_db:.1f} dB of signal over noise (sensitivity analysis)"
        globs = dict.fromkeys(
            f"{group}.*" if node.startswith(f"{group}.") else f"{group}/*" if "/" in node else group
            for node in loss.nodes
        )
        rules += [{"match": glob, "use": "float16", "because": because} for glob in globs]
    return rules
