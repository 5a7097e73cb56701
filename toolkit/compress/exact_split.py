"""What exact splits of convolutions share: which ones a recipe names, and the proof that nothing changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from converters import parity
from converters.keras_graph.run import keras_runner
from converters.spec import Arrays
from toolkit.compress import rewire
from toolkit.compress.torch_globs import select
from toolkit.errors import RecipeError

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel

_SPLITTABLE = frozenset({"Conv2D", "Conv2DTranspose"})
_MIN_SNR_DB = 90.0


class NamedSplit(Protocol):
    """A split of the recipe."""

    @property
    def match(self) -> str:
        """Glob over torch names."""


AnySplit = TypeVar("AnySplit", bound=NamedSplit)


def chosen_layers(
    relayered: RelayeredModel,
    splits: Sequence[AnySplit],
    where: str,
    refuse: Callable[[AnySplit, int], str | None] = lambda split, channels: None,
    among: Collection[str] | None = None,
) -> dict[str, AnySplit]:
    """Layer name to how it is split, in the order of the graph; the last split that matches wins.

    Args:
        relayered: float part.
        splits: what the recipe asks for.
        where: for messages, e.g. ``part 'decoder', compress.principal``.
        refuse: why a split cannot have a convolution of so many input channels; ``None`` where it can.
        among: layers that globs are held against, by name; ``None`` for all.

    Raises:
        RecipeError: a glob matches nothing, or names what cannot be split.
    """
    layers = [layer for layer in rewire.computing_layers(relayered.model) if among is None or layer.name in among]
    nodes = {layer.name: relayered.torch_names.get(layer.name, layer.name) for layer in layers}
    chosen: dict[str, AnySplit] = {}
    for split in splits:
        names = set(select(split.match, nodes.values(), where=where, what="split"))
        for layer in layers:
            if nodes[layer.name] not in names:
                continue
            channels = _channels(layer)
            reason = "has no kernel that a sum can be drawn out of" if channels is None else refuse(split, channels)
            if reason is not None:
                kind = type(layer).__name__
                raise RecipeError(
                    f"{nodes[layer.name]!r} ({kind}, {channels or 'no'} input channels) {reason}",
                    where=where,
                    hint="name ungrouped convolutions with a bias and no activation",
                )
            chosen[layer.name] = split
    return {layer.name: chosen[layer.name] for layer in layers if layer.name in chosen}


def proven(before: RelayeredModel, after: RelayeredModel, arrays: Arrays, hop: str) -> float:
    """SNR in decibels of a split part against the part as it was.

    Raises:
        ParityError: it computes something else.
    """
    expected = keras_runner(before.model, before.interface)(arrays)
    report = parity.compare(expected, keras_runner(after.model, after.interface)(arrays))
    parity.check(report, min_snr_db=_MIN_SNR_DB, hop=hop)
    return report.worst_snr_db


def _channels(layer: Any) -> int | None:
    """Input channels of a convolution that can be split."""
    if type(layer).__name__ not in _SPLITTABLE or getattr(layer, "groups", 1) != 1:
        return None
    linear = getattr(layer.activation, "__name__", "linear") == "linear"
    return int(rewire.layer_inputs(layer)[0].shape[-1]) if linear and layer.use_bias else None
