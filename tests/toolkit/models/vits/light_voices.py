"""The seeded voice with a light decoder of its sizes, random weights."""

from __future__ import annotations

from dataclasses import replace

import torch

from toolkit.distil.decoder_start import light_config
from toolkit.models.seeded import seeded_voice
from toolkit.models.vits import parts
from toolkit.models.voice import Voice
from toolkit.recipe.shrinking import DecoderStudent

KINDS = ("istft", "wavenet", "narrow")


def light_voice(kind: str, resblock: str = "2") -> Voice:
    """A voice whose decoder is a light one."""
    voice = seeded_voice(0, resblock)
    sizes = light_config(voice.config.generator, DecoderStudent(kind=kind, width=4, last_width=2))
    config = replace(voice.config, generator=sizes)
    torch.manual_seed(0)
    decoder = parts.build(config)["decoder"]
    if kind == "istft":
        decoder.dec.spectrum.weight.mul_(10.0)  # loud enough that an error is not lost beside the signal
    return replace(voice, config=config, modules={**voice.modules, "decoder": decoder})
