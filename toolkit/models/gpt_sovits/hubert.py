"""HuBERT (base): sound at 16 kHz to the features semantic codes are made of, 50 a second.

Parameters carry the names of Hugging Face's state dicts, so that chinese-hubert-base loads as it is. Sound shorter than
the graph is padded behind a mask and gives the very features it has alone: the first layer's group norm is over time,
so its sums are masked; the positional convolution sees zeros past the end, as it does at the end of unpadded sound.
Source: Hsu et al., "HuBERT" (2021); ``transformers/models/hubert`` (Apache-2.0) for names and order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from converters.spec import PartSpec, TensorSpec
from toolkit.engine.buckets import BLOCKED
from toolkit.engine.listening import frames_after
from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.self_attention import attended
from toolkit.models.gpt_sovits.state_dict import StateDict, filled_module, layer_count, shape_of

SSL: Final = "ssl"
_STRIDES: Final = (5, 2, 2, 2, 2, 2, 2)
_HEAD_WIDTH: Final = 64
_EPSILON: Final = 1e-5
_POSITION: Final = "encoder.pos_conv_embed.conv"
# The two ways torch has written weight norm: names of the gain and of the direction.
_WEIGHT_NORM: Final = (
    (f"{_POSITION}.weight_g", f"{_POSITION}.weight_v"),
    (f"{_POSITION}.parametrizations.weight.original0", f"{_POSITION}.parametrizations.weight.original1"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubertConfig:
    """Sizes of the model.

    Attributes:
        channels: of each convolution over the sound.
        kernels: their widths in samples or frames.
        strides: their steps.
        width: features of a frame.
        heads: attention heads.
        layers: transformer layers.
        inner: features between the two linear layers of a block.
        position_kernel: frames the positional convolution sees.
        position_groups: its groups.
    """

    channels: tuple[int, ...]
    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    width: int
    heads: int
    layers: int
    inner: int
    position_kernel: int
    position_groups: int

    def lengths(self, samples: int) -> tuple[int, ...]:
        """Frames after each convolution; the last is the number of features."""
        return frames_after(samples, zip(self.kernels, self.strides, strict=True))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        return self.out_proj(attended(self.q_proj(x), self.k_proj(x), self.v_proj(x), bias, self.heads))


class _FeedForward(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.intermediate_dense, self.output_dense = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_dense(gelu(self.intermediate_dense(x)))


class _Layer(nn.Module):
    """Post-norm: each half is added to its input, and the sum is normalised."""

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.attention = _Attention(config.width, config.heads)
        self.layer_norm = nn.LayerNorm(config.width, eps=_EPSILON)
        self.feed_forward = _FeedForward(config.width, config.inner)
        self.final_layer_norm = nn.LayerNorm(config.width, eps=_EPSILON)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.layer_norm(x + self.attention(x, bias))
        return self.final_layer_norm(x + self.feed_forward(x))


class Hubert(nn.Module):
    """Sound to features.

    Args:
        config: sizes.
    """

    def __init__(self, config: HubertConfig) -> None:
        super().__init__()
        self.config = config
        sizes = zip((1, *config.channels[:-1]), config.channels, config.kernels, config.strides, strict=True)
        layers = [
            nn.ModuleDict({"conv": nn.Conv1d(into, out, kernel, stride, bias=False)})
            for into, out, kernel, stride in sizes
        ]
        layers[0]["layer_norm"] = nn.GroupNorm(config.channels[0], config.channels[0], eps=_EPSILON)
        self.feature_extractor = nn.ModuleDict({"conv_layers": nn.ModuleList(layers)})
        last = config.channels[-1]
        self.feature_projection = nn.ModuleDict(
            {"layer_norm": nn.LayerNorm(last, eps=_EPSILON), "projection": nn.Linear(last, config.width)}
        )
        # An even kernel gives one frame too many, which is cut off at the end.
        kernel, groups = config.position_kernel, config.position_groups
        position = nn.Conv1d(config.width, config.width, kernel, padding=kernel // 2, groups=groups)
        self.encoder = nn.ModuleDict(
            {
                "pos_conv_embed": nn.ModuleDict({"conv": position}),
                "layer_norm": nn.LayerNorm(config.width, eps=_EPSILON),
                "layers": nn.ModuleList(_Layer(config) for _ in range(config.layers)),
            }
        )

    def forward(self, sound: Tensor, first_mask: Tensor, mask: Tensor) -> Tensor:
        """Features of each frame.

        Args:
            sound: ``[1, samples]`` in [-1, 1] at 16 kHz.
            first_mask: ``[1, 1, frames after the first convolution]``, 1 where there is sound.
            mask: ``[1, 1, frames]``.

        Returns:
            ``[1, width, frames]``; what stands where the mask is 0 means nothing.
        """
        x = self._frames(sound.unsqueeze(1), first_mask)
        x = self.feature_projection["projection"](self.feature_projection["layer_norm"](x.transpose(1, 2)))
        there = mask.transpose(1, 2)
        x = x * there
        x = self.encoder["layer_norm"](x + gelu(self._positions(x.transpose(1, 2))).transpose(1, 2))
        bias = ((1.0 - mask) * float(BLOCKED)).unsqueeze(1)
        for layer in self.encoder["layers"]:
            x = layer(x, bias)
        return x.transpose(1, 2)

    def _frames(self, x: Tensor, first_mask: Tensor) -> Tensor:
        first, *others = self.feature_extractor["conv_layers"]
        x = first["conv"](x)
        norm, count = first["layer_norm"], first_mask.sum(dim=2, keepdim=True)
        centred = x - (x * first_mask).sum(dim=2, keepdim=True) / count
        variance = (centred * centred * first_mask).sum(dim=2, keepdim=True) / count
        scale = norm.weight.reshape(1, -1, 1) * torch.rsqrt(variance + _EPSILON)
        x = gelu(centred * scale + norm.bias.reshape(1, -1, 1))
        for layer in others:
            x = gelu(layer["conv"](x))
        return x

    def _positions(self, x: Tensor) -> Tensor:
        found = self.encoder["pos_conv_embed"]["conv"](x)
        return found[:, :, : x.shape[2]]


def load_hubert(state: StateDict) -> Hubert:
    """The model of a state dict of Hugging Face's ``HubertModel``.

    Raises:
        CheckpointError: another kind of HuBERT, or a tensor is missing or does not fit the others.
    """
    weights = state.without_prefix("hubert.")
    config = _config(state, weights)
    for gain, direction in _WEIGHT_NORM:
        if gain in weights and direction in weights:
            # Normalised over all axes but the last: each position of the kernel has its own gain.
            shape_of(weights, direction, 3, state.path)
            shape_of(weights, gain, 3, state.path)
            norm = weights[direction].norm(dim=(0, 1), keepdim=True)
            if weights[gain].shape != norm.shape:
                raise _unlike(state, f"tensor {gain!r} is {tuple(weights[gain].shape)}, not {tuple(norm.shape)}")
            weights[f"{_POSITION}.weight"] = weights[direction] * (weights[gain] / norm)
    module = filled_module(Hubert(config), weights, state.path)
    assert isinstance(module, Hubert)
    return module


def _config(state: StateDict, weights: dict[str, Tensor]) -> HubertConfig:
    path, convolutions = state.path, []
    while f"feature_extractor.conv_layers.{len(convolutions)}.conv.weight" in weights and len(convolutions) < 32:
        name = f"feature_extractor.conv_layers.{len(convolutions)}.conv.weight"
        convolutions.append(shape_of(weights, name, 3, path))
    if not convolutions:
        raise _unlike(state, "it has no tensor 'feature_extractor.conv_layers.0.conv.weight'")
    if "feature_extractor.conv_layers.1.layer_norm.weight" in weights or state.config.get("do_stable_layer_norm"):
        raise _unlike(state, "it is a large HuBERT, with a layer norm after every convolution")
    width = shape_of(weights, "feature_projection.projection.weight", 2, path)[0]
    direction = next((name for _, name in _WEIGHT_NORM if name in weights), f"{_POSITION}.weight")
    _, grouped, kernel = shape_of(weights, direction, 3, path)
    heads = state.whole_number("num_attention_heads", max(1, width // _HEAD_WIDTH))
    strides = _strides(state, len(convolutions))
    if width % heads or width % grouped or any(kernel < 1 for _, _, kernel in convolutions):
        raise _unlike(state, f"{width} features do not part into {heads} heads and groups of {grouped}")
    layers = layer_count(weights, "encoder.layers.")
    inner = shape_of(weights, "encoder.layers.0.feed_forward.intermediate_dense.weight", 2, path)[0]
    return HubertConfig(
        channels=tuple(out for out, _, _ in convolutions),
        kernels=tuple(kernel for _, _, kernel in convolutions),
        strides=strides,
        width=width,
        heads=heads,
        layers=layers,
        inner=inner,
        position_kernel=kernel,
        position_groups=width // grouped,
    )


def _strides(state: StateDict, count: int) -> tuple[int, ...]:
    found = state.config.get("conv_stride", _STRIDES)
    fine = isinstance(found, list | tuple) and all(type(step) is int and 0 < step < 100 for step in found)
    if not fine or len(found) != count:
        raise _unlike(state, f"{count} convolutions with the steps {str(found)[:60]}")
    return tuple(found)


def _unlike(state: StateDict, message: str) -> CheckpointError:
    return CheckpointError(
        message, code="checkpoint/wrong-shape", where=str(state.path),
        hint="give chinese-hubert-base, or a HuBERT of its kind, in Hugging Face's format",
    )  # fmt: skip


def ssl_spec(config: HubertConfig, samples: int) -> PartSpec:
    """Interface for so many samples at 16 kHz."""
    lengths: Sequence[int] = config.lengths(samples)
    return PartSpec(
        name=SSL,
        inputs=(
            TensorSpec(name="sound", shape=(1, samples), axes=("batch", "samples")),
            TensorSpec(name="first_mask", shape=(1, 1, lengths[0]), axes=("batch", "channels", "frames")),
            TensorSpec(name="mask", shape=(1, 1, lengths[-1]), axes=("batch", "channels", "frames")),
        ),
        outputs=(
            TensorSpec(name="features", shape=(1, config.width, lengths[-1]), axes=("batch", "channels", "frames")),
        ),
    )
