"""SoVITS as torch runs it: the reference every graph is compared with, and what its parts are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.checkpoint import Checkpoint
from toolkit.models.gpt_sovits.folding import code_table, fill, with_style, without_weight_norm
from toolkit.models.gpt_sovits.prior_encoder import PriorEncoder
from toolkit.models.gpt_sovits.sovits_config import CODEBOOK, SovitsConfig
from toolkit.models.gpt_sovits.sovits_flow import ReverseFlow, without_flips
from toolkit.models.gpt_sovits.style_encoder import Enrolment
from toolkit.models.vits.generator import Generator


class CodeExtractor(nn.Module):
    """Self-supervised features to how near each code is; the nearest is the code.

    Upstream takes the largest of ``-(x^2 - 2xe + e^2)``; ``x^2`` is the same for every code and is left out.

    Args:
        config: sizes.
    """

    def __init__(self, config: SovitsConfig) -> None:
        super().__init__()
        self.ssl_proj = nn.Conv1d(config.ssl, config.ssl, 2, stride=2)
        self.nearness = nn.Linear(config.ssl, config.codes)

    def forward(self, features: Tensor) -> Tensor:
        """``[1, ssl, 2n]`` at 50 Hz to ``[1, n, codes]``; the largest of each row is the code."""
        return self.nearness(self.ssl_proj(features).transpose(1, 2))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sovits:
    """One SoVITS model.

    Attributes:
        config: sizes.
        folded: whether the style of one voice is folded into the modules.
        weights: tensors without weight norm; those the modules were filled from.
        prior: ``enc_p``.
        flow: the flow, in reverse.
        generator: the vocoder.
    """

    config: SovitsConfig
    folded: bool
    weights: dict[str, Tensor] = field(repr=False)
    prior: PriorEncoder = field(repr=False)
    flow: ReverseFlow = field(repr=False)
    generator: Generator = field(repr=False)

    @torch.no_grad()
    def speak(
        self,
        codes: Tensor,
        phones: Tensor,
        codes_mask: Tensor,
        phones_mask: Tensor,
        *,
        style: Tensor | None = None,
        text_style: Tensor | None = None,
        noise: Tensor | None = None,
        noise_scale: float = 0.5,
        speed: float = 1.0,
    ) -> Tensor:
        """Audio of a sentence.

        Args:
            codes: ``[1, n]`` int32.
            phones: ``[1, phones]`` int32.
            codes_mask: ``[1, 1, 2n]``.
            phones_mask: ``[1, 1, phones]``.
            style: ``ge`` ``[1, gin, 1]``; not for a folded model.
            text_style: ``[1, mrte, 1]``; see ``Enrolment.text_style``.
            noise: ``[1, inter, frames]`` of a normal distribution; none for ``None``.
            noise_scale: its width.
            speed: of speech.

        Returns:
            ``[1, 1, frames * 640]``.
        """
        frames = self.prior.frames(codes, phones, codes_mask, phones_mask, text_style)
        mean, deviation = self.prior.statistics(frames, codes_mask, speed)
        mask = codes_mask
        if mean.shape[2] != mask.shape[2]:
            mask = nn.functional.interpolate(mask, size=mean.shape[2], mode="nearest")
        z_p = mean if noise is None else mean + noise * torch.exp(deviation) * noise_scale
        return self.generator(self.flow(z_p * mask, mask, style), mask, style)


def sovits_model(checkpoint: Checkpoint) -> Sovits:
    """The model for any voice, with the style as an input.

    Raises:
        CheckpointError: it is a GPT checkpoint.
    """
    config = config_of(checkpoint)
    return _build(config, without_weight_norm(checkpoint.weights), folded=False)


def with_voice(model: Sovits, style: Tensor, text_style: Tensor) -> Sovits:
    """The model for one voice, whose style is folded into biases; see ``folding.with_style``."""
    return _build(model.config, with_style(model.weights, style, text_style), folded=True)


def config_of(checkpoint: Checkpoint) -> SovitsConfig:
    """Sizes of a SoVITS checkpoint.

    Raises:
        CheckpointError: it is a GPT checkpoint.
    """
    if checkpoint.sovits is None:
        raise CheckpointError(
            "it is a GPT checkpoint (.ckpt), not a SoVITS one (.pth)",
            code="checkpoint/swapped",
            where=str(checkpoint.path),
            hint="exchange the two paths",
        )
    return checkpoint.sovits


def _build(config: SovitsConfig, weights: dict[str, Tensor], *, folded: bool) -> Sovits:
    gin = 0 if folded else config.gin
    prior = PriorEncoder(config, style=not folded)
    fill(prior, {**weights, "enc_p.code_table.weight": code_table(weights)}, "enc_p.")
    flow = ReverseFlow(config.flow, gin)
    fill(flow, without_flips(weights, config.flow), "flow.")
    generator = Generator(config.generator, gin)
    fill(generator, weights, "dec.")
    return Sovits(config=config, folded=folded, weights=weights, prior=prior, flow=flow, generator=generator)


def enrolment_model(checkpoint: Checkpoint) -> Enrolment:
    """What makes the style of a voice.

    Raises:
        CheckpointError: it is a GPT checkpoint.
    """
    module = Enrolment(config_of(checkpoint))
    fill(module, checkpoint.weights)
    return module


def code_extractor(checkpoint: Checkpoint) -> CodeExtractor:
    """What makes the codes of a voice's reference recording.

    Raises:
        CheckpointError: it is a GPT checkpoint.
    """
    module = CodeExtractor(config_of(checkpoint))
    codebook = checkpoint.weights[CODEBOOK]
    nearness = {"nearness.weight": 2 * codebook, "nearness.bias": -(codebook**2).sum(dim=1)}
    fill(module, {**checkpoint.weights, **nearness})
    return module


@torch.no_grad()
def mean_style(
    enrolment: Enrolment, spectrograms: Sequence[Tensor], speakers: Sequence[Tensor] = ()
) -> tuple[Tensor, Tensor]:
    """Style of a voice from one or several recordings, as upstream averages them: after everything but ``ge_to512``.

    Args:
        enrolment: the module.
        spectrograms: ``[1, bins, frames]`` each.
        speakers: ``[1, speaker]`` for each (v2Pro).

    Returns:
        ``ge`` ``[1, gin, 1]`` and what the cross attention adds, ``[1, mrte, 1]``.

    Raises:
        ValueError: no recording, or as many speaker embeddings as recordings are needed and not there.
    """
    needed = len(spectrograms) if enrolment.sv_emb is not None else 0
    if not spectrograms or len(speakers) != needed:
        raise ValueError(f"{len(spectrograms)} recordings with {len(speakers)} speaker embeddings, {needed} needed")
    styles = []
    for index, spectrogram in enumerate(spectrograms):
        mask = torch.ones(1, 1, spectrogram.shape[2])
        styles.append(enrolment(spectrogram, mask, speakers[index] if needed else None)[0])
    style = torch.stack(styles).mean(dim=0)
    return style, enrolment.text_style(style)
