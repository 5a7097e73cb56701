"""Every width, depth and stride of a VITS voice, as read from its tensors and node attributes."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.models.vits.light_config import LightConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """The text encoder.

    Attributes:
        vocabulary: number of phoneme ids.
        hidden: channels of the transformer.
        filter_channels: channels inside the feed-forward blocks; layer by layer where they differ, as in a pruned one.
        heads: attention heads, a divisor of ``attention_width``.
        layers: transformer layers.
        kernel: width of the feed-forward convolutions.
        window: relative positions reach ``window`` phonemes to each side.
        inter: channels of ``m_p`` and ``logs_p``.
        attention: channels of all heads together where they are not ``hidden``: a voice some heads were taken from.
    """

    vocabulary: int
    hidden: int = 192
    filter_channels: int | tuple[int, ...] = 768
    heads: int = 2
    layers: int = 6
    kernel: int = 3
    window: int = 4
    inter: int = 192
    attention: int | None = None

    @property
    def inners(self) -> tuple[int, ...]:
        """Channels inside the feed-forward block, layer by layer."""
        inner = self.filter_channels
        return (inner,) * self.layers if isinstance(inner, int) else inner

    @property
    def attention_width(self) -> int:
        """Channels of all heads together."""
        return self.hidden if self.attention is None else self.attention


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowConfig:
    """The residual-coupling flow.

    Attributes:
        channels: channels of ``z``.
        hidden: channels of the WaveNet inside each coupling.
        couplings: number of couplings; a channel flip follows each.
        kernel: width of the WaveNet convolutions.
        dilations: dilation of each WaveNet layer; their count is the depth.
        gates: gates of each WaveNet layer, coupling by coupling as the checkpoint numbers them, where they are not
            ``hidden``: a voice some were taken from.
    """

    channels: int = 192
    hidden: int = 192
    couplings: int = 4
    kernel: int = 5
    dilations: tuple[int, ...] = (1, 1, 1, 1)
    gates: tuple[tuple[int, ...], ...] | None = None

    @property
    def gate_widths(self) -> tuple[tuple[int, ...], ...]:
        """Gates of each WaveNet layer, coupling by coupling."""
        if self.gates is not None:
            return self.gates
        return ((self.hidden,) * len(self.dilations),) * self.couplings


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorConfig:
    """The HiFi-GAN generator.

    Attributes:
        channels: channels of ``z``.
        initial: channels after ``conv_pre``; halved by every upsampling unless there are ``widths``.
        up_rates: stride of each transposed convolution.
        up_kernels: width of each transposed convolution.
        up_paddings: padding of each transposed convolution.
        resblock: ``"1"`` (two convolutions per residual step) or ``"2"`` (one).
        resblock_kernels: width of each residual block of a stage.
        resblock_dilations: dilations of each residual block of a stage.
        slope: negative slope of every leaky ReLU but the last.
        last_slope: negative slope before ``conv_post`` (0.01 in VITS, PyTorch's default, not 0.1).
        post_bias: whether ``conv_post`` has a bias.
        widths: channels after each upsampling where they are not halved: a voice some were taken from.
        inners: channels between the two convolutions of each residual step of each block where they are not the
            stage's, likewise; only with ``resblock`` ``"1"``.
    """

    channels: int = 192
    initial: int = 256
    up_rates: tuple[int, ...] = (8, 8, 4)
    up_kernels: tuple[int, ...] = (16, 16, 8)
    up_paddings: tuple[int, ...] = (4, 4, 2)
    resblock: str = "2"
    resblock_kernels: tuple[int, ...] = (3, 5, 7)
    resblock_dilations: tuple[tuple[int, ...], ...] = ((1, 2), (2, 6), (3, 12))
    slope: float = 0.1
    last_slope: float = 0.01
    post_bias: bool = False
    widths: tuple[int, ...] | None = None
    inners: tuple[tuple[int, ...], ...] | None = None

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Channels after each upsampling."""
        if self.widths is not None:
            return self.widths
        return tuple(self.initial >> (stage + 1) for stage in range(len(self.up_rates)))

    @property
    def block_inners(self) -> tuple[tuple[int, ...], ...]:
        """Channels between the two convolutions of each residual step, block by block; none with one convolution."""
        if self.inners is not None or self.resblock != "1":
            return self.inners or ()
        return tuple((width,) * len(dilations) for width in self.stage_widths for dilations in self.resblock_dilations)

    @property
    def hop(self) -> int:
        """Audio samples per frame."""
        hop = 1
        for rate in self.up_rates:
            hop *= rate
        return hop


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationsConfig:
    """The deterministic duration predictor.

    Attributes:
        channels: channels of ``x``, the encoder's ``hidden``.
        hidden: channels between the convolutions.
        kernel: width of the convolutions.
        layers: how many convolutions; a projection to one channel follows.
    """

    channels: int = 192
    hidden: int = 128
    kernel: int = 3
    layers: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class VitsConfig:
    """A whole voice.

    Attributes:
        encoder: text encoder.
        flow: flow.
        generator: decoder: HiFi-GAN, or one of the light ones a student may have.
        durations: deterministic duration predictor; ``None`` for a stochastic one, which runs on the host.
    """

    encoder: EncoderConfig
    flow: FlowConfig
    generator: GeneratorConfig | LightConfig
    durations: DurationsConfig | None = None
