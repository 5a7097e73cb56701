"""What depends on what: every tensor that loses something when one channel or one head goes.

A channel inside a feed-forward block is a row of the first matrix, an entry of its bias and a column of the second. A
head is its rows of the packed queries, keys and values, their biases, and its columns of the output projection. A gate
of a WaveNet is the row of its tanh, the row of its sigmoid, their biases, and its column of the layer that writes.
Nothing else in the model sees any of them, so that removal is exact for what is zero and local for what is not.

A channel of a HiFi-GAN stage is one of the residual stream: what upsamples into it, every convolution of the stage's
blocks on both sides, and what reads it behind the stage. A channel between the two convolutions of a residual step is
those two's own, as in a feed-forward block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from toolkit.models.gpt_sovits.semantic_config import SemanticConfig
from toolkit.models.vits.config import EncoderConfig, FlowConfig, GeneratorConfig

Kind = Literal["mlp", "heads", "gates", "stage", "inner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A tensor's share in a group.

    Attributes:
        name: checkpoint name.
        axis: axis of the tensor the units lie on.
        split: sizes that axis is made of, e.g. queries, keys and values, heads, features of a head.
        counts: which of them counts the units.
    """

    name: str
    axis: int
    split: tuple[int, ...]
    counts: int = 0

    def units(self, tensor: Tensor) -> Tensor:
        """The tensor by unit: ``[units, the rest]``."""
        return (
            tensor.unflatten(self.axis, self.split)
            .movedim(self.axis + self.counts, 0)
            .reshape(self.split[self.counts], -1)
        )

    def kept(self, tensor: Tensor, keep: Tensor) -> Tensor:
        """The tensor with only some units, in its own rank."""
        cut = tensor.unflatten(self.axis, self.split).index_select(self.axis + self.counts, keep)
        return cut.flatten(self.axis, self.axis + len(self.split) - 1).contiguous()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Units that can go one by one.

    Attributes:
        place: layer they are in, e.g. ``h.layers.3``.
        kind: what they are.
        count: how many.
        members: the tensors they are in.
    """

    place: str
    kind: Kind
    count: int
    members: tuple[Member, ...]


def semantic_groups(config: SemanticConfig) -> tuple[Group, ...]:
    """Groups of a text-to-semantic model: the blocks' channels of every layer, then the heads of every layer."""
    heads, each = config.heads, config.head_width
    found = []
    for layer, inner in enumerate(config.inners):
        found.append(_channels(f"h.layers.{layer}", "linear1", "linear2", inner))
    for layer in range(config.layers):
        place = f"h.layers.{layer}"
        parts = (
            Member(name=f"{place}.self_attn.in_proj_weight", axis=0, split=(3, heads, each), counts=1),
            Member(name=f"{place}.self_attn.in_proj_bias", axis=0, split=(3, heads, each), counts=1),
            Member(name=f"{place}.self_attn.out_proj.weight", axis=1, split=(heads, each)),
        )
        found.append(Group(place=place, kind="heads", count=heads, members=parts))
    return tuple(found)


def encoder_groups(stacks: Mapping[str, EncoderConfig]) -> tuple[Group, ...]:
    """Groups of a text encoder: the channels inside the feed-forward blocks, of every stack under ``enc_p``."""
    found = []
    for name, stack in stacks.items():
        for layer, inner in enumerate(stack.inners):
            found.append(_channels(f"enc_p.{name}.ffn_layers.{layer}", "conv_1", "conv_2", inner))
    return tuple(found)


