"""Gives the other lengths of a part the 8-bit weights and scales that one of its lengths was given.

A part with several static lengths (buckets) is one model: its scales, splits, ranges and trained weights are decided
once, on the longest, which holds most speech, and every length's file then stores the same kernels, once. What a length
decides (shapes of reshapes, tables of positions) stays its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.spec import Arrays
from toolkit.compress import rewire
from toolkit.compress.audit import audit
from toolkit.compress.run import CompressedPart, export_int8
from toolkit.compress.streamline import MIN_SNR_DB, judging_inputs, masked_snr_db

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel

_EXACT_SNR_DB = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OneLength:
    """A length of a part that was compressed by itself.

    Attributes:
        given: the float part it was made of.
        made: what it became.
    """

    given: RelayeredModel
    made: CompressedPart

    @property
    def shares(self) -> bool:
        """Whether its decisions can be another length's: 8-bit operators, and no weights pruned on the way."""
        return self.made.exact is not None and self.made.sparse is None


def compress_like(
    relayered: RelayeredModel, first: OneLength, probes: Sequence[Arrays]
) -> tuple[CompressedPart | None, str]:
    """A length of a part with the weights and scales of another.

    Args:
        relayered: the float part in this length.
        first: the length that was compressed by itself.
        probes: inputs of this length in torch's layout; a few of them prove that the float functions are the same.

    Returns:
        The part; or nothing, where this length has to be compressed by itself. And why, in words for the user.

    Raises:
        AuditError: an operator of the file is not in the precision it was asked to have.
    """
    there = {layer.name: layer for layer in first.given.model.layers}
    here = {layer.name: layer for layer in relayered.model.layers}
    if there.keys() != here.keys():
        return None, f"scales of its own: {len(there.keys() ^ here.keys())} layers stand in one length only"
    try:
        exact = _in_this_length(relayered, here, there, first.made.exact)
        model = exact if first.made.tuned is None else _in_this_length(relayered, here, there, first.made.relayered)
    except _OwnConstantError as error:
        return None, f"scales of its own: {error}"
    snr_db = masked_snr_db(relayered, exact, judging_inputs(probes))
    # Without its inner masks a part is equal inside the mask only, and as much as `streamline` lets it be.
    if snr_db < (MIN_SNR_DB if first.made.dropped_masks else _EXACT_SNR_DB):
        return None, f"scales of its own: with the longest's it computes something else ({snr_db:.1f} dB)"
    content = export_int8(model, first.made.plan, dict(first.made.ranges))
    made = replace(
        first.made,
        tflite=content,
        relayered=model,
        exact=exact,
        audit=audit(content, first.made.plan, model.torch_names),
    )
    return made, f"weights and scales of the longest, equal in float to {snr_db:.0f} dB"


class _OwnConstantError(Exception):
    """A constant that a length decides was also changed by compression."""


def _in_this_length(
    relayered: RelayeredModel, here: dict[str, Any], there: dict[str, Any], made: RelayeredModel
) -> RelayeredModel:
    """The compressed model of another length, with what this length decides for itself."""
    weights: dict[str, list[np.ndarray]] = {}

    def visit(layer: Any, inputs: list[Any], copy: Any) -> Any:
        weights[layer.name] = changed = layer.get_weights()
        own, other = here.get(layer.name), there.get(layer.name)
        if own is None or other is None:  # compression added it
            if any(new.shape[-1] != old.shape[-1] for new, old in zip(inputs, rewire.layer_inputs(layer), strict=True)):
                raise _OwnConstantError(f"{layer.name!r} has as many channels as its length says")
            return rewire.call(copy(), inputs)
        if not _same(own.get_weights(), other.get_weights()):
            if not _same(changed, other.get_weights()):
                raise _OwnConstantError(
                    f"{layer.name!r} holds numbers of its length, and compression moved scales there"
                )
            weights[layer.name] = own.get_weights()
        if own.get_config() == other.get_config():
            return rewire.call(copy(), inputs)
        if layer.get_config() != other.get_config():
            raise _OwnConstantError(f"{layer.name!r} is shaped by its length, and compression changed it")
        return rewire.call(rewire.clone(own), inputs)

    shapes = {rewire.maker(tensor).name: tuple(tensor.shape) for tensor in relayered.model.inputs}
    model = rewire.rebuild(made.model, visit, shapes)
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(weights[layer.name])
    return replace(made, model=model, interface=relayered.interface)


def _same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(
        a.shape == b.shape and np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )
