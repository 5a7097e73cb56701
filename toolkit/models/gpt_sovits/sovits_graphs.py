"""Every SoVITS graph of a bundle: module, interface, and inputs to prove it on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toolkit.engine.buckets import filled, presence
from toolkit.models.gpt_sovits import sovits_parts as parts
from toolkit.models.gpt_sovits.checkpoint import Checkpoint
from toolkit.models.gpt_sovits.phone_graph import PhoneGraph
from toolkit.models.gpt_sovits.sovits import (
    Sovits,
    code_extractor,
    config_of,
    enrolment_model,
    mean_style,
    sovits_model,
    with_voice,
)
from toolkit.models.gpt_sovits.sovits_config import SovitsConfig
from toolkit.models.vits.reach import generator_reach_frames

_SHARES = (0.6, 1.0)  # how full the probes make a bucket
NOISE_SCALE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class SovitsBuckets:
    """Static lengths to convert for.

    Attributes:
        text: pairs of codes and phones (25 codes are a second).
        flow: codes; the flow has two frames for each.
        vocoder: frames sung at once.
        vocoder_stream: frames of a chunk, its context on both sides included.
        vocoder_light_stream: the same for the vocoder the engine falls back to. It is the same network, and is made
            lighter by the precisions a recipe gives it.
        style: spectrogram frames (50 a second) of a reference recording.
        extractor: codes of a reference recording.
    """

    text: tuple[tuple[int, int], ...] = ((100, 96), (250, 224))
    flow: tuple[int, ...] = (100, 250)
    vocoder: tuple[int, ...] = ()
    vocoder_stream: tuple[int, ...] = (96, 160)
    vocoder_light_stream: tuple[int, ...] = ()
    style: tuple[int, ...] = ()
    extractor: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Style:
    """Style of one voice.

    Attributes:
        ge: ``[1, gin, 1]``.
        ge_text: what the cross attention adds, ``[1, mrte, 1]``; ``ge`` itself before v2Pro.
    """

    ge: Tensor
    ge_text: Tensor


def overlap_frames(config: SovitsConfig) -> int:
    """Context a chunk of the vocoder needs on either side to be exact."""
    return generator_reach_frames(config.generator)


def sovits_graphs(
    checkpoint: Checkpoint, buckets: SovitsBuckets, *, voice: Style | None = None, seed: int = 0
) -> tuple[PhoneGraph, ...]:
    """The graphs that speak, in the order they run.

    Args:
        checkpoint: a SoVITS file.
        buckets: lengths.
        voice: its style is folded into the graphs, which then speak with this voice only; without one the graphs
            take the style as an input.
        seed: of the sentences, and of the style where there is none, that the probes are made of.

    Raises:
        CheckpointError: it is a GPT checkpoint.
    """
    model = sovits_model(checkpoint)
    style = voice or random_style(checkpoint, seed)
    if voice is not None:
        model = with_voice(model, voice.ge, voice.ge_text)
    probed = _Sentences(model, style, seed)
    config, folded = model.config, model.folded
    found = []
    text = parts.inference(parts.TextEncoderPart(model))
    for codes, phones in buckets.text:
        spec = parts.text_encoder_spec(config, codes, phones, folded=folded)
        found.append(PhoneGraph(parts.TEXT_ENCODER, codes, text, spec, probed.texts(codes, phones)))
    flow = parts.inference(parts.FlowPart(model))
    for codes in buckets.flow:
        spec = parts.flow_spec(config, 2 * codes, folded=folded)
        found.append(PhoneGraph(parts.FLOW, codes, flow, spec, probed.priors(2 * codes)))
    vocoder = parts.inference(parts.VocoderPart(model))
    for kind, lengths in (
        (parts.VOCODER, buckets.vocoder),
        (parts.VOCODER_STREAM, buckets.vocoder_stream),
        (parts.VOCODER_LIGHT_STREAM, buckets.vocoder_light_stream),
    ):
        for frames in lengths:
            spec = parts.vocoder_spec(config, frames, folded=folded, name=kind)
            found.append(PhoneGraph(kind, frames, vocoder, spec, probed.latents(frames)))
    return tuple(found)


def enrolment_graphs(checkpoint: Checkpoint, buckets: SovitsBuckets, *, seed: int = 0) -> tuple[PhoneGraph, ...]:
    """The graphs that make a voice of a recording: its spectrogram to a style, its features to codes.

    Raises:
        CheckpointError: it is a GPT checkpoint.
    """
    style, extractor = parts.enrolment_parts(enrolment_model(checkpoint), code_extractor(checkpoint))
    config = config_of(checkpoint)
    generator = np.random.default_rng(seed)
    found = []
    for frames in buckets.style:
        probes = []
        for share in _SHARES:
            there = max(1, int(frames * share))
            probe = {
                "spectrogram": filled(_magnitudes(generator, config.style_bins, there), frames),
                "mask": presence(there, frames),
            }
            if config.speaker:
                probe["speaker"] = generator.standard_normal((1, config.speaker), np.float32)
            probes.append(probe)
        found.append(PhoneGraph(parts.STYLE, frames, style, parts.style_spec(config, frames), tuple(probes)))
    for codes in buckets.extractor:
        features = tuple(
            {"features": generator.standard_normal((1, config.ssl, 2 * codes), np.float32)} for _ in _SHARES
        )
        found.append(PhoneGraph(parts.CODES, codes, extractor, parts.codes_spec(config, codes), features))
    return tuple(found)


def random_style(checkpoint: Checkpoint, seed: int = 0) -> Style:
    """The style the checkpoint's own reference encoder gives of a random spectrogram: of the right size and spread."""
    config, generator = config_of(checkpoint), np.random.default_rng(seed)
    speakers = [torch.from_numpy(generator.standard_normal((1, config.speaker), np.float32))] if config.speaker else []
    spectrogram = torch.from_numpy(_magnitudes(generator, config.style_bins, 64))
    ge, ge_text = mean_style(enrolment_model(checkpoint), [spectrogram], speakers)
    return Style(ge=ge, ge_text=ge_text)


