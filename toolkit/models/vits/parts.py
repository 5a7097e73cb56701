"""The graphs of a voice, each a module with static shapes whose parameters carry the checkpoint's names.

A part wraps its network under the name it has in the checkpoint (``enc_p``, ``dp``, ``flow``, ``dec``), so the torch
scope of a layer is its checkpoint name: ``dec.resblocks.0.convs.1``.
"""

from __future__ import annotations

from torch import Tensor, nn

from converters.spec import PartSpec, TensorSpec
from toolkit.models.vits.config import DurationsConfig, EncoderConfig, FlowConfig, GeneratorConfig, VitsConfig
from toolkit.models.vits.decoders import kind_of_decoder
from toolkit.models.vits.duration_predictor import DurationPredictor
from toolkit.models.vits.durations import OUTPUT_NAME
from toolkit.models.vits.flow import ResidualCouplingFlow
from toolkit.models.vits.light_config import LightConfig
from toolkit.models.vits.text_encoder import TextEncoder


class EncoderPart(nn.Module):
    """Phoneme ids to prior statistics."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.enc_p = TextEncoder(config)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See ``TextEncoder.forward``."""
        return self.enc_p(ids, mask)


class DurationsPart(nn.Module):
    """Encoder output to log durations."""

    def __init__(self, config: DurationsConfig) -> None:
        super().__init__()
        self.dp = DurationPredictor(config)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """See ``DurationPredictor.forward``."""
        return self.dp(x, mask)


class FlowPart(nn.Module):
    """Prior sample to latent."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.flow = ResidualCouplingFlow(config)

    def forward(self, z_p: Tensor, mask: Tensor) -> Tensor:
        """See ``ResidualCouplingFlow.forward``."""
        return self.flow(z_p, mask)


class DecoderPart(nn.Module):
    """Latent to audio."""

    def __init__(self, config: GeneratorConfig | LightConfig) -> None:
        super().__init__()
        self.dec = kind_of_decoder(config).module(config)

    def forward(self, z: Tensor, mask: Tensor) -> Tensor:
        """See the ``forward`` of the decoder's kind, e.g. ``Generator.forward``."""
        return self.dec(z, mask)


def build(config: VitsConfig) -> dict[str, nn.Module]:
    """The parts with random weights, in inference mode and without gradients.

    Returns:
        ``encoder``, ``durations`` where they are deterministic, ``flow`` and ``decoder``.
    """
    parts: dict[str, nn.Module] = {"encoder": EncoderPart(config.encoder)}
    if config.durations is not None:
        parts["durations"] = DurationsPart(config.durations)
    parts |= {"flow": FlowPart(config.flow), "decoder": DecoderPart(config.generator)}
    for module in parts.values():
        module.eval().requires_grad_(False)
    return parts


def spec(config: VitsConfig, part: str, bucket: int) -> PartSpec:
    """The static interface of ``part`` for a bucket of that many phonemes (encoder, durations) or frames (the rest)."""
    if part == "encoder":
        axes = ("batch", "channels", "phonemes")
        inter = config.encoder.inter
        return PartSpec(
            name=part,
            inputs=(
                TensorSpec(name="ids", shape=(1, bucket), dtype="int32", axes=("batch", "phonemes")),
                TensorSpec(name="mask", shape=(1, 1, bucket), axes=axes),
            ),
            outputs=(
                TensorSpec(name="x", shape=(1, config.encoder.hidden, bucket), axes=axes),
                TensorSpec(name="m_p", shape=(1, inter, bucket), axes=axes),
                TensorSpec(name="logs_p", shape=(1, inter, bucket), axes=axes),
            ),
        )
    if part == "durations" and config.durations is not None:
        axes = ("batch", "channels", "phonemes")
        return PartSpec(
            name=part,
            inputs=(
                TensorSpec(name="x", shape=(1, config.durations.channels, bucket), axes=axes),
                TensorSpec(name="mask", shape=(1, 1, bucket), axes=axes),
            ),
            outputs=(TensorSpec(name=OUTPUT_NAME, shape=(1, 1, bucket), axes=axes),),
        )
    axes = ("batch", "channels", "frames")
    mask = TensorSpec(name="mask", shape=(1, 1, bucket), axes=axes)
    latent = (1, config.flow.channels, bucket)
    if part == "flow":
        return PartSpec(
            name=part,
            inputs=(TensorSpec(name="z_p", shape=latent, axes=axes), mask),
            outputs=(TensorSpec(name="z", shape=latent, axes=axes),),
        )
    if part == "decoder":
        audio = TensorSpec(
            name="audio", shape=(1, 1, bucket * config.generator.hop), axes=("batch", "channels", "samples")
        )
        return PartSpec(name=part, inputs=(TensorSpec(name="z", shape=latent, axes=axes), mask), outputs=(audio,))
    raise KeyError(part)