def voice_groups(config: EncoderConfig) -> tuple[Group, ...]:
    """Groups of a VITS voice's text encoder: the blocks' channels of every layer, then the heads of every layer.

    The embeddings of a distance are all heads' own, and stay.
    """
    split = (config.heads, config.attention_width // config.heads)
    found = list(encoder_groups({"encoder": config}))
    for layer in range(config.layers):
        place = f"enc_p.encoder.attn_layers.{layer}"
        into = [
            Member(name=f"{place}.conv_{letter}.{kind}", axis=0, split=split)
            for letter in "qkv"
            for kind in ("weight", "bias")
        ]
        out = Member(name=f"{place}.conv_o.weight", axis=1, split=split)
        found.append(Group(place=place, kind="heads", count=config.heads, members=(*into, out)))
    return tuple(found)


def flow_groups(config: FlowConfig) -> tuple[Group, ...]:
    """Groups of a voice's flow: the gates of every WaveNet layer, couplings as the checkpoint numbers them."""
    found = []
    for coupling, widths in enumerate(config.gate_widths):
        for layer, width in enumerate(widths):
            net = f"flow.flows.{2 * coupling}.enc"
            members = (
                Member(name=f"{net}.in_layers.{layer}.weight", axis=0, split=(2, width), counts=1),
                Member(name=f"{net}.in_layers.{layer}.bias", axis=0, split=(2, width), counts=1),
                Member(name=f"{net}.res_skip_layers.{layer}.weight", axis=1, split=(width,)),
            )
            found.append(Group(place=f"{net}.in_layers.{layer}", kind="gates", count=width, members=members))
    return tuple(found)


def decoder_groups(config: GeneratorConfig) -> tuple[Group, ...]:
    """Groups of a HiFi-GAN decoder: channels before and in every stage, then those inside its residual steps."""
    found = [_stage("dec.conv_pre", config.initial, [*_rows("dec.conv_pre", config.initial)], "dec.ups.0", 0)]
    inside, blocks, last = [], len(config.resblock_kernels), len(config.up_rates) - 1
    for stage, width in enumerate(config.stage_widths):
        up = f"dec.ups.{stage}"
        members = [
            Member(name=f"{up}.weight", axis=1, split=(width,)),
            Member(name=f"{up}.bias", axis=0, split=(width,)),
        ]
        for block in range(stage * blocks, (stage + 1) * blocks):
            for step in range(len(config.resblock_dilations[block - stage * blocks])):
                net = f"dec.resblocks.{block}"
                into, out = (f"{net}.convs1", f"{net}.convs2") if config.resblock == "1" else 2 * (f"{net}.convs",)
                members += _rows(f"{out}.{step}", width)
                members.append(Member(name=f"{into}.{step}.weight", axis=1, split=(width,)))
                if config.resblock == "1":
                    inner = config.block_inners[block][step]
                    parts = (
                        *_rows(f"{into}.{step}", inner),
                        Member(name=f"{out}.{step}.weight", axis=1, split=(inner,)),
                    )
                    inside.append(Group(place=f"{into}.{step}", kind="inner", count=inner, members=parts))
        behind = ("dec.conv_post", 1) if stage == last else (f"dec.ups.{stage + 1}", 0)
        found.append(_stage(up, width, members, *behind))
    return (*found, *inside)


def _stage(place: str, width: int, members: Sequence[Member], reader: str, axis: int) -> Group:
    """Channels of a stage, whose last member is what reads them behind it."""
    read = Member(name=f"{reader}.weight", axis=axis, split=(width,))
    return Group(place=place, kind="stage", count=width, members=(*members, read))


def _rows(layer: str, width: int) -> tuple[Member, Member]:
    """What writes the channels of a convolution."""
    weight, bias = (Member(name=f"{layer}.{name}", axis=0, split=(width,)) for name in ("weight", "bias"))
    return weight, bias


def _channels(place: str, first: str, second: str, inner: int) -> Group:
    """The channels between the two layers of a feed-forward block."""
    members = (
        Member(name=f"{place}.{first}.weight", axis=0, split=(inner,)),
        Member(name=f"{place}.{first}.bias", axis=0, split=(inner,)),
        Member(name=f"{place}.{second}.weight", axis=1, split=(inner,)),
    )
    return Group(place=place, kind="mlp", count=inner, members=members)


def cut(weights: Mapping[str, Tensor], keeps: Mapping[Group, Tensor]) -> dict[str, Tensor]:
    """Weights with only the units that are kept.

    Args:
        weights: by checkpoint name.
        keeps: places of the units that stay, ascending, for every group that loses some.

    Returns:
        New tensors where something went, the same ones elsewhere.
    """
    found = dict(weights)
    for group, keep in keeps.items():
        for member in group.members:
            found[member.name] = member.kept(found[member.name], keep.to(torch.long))
    return found