def _magnitudes(generator: np.random.Generator, bins: int, frames: int) -> np.ndarray:
    """Positive, long-tailed and weaker towards high bins, like a spectrogram of speech."""
    slope = np.exp(-np.arange(bins, dtype=np.float32) / bins * 4)[:, None]
    return (np.exp(generator.standard_normal((1, bins, frames), np.float32)) * slope).astype(np.float32)


class _Sentences:
    """Random sentences that fill a bucket more or less, run as far as a part's inputs."""

    def __init__(self, model: Sovits, style: Style, seed: int) -> None:
        self.model, self.seed = model, seed
        self.style = None if model.folded else style.ge
        self.text_style = None if model.folded else style.ge_text
        name = "ge_text" if model.config.speaker else "ge"
        self.styled = {} if model.folded else {"ge": style.ge.numpy()}
        self.text_styled = {} if model.folded else {name: style.ge_text.numpy()}

    def texts(self, codes: int, phones: int) -> tuple[dict[str, np.ndarray], ...]:
        return tuple(
            {**self._text(codes, phones, share, number), **self.text_styled} for number, share in enumerate(_SHARES)
        )

    def priors(self, frames: int) -> tuple[dict[str, np.ndarray], ...]:
        return tuple(
            {"z_p": z_p.numpy(), "mask": mask.numpy(), **self.styled}
            for z_p, mask in (self._prior(frames, share, number) for number, share in enumerate(_SHARES))
        )

    def latents(self, frames: int) -> tuple[dict[str, np.ndarray], ...]:
        found = []
        for number, share in enumerate(_SHARES):
            z_p, mask = self._prior(frames, share, number)
            (z,) = parts.run(self.model.flow, z_p, mask, *(() if self.style is None else (self.style,)))
            found.append({"z": z.numpy(), "mask": mask.numpy(), **self.styled})
        return tuple(found)

    def _text(self, codes: int, phones: int, share: float, number: int) -> dict[str, np.ndarray]:
        config, generator = self.model.config, np.random.default_rng([self.seed, number])
        said, spoken = max(1, int(codes * share)), max(1, int(phones * share))
        return {
            "codes": filled(generator.integers(0, config.codes, (1, said)).astype(np.int32), codes),
            "phones": filled(generator.integers(0, config.symbols, (1, spoken)).astype(np.int32), phones),
            "codes_mask": presence(2 * said, 2 * codes),
            "phones_mask": presence(spoken, phones),
        }

    def _prior(self, frames: int, share: float, number: int) -> tuple[Tensor, Tensor]:
        """A prior sample of so many frames and its mask, 0 where the mask is 0."""
        codes = max(frames // 2 + frames % 2, 5)  # the attention's window wants nine frames
        text = [torch.from_numpy(value) for value in self._text(codes, max(codes, 9), share, number).values()]
        style = () if self.text_style is None else (self.text_style,)
        mean, deviation = parts.run(self.model.prior, *text, *style)
        noise = torch.from_numpy(np.random.default_rng([self.seed, number, 1]).standard_normal(mean.shape, np.float32))
        mask = torch.from_numpy(presence(max(1, int(frames * share)), frames))
        return (mean + noise * torch.exp(deviation) * NOISE_SCALE)[:, :, :frames] * mask, mask
