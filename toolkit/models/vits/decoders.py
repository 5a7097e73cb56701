"""The kinds of decoder a voice may have: one table, which a new kind joins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from torch import nn

from toolkit.models.vits.config import GeneratorConfig
from toolkit.models.vits.generator import Generator
from toolkit.models.vits.light_config import IstftConfig, NarrowConfig, WavenetConfig
from toolkit.models.vits.light_generator import IstftGenerator, NarrowGenerator, WavenetGenerator
from toolkit.models.vits.reach import generator_reach_frames, light_reach_frames


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderKind:
    """One kind.

    Attributes:
        name: as a voice file says it.
        config: its sizes; has ``channels`` (of the latent) and ``hop`` (samples a frame).
        module: made of a ``config``; ``forward(z, mask)`` gives ``[1, 1, frames * hop]``.
        reach_frames: context it needs to each side of a chunk, of a ``config``.
    """

    name: str
    config: type[Any]
    module: Callable[[Any], nn.Module]
    reach_frames: Callable[[Any], int]


DECODERS: Final = (
    DecoderKind(name="hifigan", config=GeneratorConfig, module=Generator, reach_frames=generator_reach_frames),
    DecoderKind(name="istft", config=IstftConfig, module=IstftGenerator, reach_frames=light_reach_frames),
    DecoderKind(name="wavenet", config=WavenetConfig, module=WavenetGenerator, reach_frames=light_reach_frames),
    DecoderKind(name="narrow", config=NarrowConfig, module=NarrowGenerator, reach_frames=light_reach_frames),
)


def kind_of_decoder(config: Any) -> DecoderKind:
    """The kind whose sizes these are.

    Raises:
        KeyError: no kind has such sizes.
    """
    for kind in DECODERS:
        if type(config) is kind.config:
            return kind
    raise KeyError(type(config).__name__)
