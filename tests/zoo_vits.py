"""Small modules with the structure of VITS: coupling flow, HiFi-GAN generator, relative-attention encoder.

They follow the published classes line by line where those lines are what breaks converters: channel flips,
slices of convolution outputs, 1x1 Conv1d projections, relative positions by padding and reshaping.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

LRELU_SLOPE = 0.1


class WaveNet(nn.Module):
    """Gated dilated convolutions with residual and skip halves, as `modules.WN` of VITS."""

    def __init__(self, hidden: int, kernel: int, dilation_rate: int, layers: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.layers = layers
        self.in_layers = nn.ModuleList()
        self.res_skip_layers = nn.ModuleList()
        for index in range(layers):
            dilation = dilation_rate**index
            padding = (kernel * dilation - dilation) // 2
            self.in_layers.append(nn.Conv1d(hidden, 2 * hidden, kernel, dilation=dilation, padding=padding))
            outputs = 2 * hidden if index < layers - 1 else hidden
            self.res_skip_layers.append(nn.Conv1d(hidden, outputs, 1))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        output = torch.zeros_like(x)
        for index in range(self.layers):
            gates = self.in_layers[index](x)
            acts = torch.tanh(gates[:, : self.hidden, :]) * torch.sigmoid(gates[:, self.hidden :, :])
            res_skip = self.res_skip_layers[index](acts)
            if index < self.layers - 1:
                x = (x + res_skip[:, : self.hidden, :]) * mask
                output = output + res_skip[:, self.hidden :, :]
            else:
                output = output + res_skip
        return output * mask


class Coupling(nn.Module):
    """Mean-only residual coupling layer, run backwards."""

    def __init__(self, channels: int, hidden: int, kernel: int, layers: int) -> None:
        super().__init__()
        self.half = channels // 2
        self.pre = nn.Conv1d(self.half, hidden, 1)
        self.enc = WaveNet(hidden, kernel, 1, layers)
        self.post = nn.Conv1d(hidden, self.half, 1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x0, x1 = torch.split(x, [self.half] * 2, 1)
        mean = self.post(self.enc(self.pre(x0) * mask, mask)) * mask
        return torch.cat([x0, (x1 - mean) * mask], 1)


class Flip(nn.Module):
    """Reverses the channels."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.flip(x, [1])


class MiniFlow(nn.Module):
    """Coupling layers with flips between them, as `ResidualCouplingBlock(reverse=True)`."""

    def __init__(self, channels: int = 8, hidden: int = 8, kernel: int = 5, layers: int = 2, flows: int = 4) -> None:
        super().__init__()
        self.flows = nn.ModuleList()
        for _ in range(flows):
            self.flows.append(Coupling(channels, hidden, kernel, layers))
            self.flows.append(Flip())

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        for flow in reversed(self.flows):
            x = flow(x, mask)
        return x


class ResBlock(nn.Module):
    """HiFi-GAN residual block of the second kind: one dilated convolution per step."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=(kernel * d - d) // 2) for d in dilations
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        for conv in self.convs:
            x = x + conv(functional.leaky_relu(x, LRELU_SLOPE) * mask)
        return x * mask


class MiniHifiGan(nn.Module):
    """HiFi-GAN generator that multiplies by the (repeated) frame mask at every stage, so padding stays silent."""

    def __init__(
        self, inputs: int = 8, channels: int = 16, rates: tuple[int, ...] = (4, 2), kernels: tuple[int, ...] = (8, 4)
    ) -> None:
        super().__init__()
        self.rates = rates
        self.conv_pre = nn.Conv1d(inputs, channels, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        for index, (rate, kernel) in enumerate(zip(rates, kernels, strict=True)):
            wide, narrow = channels >> index, channels >> (index + 1)
            self.ups.append(nn.ConvTranspose1d(wide, narrow, kernel, rate, padding=(kernel - rate) // 2))
            self.resblocks.append(ResBlock(narrow, 3, (1, 2)))
            self.resblocks.append(ResBlock(narrow, 5, (2, 6)))
        self.conv_post = nn.Conv1d(channels >> len(rates), 1, 7, padding=3, bias=False)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.conv_pre(x * mask) * mask
        for index, up in enumerate(self.ups):
            mask = mask.repeat_interleave(self.rates[index], dim=2)
            x = up(functional.leaky_relu(x, LRELU_SLOPE)) * mask
            x = (self.resblocks[2 * index](x, mask) + self.resblocks[2 * index + 1](x, mask)) / 2
        return torch.tanh(self.conv_post(functional.leaky_relu(x) * mask)) * mask


class PlainHifiGan(MiniHifiGan):
    """The published generator: no mask at all."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        ones = torch.ones(1, 1, 1)
        x = self.conv_pre(x)
        for index, up in enumerate(self.ups):
            x = up(functional.leaky_relu(x, LRELU_SLOPE))
            x = (self.resblocks[2 * index](x, ones) + self.resblocks[2 * index + 1](x, ones)) / 2
        return torch.tanh(self.conv_post(functional.leaky_relu(x)))


