"""The graphs of SoVITS as modules whose parameters carry the checkpoint's names, and their static interfaces.

Names, shapes and order of inputs and outputs are what ``toolkit.engine`` feeds and reads. A part whose voice is folded
takes no style; otherwise its last input is ``ge`` or, for the text encoder of v2Pro, ``ge_text``.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from converters.spec import PartSpec, TensorSpec
from toolkit.models.gpt_sovits.sovits import CodeExtractor, Sovits
from toolkit.models.gpt_sovits.sovits_config import SAMPLES_PER_FRAME, SovitsConfig
from toolkit.models.gpt_sovits.style_encoder import Enrolment

TEXT_ENCODER: Final = "text_encoder"
FLOW: Final = "flow"
VOCODER: Final = "vocoder"
VOCODER_STREAM: Final = "vocoder_stream"
VOCODER_LIGHT_STREAM: Final = "vocoder_light_stream"
STYLE: Final = "style_encoder"
CODES: Final = "code_extractor"
_SIGNAL: Final = ("batch", "channels", "frames")


class TextEncoderPart(nn.Module):
    """Codes and phones to statistics of the prior."""

    def __init__(self, model: Sovits) -> None:
        super().__init__()
        self.enc_p = model.prior

    def forward(
        self, codes: Tensor, phones: Tensor, codes_mask: Tensor, phones_mask: Tensor, style: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See ``PriorEncoder.forward``."""
        return self.enc_p(codes, phones, codes_mask, phones_mask, style)


class FlowPart(nn.Module):
    """Prior sample to latent."""

    def __init__(self, model: Sovits) -> None:
        super().__init__()
        self.flow = model.flow

    def forward(self, z_p: Tensor, mask: Tensor, style: Tensor | None = None) -> Tensor:
        """See ``ReverseFlow.forward``."""
        return self.flow(z_p, mask, style)


class VocoderPart(nn.Module):
    """Latent to audio."""

    def __init__(self, model: Sovits) -> None:
        super().__init__()
        self.dec = model.generator

    def forward(self, z: Tensor, mask: Tensor, style: Tensor | None = None) -> Tensor:
        """See ``Generator.forward``."""
        return self.dec(z, mask, style)


class StyleWithSpeaker(nn.Module):
    """``Enrolment`` of v2Pro with its two outputs, of the others with its one."""

    def __init__(self, enrolment: Enrolment) -> None:
        super().__init__()
        self.enrolment = enrolment

    def forward(self, spectrogram: Tensor, mask: Tensor, speaker: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        """See ``Enrolment.forward``."""
        found = self.enrolment(spectrogram, mask, speaker)
        return found if len(found) > 1 else found[0]


def text_encoder_spec(config: SovitsConfig, codes: int, phones: int, *, folded: bool) -> PartSpec:
    """Interface of the text encoder for so many codes and phones at most."""
    statistics = (1, config.inter, 2 * codes)
    style = TensorSpec(name="ge_text" if config.speaker else "ge", shape=(1, config.mrte, 1), axes=_SIGNAL)
    return PartSpec(
        name=TEXT_ENCODER,
        inputs=(
            TensorSpec(name="codes", shape=(1, codes), dtype="int32", axes=("batch", "codes")),
            TensorSpec(name="phones", shape=(1, phones), dtype="int32", axes=("batch", "phones")),
            TensorSpec(name="codes_mask", shape=(1, 1, 2 * codes), axes=_SIGNAL),
            TensorSpec(name="phones_mask", shape=(1, 1, phones), axes=("batch", "channels", "phones")),
            *(() if folded else (style,)),
        ),
        outputs=(
            TensorSpec(name="m_p", shape=statistics, axes=_SIGNAL),
            TensorSpec(name="logs_p", shape=statistics, axes=_SIGNAL),
        ),
    )


def flow_spec(config: SovitsConfig, frames: int, *, folded: bool) -> PartSpec:
    """Interface of the flow for so many frames."""
    latent = (1, config.inter, frames)
    return PartSpec(
        name=FLOW,
        inputs=(
            TensorSpec(name="z_p", shape=latent, axes=_SIGNAL),
            TensorSpec(name="mask", shape=(1, 1, frames), axes=_SIGNAL),
            *_style(config, folded),
        ),
        outputs=(TensorSpec(name="z", shape=latent, axes=_SIGNAL),),
    )


def vocoder_spec(config: SovitsConfig, frames: int, *, folded: bool, name: str = VOCODER) -> PartSpec:
    """Interface of the vocoder for so many frames; ``name`` is ``vocoder`` or ``vocoder_stream``."""
    audio = TensorSpec(name="audio", shape=(1, 1, SAMPLES_PER_FRAME * frames), axes=("batch", "channels", "samples"))
    return PartSpec(
        name=name,
        inputs=(
            TensorSpec(name="z", shape=(1, config.inter, frames), axes=_SIGNAL),
            TensorSpec(name="mask", shape=(1, 1, frames), axes=_SIGNAL),
            *_style(config, folded),
        ),
        outputs=(audio,),
    )


def style_spec(config: SovitsConfig, frames: int) -> PartSpec:
    """Interface of the reference encoder for a spectrogram of so many frames."""
    speaker = TensorSpec(name="speaker", shape=(1, config.speaker), axes=("batch", "features"))
    text = TensorSpec(name="ge_text", shape=(1, config.mrte, 1), axes=_SIGNAL)
    return PartSpec(
        name=STYLE,
        inputs=(
            TensorSpec(name="spectrogram", shape=(1, config.style_bins, frames), axes=("batch", "bins", "frames")),
            TensorSpec(name="mask", shape=(1, 1, frames), axes=_SIGNAL),
            *((speaker,) if config.speaker else ()),
        ),
        outputs=(
            TensorSpec(name="ge", shape=(1, config.gin, 1), axes=_SIGNAL),
            *((text,) if config.speaker else ()),
        ),
    )


def codes_spec(config: SovitsConfig, codes: int) -> PartSpec:
    """Interface of the code extractor for so many codes (two feature frames each)."""
    return PartSpec(
        name=CODES,
        inputs=(TensorSpec(name="features", shape=(1, config.ssl, 2 * codes), axes=_SIGNAL),),
        outputs=(TensorSpec(name="nearness", shape=(1, codes, config.codes), axes=("batch", "frames", "codes")),),
    )


def _style(config: SovitsConfig, folded: bool) -> tuple[TensorSpec, ...]:
    return () if folded else (TensorSpec(name="ge", shape=(1, config.gin, 1), axes=_SIGNAL),)


def inference(module: nn.Module) -> nn.Module:
    """The module in inference mode, without gradients."""
    return module.eval().requires_grad_(False)


def enrolment_parts(enrolment: Enrolment, extractor: CodeExtractor) -> tuple[nn.Module, nn.Module]:
    """The two graphs of enrolment: style, codes."""
    return inference(StyleWithSpeaker(enrolment)), inference(extractor)


def run(module: nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Outputs without gradients, always as a tuple."""
    with torch.no_grad():
        found = module(*inputs)
    return found if isinstance(found, tuple) else (found,)
