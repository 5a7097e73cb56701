"""ERes2NetV2: log mel energies to the speaker embedding of v2Pro: the map before pooling, averaged over time.

Parameters carry the names of 3D-Speaker's checkpoint. Sound shorter than the graph is padded behind masks, one for each
time scale: every convolution wider than one frame sees zeros past the end, as at the end of unpadded sound.
Source: Chen et al., "ERes2NetV2" (2024); 3D-Speaker (Apache-2.0); ``ERes2NetV2.forward3`` of upstream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from converters.spec import PartSpec, TensorSpec
from toolkit.engine.listening import SCALES, mask_lengths
from toolkit.models.gpt_sovits.state_dict import StateDict, filled_module, layer_count, shape_of

SPEAKER: Final = "speaker_encoder"
BINS: Final = 80
_LARGEST: Final = 20.0  # the blocks' ReLU ends there


class _Fusion(nn.Module):
    """Two maps, weighed against each other channel by channel and place by place."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.local_att = nn.Sequential(
            nn.Conv2d(2 * channels, inner, 1), nn.BatchNorm2d(inner), nn.SiLU(),
            nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        share = torch.tanh(self.local_att(torch.cat((x, y), dim=1)))
        return x * (1.0 + share) + y * (1.0 - share)


class _Block(nn.Module):
    def __init__(self, into: int, out: int, width: int, scale: int, stride: int, inner: int, shortcut: bool) -> None:
        super().__init__()
        self.width = width
        self.conv1 = nn.Conv2d(into, width * scale, 1, stride=stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width * scale)
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(scale))
        self.bns = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(scale))
        self.conv3 = nn.Conv2d(width * scale, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.fuse_models = nn.ModuleList(_Fusion(width, inner) for _ in range(scale - 1 if inner else 0))
        self.shortcut = nn.Sequential()
        if shortcut:
            self.shortcut = nn.Sequential(nn.Conv2d(into, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        parts = _bounded(self.bn1(self.conv1(x))).split(self.width, dim=1)
        done: list[Tensor] = []
        for number, (part, conv, norm) in enumerate(zip(parts, self.convs, self.bns, strict=True)):
            fed = part
            if number:
                fed = self.fuse_models[number - 1](done[-1], part) if self.fuse_models else done[-1] + part
            done.append(_bounded(norm(conv(fed * mask))))
        return _bounded(self.bn3(self.conv3(torch.cat(done, dim=1))) + self.shortcut(x))


def _bounded(x: Tensor) -> Tensor:
    return torch.clamp(x, 0.0, _LARGEST)


class SpeakerEncoder(nn.Module):
    """Energies to an embedding.

    Args:
        stages: blocks of each of the four stages.
        first: channels of the first convolution.
        last: channels in and out of the one that carries the third stage down, and inner ones of the last fusion.
    """

    def __init__(self, stages: Sequence[Sequence[_Block]], first: int, last: tuple[int, int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.layer1, self.layer2, self.layer3, self.layer4 = (nn.ModuleList(stage) for stage in stages)
        into, out, inner = last
        self.layer3_ds = nn.Conv2d(into, out, 3, padding=1, stride=2, bias=False)
        self.fuse34 = _Fusion(out, inner)

    def forward(self, energies: Tensor, *masks: Tensor) -> Tensor:
        """The embedding.

        Args:
            energies: ``[1, frames, 80]``.
            masks: ``[1, 1, 1, frames / scale]`` for each of ``SCALES``, 1 where there is sound; lengths rounded up.

        Returns:
            ``[1, channels * bins / 8]``.
        """
        x = torch.relu(self.bn1(self.conv1(energies.transpose(1, 2).unsqueeze(1) * masks[0])))
        thirds = x
        for stage, mask in zip((self.layer1, self.layer2, self.layer3, self.layer4), masks, strict=True):
            thirds, fed = x, x
            for block in stage:
                fed = block(fed, mask)
            x = fed
        found = self.fuse34(x, self.layer3_ds(thirds * masks[2])) * masks[3]
        return found.sum(dim=3).reshape(1, -1) / masks[3].sum(dim=3).reshape(1, 1)


def load_speaker_encoder(state: StateDict) -> SpeakerEncoder:
    """The model of a 3D-Speaker checkpoint; what comes after the feature map is not read.

    Raises:
        CheckpointError: another kind of model, or a tensor is missing or does not fit the others.
    """
    weights, path = dict(state.weights), state.path
    first = shape_of(weights, "conv1.weight", 4, path)[0]
    stages, into = [], first
    for number in range(1, 5):
        blocks = []
        for block in range(max(1, layer_count(weights, f"layer{number}."))):
            stride = 2 if number > 1 and not block else 1
            blocks.append(_block(weights, f"layer{number}.{block}.", into, stride, state))
            into = blocks[-1].bn3.num_features
        stages.append(blocks)
    out, down, *_ = shape_of(weights, "layer3_ds.weight", 4, path)
    inner = shape_of(weights, "fuse34.local_att.0.weight", 4, path)[0]
    module = filled_module(SpeakerEncoder(stages, first, (down, out, inner)), weights, path)
    assert isinstance(module, SpeakerEncoder)
    return module


def _block(weights: Mapping[str, Tensor], name: str, into: int, stride: int, state: StateDict) -> _Block:
    width = shape_of(weights, f"{name}convs.0.weight", 4, state.path)[0]
    fused = f"{name}fuse_models.0.local_att.0.weight"
    return _Block(
        into,
        shape_of(weights, f"{name}conv3.weight", 4, state.path)[0],
        width,
        layer_count(weights, f"{name}convs."),
        stride,
        shape_of(weights, fused, 4, state.path)[0] if fused in weights else 0,
        f"{name}shortcut.0.weight" in weights,
    )


def speaker_spec(frames: int, embedding: int) -> PartSpec:
    """Interface for so many frames of 10 ms and embeddings of a length."""
    masks = (
        TensorSpec(name=f"mask_{scale}", shape=(1, 1, 1, length), axes=("batch", "channels", "one", "frames"))
        for scale, length in zip(SCALES, mask_lengths(frames), strict=True)
    )
    return PartSpec(
        name=SPEAKER,
        inputs=(TensorSpec(name="energies", shape=(1, frames, BINS), axes=("batch", "frames", "bins")), *masks),
        outputs=(TensorSpec(name="speaker", shape=(1, embedding), axes=("batch", "features")),),
    )
