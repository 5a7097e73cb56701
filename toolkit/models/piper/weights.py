"""Puts the tensors of a Piper voice into the parts, folding the speaker of a multi-speaker voice into biases.

A speaker vector ``g`` enters VITS only through 1x1 convolutions whose output is added before another convolution's
non-linearity, the same at every frame: for one speaker that is a constant, added to a bias without approximation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from converters import frameworks
from converters.errors import InputError
from toolkit.models.piper.graph import PiperGraph
from toolkit.models.vits.config import VitsConfig

if TYPE_CHECKING:
    from torch import nn

SPEAKER_TABLE = "emb_g.weight"


def speaker_vector(graph: PiperGraph, speaker: int) -> np.ndarray | None:
    """The vector of a speaker, ``[gin]``; ``None`` for a voice of one speaker.

    Raises:
        InputError: the voice has no such speaker.
    """
    table = graph.tensors.get(SPEAKER_TABLE)
    count = 1 if table is None else len(table)
    if not 0 <= speaker < count:
        raise InputError(
            f"no speaker {speaker}: the voice has {count}",
            code="input/no-such-speaker",
            where=str(graph.path),
            hint=f"choose a speaker between 0 and {count - 1}",
        )
    return None if table is None else table[speaker]


def fold_speaker(tensors: Mapping[str, np.ndarray], config: VitsConfig, vector: np.ndarray) -> dict[str, np.ndarray]:
    """Tensors in which the biases carry the speaker; the conditioning layers are gone."""
    folded = dict(tensors)

    def condition(prefix: str) -> np.ndarray:
        weight = folded.pop(f"{prefix}.weight")[:, :, 0].astype(np.float64)
        return weight @ vector.astype(np.float64) + folded.pop(f"{prefix}.bias")

    if "dec.cond.weight" in folded:
        folded["dec.conv_pre.bias"] = (folded["dec.conv_pre.bias"] + condition("dec.cond")).astype(np.float32)
    for coupling in range(config.flow.couplings):
        prefix = f"flow.flows.{2 * coupling}.enc"
        if f"{prefix}.cond_layer.weight" not in folded:
            continue
        gates = condition(f"{prefix}.cond_layer").reshape(len(config.flow.dilations), 2 * config.flow.hidden)
        for layer, gate in enumerate(gates):
            name = f"{prefix}.in_layers.{layer}.bias"
            folded[name] = (folded[name] + gate).astype(np.float32)
    return folded


def load_into(parts: Mapping[str, nn.Module], tensors: Mapping[str, np.ndarray], where: str) -> None:
    """Copies ``tensors`` into every parameter of ``parts``.

    Raises:
        InputError: a parameter has no tensor, a tensor has another shape or is not finite.
    """
    torch = frameworks.torch()
    for module in parts.values():
        state: dict[str, object] = {}
        for name, parameter in module.state_dict().items():
            array = tensors.get(name)
            if array is None:
                raise _unusable(f"the voice has no tensor {name!r}", where)
            if array.ndim == parameter.ndim + 1 and array.shape[-1] == 1:
                array = array[..., 0]  # a 1x1 Conv1d kernel held by a Linear
            if array.shape != tuple(parameter.shape):
                found, wanted = list(array.shape), list(parameter.shape)
                raise _unusable(f"tensor {name!r} has shape {found}, the other tensors want {wanted}", where)
            if not np.isfinite(array).all():
                raise _unusable(f"tensor {name!r} has values that are not finite", where)
            state[name] = torch.from_numpy(np.array(array, dtype=np.float32))
        module.load_state_dict(state)


def _unusable(message: str, where: str) -> InputError:
    return InputError(
        message,
        code="input/voice-damaged",
        where=where,
        hint="download the voice again and compare its sha256; if it is intact, it is not a Piper VITS voice",
    )
