"""First weights of a smaller text encoder: the teacher's, with feed-forward channels left out.

The channels that contribute most stay, and the second convolution is fitted anew to what the whole block did on real
sentences; so a student begins near its teacher instead of at random.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.distil.least_squares import fitted, largest
from toolkit.models.vits.text_encoder import FeedForward, TextEncoder


@torch.no_grad()
def start_encoder(student: TextEncoder, teacher: TextEncoder, ids: Tensor, mask: Tensor) -> None:
    """Fills a student's weights.

    Args:
        student: of the teacher's hidden width and heads; layers and feed-forward channels at most its.
        teacher: gives the weights.
        ids: sentences ``[batch, phonemes]`` int32 to fit on.
        mask: ``[batch, 1, phonemes]``.
    """
    student.emb.load_state_dict(teacher.emb.state_dict())
    student.proj.load_state_dict(teacher.proj.state_dict())
    own, told = student.encoder, teacher.encoder
    kept = torch.linspace(0, len(told.ffn_layers) - 1, len(own.ffn_layers)).round().long().tolist()
    x = teacher.emb(ids) * teacher.scale * mask.transpose(1, 2)
    blocks = zip(told.attn_layers, told.norm_layers_1, told.ffn_layers, told.norm_layers_2, strict=True)
    for place, (attention, norm_1, feed_forward, norm_2) in enumerate(blocks):
        middle = norm_1(x + attention(x, mask))
        if place in kept:
            mine = kept.index(place)
            for names in ("attn_layers", "norm_layers_1", "norm_layers_2"):
                getattr(own, names)[mine].load_state_dict(getattr(told, names)[place].state_dict())
            _start_block(own.ffn_layers[mine], feed_forward, middle.transpose(1, 2), mask)
        x = norm_2(middle + feed_forward(middle.transpose(1, 2), mask).transpose(1, 2))


def _start_block(student: FeedForward, teacher: FeedForward, x: Tensor, mask: Tensor) -> None:
    inside = torch.relu(teacher.conv_1(x * mask)) * mask
    weights = teacher.conv_2.weight
    channels = largest(inside.square().mean((0, 2)) * weights.square().sum((0, 2)), student.conv_1.out_channels)
    student.conv_1.weight.copy_(teacher.conv_1.weight[channels])
    student.conv_1.bias.copy_(teacher.conv_1.bias[channels])
    valid = mask[:, 0].bool()
    columns = _neighbours(inside[:, channels], student.conv_2)[valid]
    weight, bias = fitted(columns, teacher.conv_2(inside).transpose(1, 2)[valid])
    student.conv_2.weight.copy_(weight.reshape(student.conv_2.weight.shape))
    student.conv_2.bias.copy_(bias)


def _neighbours(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """What a convolution sees at each place: ``[batch, channels, time]`` to ``[batch, time, channels * kernel]``."""
    padded = functional.pad(x, (int(conv.padding[0]), int(conv.padding[0])))
    seen = padded.unfold(2, conv.kernel_size[0], 1)  # [batch, channels, time, kernel]
    return seen.permute(0, 2, 1, 3).flatten(2)
