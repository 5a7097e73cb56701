"""Relative attention against a direct reading of its definition."""

import math

import pytest
import torch

from toolkit.models.vits.attention import RelativeAttention


def by_definition(layer: RelativeAttention, x: torch.Tensor, length: int) -> torch.Tensor:
    """Shaw et al., one query and key at a time, on the unpadded sequence."""
    channels, heads = layer.head_channels, layer.heads
    q, k, v = (p(x)[0, :length].reshape(length, heads, channels) for p in (layer.conv_q, layer.conv_k, layer.conv_v))
    out = torch.zeros(length, heads, channels)
    for head in range(heads):
        for i in range(length):
            scores = torch.zeros(length)
            for j in range(length):
                key = k[j, head]
                if abs(j - i) <= layer.window:
                    key = key + layer.emb_rel_k[0, j - i + layer.window]
                scores[j] = q[i, head] @ key / math.sqrt(channels)
            for j, weight in enumerate(torch.softmax(scores, 0)):
                value = v[j, head]
                if abs(j - i) <= layer.window:
                    value = value + layer.emb_rel_v[0, j - i + layer.window]
                out[i, head] += weight * value
    return layer.conv_o(out.reshape(1, length, -1))


@pytest.fixture
def layer() -> RelativeAttention:
    torch.manual_seed(0)
    return RelativeAttention(16, 2, 3).requires_grad_(False)


@pytest.mark.parametrize(("time", "length"), [(12, 12), (12, 7), (7, 7), (20, 1)])
def test_is_shaws_attention_inside_the_mask(layer: RelativeAttention, time: int, length: int) -> None:
    x = torch.randn(1, time, 16)
    mask = (torch.arange(time) < length).float()[None, None]
    found = layer(x, mask)[:, :length]
    assert torch.allclose(found, by_definition(layer, x, length), atol=2e-6)


def test_a_shifted_relative_table_is_seen(layer: RelativeAttention) -> None:
    x, mask = torch.randn(1, 12, 16), torch.ones(1, 1, 12)
    wanted = by_definition(layer, x, 12)
    layer.emb_rel_k.copy_(layer.emb_rel_k.roll(1, dims=1))
    assert (layer(x, mask) - wanted).abs().max() > 1e-3


def test_shorter_than_the_window_is_refused(layer: RelativeAttention) -> None:
    with pytest.raises(ValueError, match="fewer than the attention window"):
        layer(torch.randn(1, 6, 16), torch.ones(1, 1, 6))
