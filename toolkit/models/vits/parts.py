"""The three graphs of a voice, each a module with static shapes whose parameters carry the checkpoint's names.

A part wraps its network under the name it has in the checkpoint (``enc_p``, ``flow``, ``dec``), so the torch scope of
a layer is its checkpoint name: ``dec.resblocks.0.convs.1``.
"""

from __future__ import annotations

from torch import Tensor, nn

from converters.spec import PartSpec, TensorSpec
from toolkit.models.vits.config import EncoderConfig, FlowConfig, GeneratorConfig, VitsConfig
from toolkit.models.vits.flow import ResidualCouplingFlow
from toolkit.models.vits.generator import Generator
from toolkit.models.vits.light_config import IstftConfig, LightConfig, WavenetConfig
from toolkit.models.vits.light_generator import IstftGenerator, WavenetGenerator
from toolkit.models.vits.text_encoder import TextEncoder


class EncoderPart(nn.Module):
    """Phoneme ids to prior statistics."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.enc_p = TextEncoder(config)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See ``TextEncoder.forward``."""
        return self.enc_p(ids, mask)


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
        self.dec = decoder(config)

    def forward(self, z: Tensor, mask: Tensor) -> Tensor:
        """See ``Generator.forward``."""
        return self.dec(z, mask)


def decoder(config: GeneratorConfig | LightConfig) -> Generator | IstftGenerator | WavenetGenerator:
    """The decoder these sizes are of, with random weights."""
    if isinstance(config, IstftConfig):
        return IstftGenerator(config)
    if isinstance(config, WavenetConfig):
        return WavenetGenerator(config)
    return Generator(config)


def build(config: VitsConfig) -> dict[str, nn.Module]:
    """The parts with random weights, in inference mode and without gradients.

    Returns:
        ``encoder``, ``flow`` and ``decoder``.
    """
    parts: dict[str, nn.Module] = {
        "encoder": EncoderPart(config.encoder),
        "flow": FlowPart(config.flow),
        "decoder": DecoderPart(config.generator),
    }
    for module in parts.values():
        module.eval().requires_grad_(False)
    return parts


def spec(config: VitsConfig, part: str, bucket: int) -> PartSpec:
    """The static interface of ``part`` for a bucket of that many phonemes (encoder) or frames (flow, decoder)."""
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
