"""More of the zoo: blocks people really build, and operators that have to be put another way."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from tests.model_zoo import NCHW, NCT, NTD, SelfAttention, ZooCase, _case, _fn


class Snake(nn.Module):
    """Periodic activation of BigVGAN."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(4))
        self.conv = nn.Conv1d(4, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        alpha = self.alpha[None, :, None]
        x = self.conv(x)
        return x + torch.sin(alpha * x) ** 2 / (alpha + 1e-9)


class Rotary(nn.Module):
    """Rotary positions on a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time = torch.arange(x.shape[1], dtype=torch.float32)
        angle = time[:, None] * torch.pow(10000.0, -torch.arange(0, 4) / 4.0)[None]
        first, second = self.proj(x).chunk(2, -1)
        return torch.cat([first * angle.cos() - second * angle.sin(), first * angle.sin() + second * angle.cos()], -1)


class DecoderLayer(nn.Module):
    """Causal self-attention and cross-attention."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.layer(x, memory, tgt_mask=mask, tgt_is_causal=True)


class PaddedAttention(nn.Module):
    """Attention with a key padding mask made from a 0/1 signal."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.attn(x, x, x, key_padding_mask=mask[:, 0] == 0)[0]


class AttentivePooling(nn.Module):
    """Weighted mean and deviation over time, as speaker encoders end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.attention = nn.Conv1d(4, 8, 3, padding=1), nn.Conv1d(8, 8, 1)
        self.norm, self.out = nn.BatchNorm1d(16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.conv(x))
        weights = torch.softmax(self.attention(torch.tanh(hidden)), 2)
        mean = (hidden * weights).sum(2)
        deviation = ((hidden * hidden * weights).sum(2) - mean * mean).clamp(min=1e-6).sqrt()
        return functional.normalize(self.out(self.norm(torch.cat([mean, deviation], 1))), dim=1)


class SqueezeExcite(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.down, self.up = nn.Conv1d(4, 8, 3, padding=1), nn.Conv1d(8, 2, 1), nn.Conv1d(2, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.conv(x)
        return hidden * torch.sigmoid(self.up(torch.relu(self.down(hidden.mean(2, keepdim=True)))))


class Conformer(nn.Module):
    """Attention, then the gated depthwise convolution module, between [B,T,D] and [B,D,T]."""

    def __init__(self) -> None:
        super().__init__()
        self.attn, self.norm = SelfAttention(8, 2), nn.LayerNorm(8)
        self.point_1, self.depth = nn.Conv1d(8, 16, 1), nn.Conv1d(8, 8, 3, padding=1, groups=8)
        self.batch_norm, self.point_2 = nn.BatchNorm1d(8), nn.Conv1d(8, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(x)
        hidden = functional.glu(self.point_1(self.norm(x).transpose(1, 2)), 1)
        hidden = functional.silu(self.batch_norm(self.depth(hidden)))
        return x + self.point_2(hidden).transpose(1, 2)


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down_1, self.down_2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.up, self.out = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = torch.relu(self.down_1(x))
        return self.out(torch.cat([wide, self.up(torch.relu(self.down_2(wide)))], 1))


def _assigned(x: torch.Tensor) -> torch.Tensor:
    copy = x.clone()
    copy[:, 2:4] = 0.5
    return copy


def _conv(inputs: int, outputs: int, kernel: int = 1) -> dict[str, object]:
    return {"a": lambda: nn.Conv1d(inputs, outputs, kernel)}


MORE: tuple[ZooCase, ...] = (
    _case("snake", Snake, NCT),
    _case("rotary", Rotary, NTD),
    _case("rms_norm", lambda: nn.RMSNorm(8), NTD),
    _case("decoder_layer", DecoderLayer, NTD, (1, 7, 8)),
    _case("padded_attention", PaddedAttention, NTD, (1, 1, 10), names=("x", "mask")),
    _case(
        "causal_sdpa",
        _fn(lambda m, q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True)),
        *[(1, 2, 6, 4)] * 3,
    ),
    _case("attentive_pooling", AttentivePooling, NCT),
    _case("squeeze_excite", SqueezeExcite, NCT),
    _case("conformer", Conformer, NTD),
    _case("unet", UNet, (1, 3, 8, 8)),
    _case("gru_cell", _fn(lambda m, x, h: m.cell(x, h), cell=lambda: nn.GRUCell(6, 5)), (2, 6), (2, 5)),
    _case("weight_norm", lambda: nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 4, 3)), NCT),
    _case("conv1d_same", lambda: nn.Conv1d(4, 4, 4, padding="same"), NCT),
    _case("pixel_shuffle", _fn(lambda m, x: functional.pixel_shuffle(m.a(x), 2), a=lambda: nn.Conv2d(4, 8, 1)), NCHW),
    _case(
        "masked_fill",
        _fn(lambda m, x, mask: m.a(x).masked_fill(mask == 0, -5.0), **_conv(4, 4)),
        NCT,
        (1, 1, 12),
        names=("x", "mask"),
    ),
    _case(
        "expand_speaker",
        _fn(lambda m, x, g: m.a(torch.cat([x, g.expand(-1, -1, 12)], 1)), **_conv(7, 4)),
        NCT,
        (1, 3, 1),
    ),
    _case("roll", _fn(lambda m, x: torch.roll(x, 2, 1)), NTD),
    _case("stack", _fn(lambda m, x, y: torch.stack([x, y], 2)), NTD, NTD),
    _case("cumulative_sum", _fn(lambda m, x: torch.cumsum(x, 1)), NTD),
    _case("einsum", _fn(lambda m, x, y: torch.einsum("btd,bsd->bts", x, y)), NTD, (1, 7, 8)),
    _case("assignment", _fn(lambda m, x: _assigned(x)), NTD),
    _case("period_view", _fn(lambda m, x: m.a(x.view(1, 1, 6, 2)), a=lambda: nn.Conv2d(1, 4, (3, 1))), (1, 1, 12)),
    _case("layer_norm_image", lambda: nn.LayerNorm([4, 8, 6]), NCHW),
    _case("linear_image", lambda: nn.Linear(6, 3), NCHW),
    _case(
        "batch3",
        lambda: nn.Sequential(nn.Conv1d(4, 6, 3), nn.LeakyReLU(), nn.ConvTranspose1d(6, 4, 4, 2, padding=1)),
        (3, 4, 12),
    ),
)