class ChannelNorm(nn.Module):
    """Layer normalisation over the channels of [batch, channels, time]."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels = channels
        self.eps = eps
        self.gamma = nn.Parameter(torch.rand(channels) + 0.5)
        self.beta = nn.Parameter(torch.randn(channels) * 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(1, -1)
        x = functional.layer_norm(x, (self.channels,), self.gamma, self.beta, self.eps)
        return x.transpose(1, -1)


class RelativeAttention(nn.Module):
    """`attentions.MultiHeadAttention` of VITS: 1x1 Conv1d projections, windowed relative positions."""

    def __init__(self, channels: int, heads: int, window: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.depth = channels // heads
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)
        self.emb_rel_k = nn.Parameter(torch.randn(1, window * 2 + 1, self.depth) * self.depth**-0.5)
        self.emb_rel_v = nn.Parameter(torch.randn(1, window * 2 + 1, self.depth) * self.depth**-0.5)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, channels, time = x.shape
        query, key, value = (
            conv(x).view(batch, self.heads, self.depth, time).transpose(2, 3)
            for conv in (self.conv_q, self.conv_k, self.conv_v)
        )
        scores = torch.matmul(query / math.sqrt(self.depth), key.transpose(-2, -1))
        relative = torch.matmul(query / math.sqrt(self.depth), self._windowed(self.emb_rel_k, time).transpose(-2, -1))
        scores = scores + self._to_absolute(relative)
        scores = scores.masked_fill(mask == 0, -1e4)
        weights = torch.softmax(scores, dim=-1)
        output = torch.matmul(weights, value)
        output = output + torch.matmul(self._to_relative(weights), self._windowed(self.emb_rel_v, time))
        return self.conv_o(output.transpose(2, 3).contiguous().view(batch, channels, time))

    def _windowed(self, embedding: torch.Tensor, time: int) -> torch.Tensor:
        pad = max(time - (self.window + 1), 0)
        start = max((self.window + 1) - time, 0)
        padded = functional.pad(embedding, (0, 0, pad, pad))
        return padded[:, start : start + 2 * time - 1].unsqueeze(0)

    @staticmethod
    def _to_absolute(x: torch.Tensor) -> torch.Tensor:
        batch, heads, time, _ = x.size()
        flat = functional.pad(x, (0, 1)).view(batch, heads, time * 2 * time)
        return functional.pad(flat, (0, time - 1)).view(batch, heads, time + 1, 2 * time - 1)[:, :, :time, time - 1 :]

    @staticmethod
    def _to_relative(x: torch.Tensor) -> torch.Tensor:
        batch, heads, time, _ = x.size()
        flat = functional.pad(x, (0, time - 1)).view(batch, heads, time**2 + time * (time - 1))
        return functional.pad(flat, (time, 0)).view(batch, heads, time, 2 * time)[:, :, :, 1:]


class FeedForward(nn.Module):
    """Two masked convolutions."""

    def __init__(self, channels: int, hidden: int, kernel: int) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(channels, hidden, kernel, padding=kernel // 2)
        self.conv_2 = nn.Conv1d(hidden, channels, kernel, padding=kernel // 2)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.conv_2(torch.relu(self.conv_1(x * mask)) * mask) * mask


class MiniTextEncoder(nn.Module):
    """Tokens and mask in; mean and log-deviation out, as `TextEncoder` of VITS."""

    def __init__(self, symbols: int = 20, channels: int = 8, heads: int = 2, layers: int = 2, outputs: int = 6) -> None:
        super().__init__()
        self.channels = channels
        self.outputs = outputs
        self.emb = nn.Embedding(symbols, channels)
        self.attn_layers = nn.ModuleList(RelativeAttention(channels, heads) for _ in range(layers))
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(channels) for _ in range(layers))
        self.ffn_layers = nn.ModuleList(FeedForward(channels, 2 * channels, 3) for _ in range(layers))
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(channels) for _ in range(layers))
        self.proj = nn.Conv1d(channels, 2 * outputs, 1)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = (self.emb(tokens) * math.sqrt(self.channels)).transpose(1, -1) * mask
        attention_mask = mask.unsqueeze(2) * mask.unsqueeze(-1)
        for attn, norm_1, ffn, norm_2 in zip(
            self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True
        ):
            x = norm_1(x + attn(x, attention_mask))
            x = norm_2(x + ffn(x, mask))
        stats = self.proj(x * mask) * mask
        mean, logs = torch.split(stats, self.outputs, dim=1)
        return mean, logs


class ConditionedWaveNet(WaveNet):
    """WaveNet of a multi-speaker voice: one 1x1 convolution of the speaker vector, sliced for each layer."""

    def __init__(self, hidden: int, kernel: int, dilation_rate: int, layers: int, speaker: int) -> None:
        super().__init__(hidden, kernel, dilation_rate, layers)
        self.cond_layer = nn.Conv1d(speaker, 2 * hidden * layers, 1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        output = torch.zeros_like(x)
        conditions = self.cond_layer(speaker)
        for index in range(self.layers):
            start = index * 2 * self.hidden
            gates = self.in_layers[index](x) + conditions[:, start : start + 2 * self.hidden, :]
            acts = torch.tanh(gates[:, : self.hidden, :]) * torch.sigmoid(gates[:, self.hidden :, :])
            res_skip = self.res_skip_layers[index](acts)
            if index < self.layers - 1:
                x = (x + res_skip[:, : self.hidden, :]) * mask
                output = output + res_skip[:, self.hidden :, :]
            else:
                output = output + res_skip
        return output * mask


class AffineFlow(nn.Module):
    """Speaker-conditioned coupling layers with a log deviation (`mean_only=False`), flips between them."""

    def __init__(self, channels: int = 8, hidden: int = 6, speaker: int = 5, flows: int = 4) -> None:
        super().__init__()
        self.half = channels // 2
        self.pre = nn.ModuleList(nn.Conv1d(self.half, hidden, 1) for _ in range(flows))
        self.enc = nn.ModuleList(ConditionedWaveNet(hidden, 3, 1, 2, speaker) for _ in range(flows))
        self.post = nn.ModuleList(nn.Conv1d(hidden, channels, 1) for _ in range(flows))

    def forward(self, x: torch.Tensor, mask: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
        for pre, enc, post in zip(self.pre, self.enc, self.post, strict=True):
            x = torch.flip(x, [1])
            x0, x1 = torch.split(x, [self.half] * 2, 1)
            stats = post(enc(pre(x0) * mask, mask, speaker)) * mask
            mean, logs = torch.split(stats, [self.half] * 2, 1)
            x = torch.cat([x0, (x1 - mean) * torch.exp(-logs) * mask], 1)
        return x


class FlowThenDecoder(nn.Module):
    """Flow and generator in one graph, as a voice without split parts."""

    def __init__(self, flows: int = 3) -> None:
        super().__init__()
        self.flow = MiniFlow(flows=flows)
        self.dec = MiniHifiGan()

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.dec(self.flow(x, mask) * mask, mask)
