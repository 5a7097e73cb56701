"""A zoo of small seeded modules, one for each class of layer the chain must carry, shared by the tests of every hop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from converters.spec import Arrays, PartSpec, TensorSpec
from tests import zoo_vits


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooCase:
    """A module and its declared interface.

    Attributes:
        id: test id; also the part's name.
        factory: builds the module (call `build` to have it seeded and in eval mode).
        spec: static interface.
    """

    id: str
    factory: Callable[[], nn.Module]
    spec: PartSpec

    def build(self) -> nn.Module:
        """The seeded module in eval mode, with normalisation statistics away from their trivial start."""
        torch.manual_seed(1234)
        module = self.factory().eval()
        for buffer_name, buffer in module.named_buffers():
            if buffer_name.endswith("running_mean"):
                buffer.normal_(0.0, 0.3)
            elif buffer_name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
        for name, parameter in module.named_parameters():
            if parameter.dim() == 1 and not name.endswith("gamma"):
                parameter.data.add_(torch.randn_like(parameter) * 0.1)
        return module

    def inputs(self, seed: int = 0) -> Arrays:
        """Random, time-varying inputs; inputs named ``mask`` are ones with a zero tail, tokens are small ints."""
        rng = np.random.default_rng(seed)
        arrays: dict[str, np.ndarray] = {}
        for tensor in self.spec.inputs:
            if tensor.dtype == "int32":
                arrays[tensor.name] = rng.integers(0, 20, tensor.shape).astype(np.int32)
            elif tensor.name == "mask":
                mask = np.ones(tensor.shape, np.float32)
                mask[..., -max(1, tensor.shape[-1] // 4) :] = 0.0
                arrays[tensor.name] = mask
            else:
                arrays[tensor.name] = rng.standard_normal(tensor.shape).astype(np.float32)
        return arrays


class Fn(nn.Module):
    """A function as a module, optionally after named submodules."""

    def __init__(self, function: Callable[..., object], **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *inputs: torch.Tensor) -> object:
        return self.function(self, *inputs)


class SelfAttention(nn.Module):
    def __init__(self, dim: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, query: torch.Tensor, *memory: torch.Tensor) -> torch.Tensor:
        source = memory[0] if memory else query
        return self.attn(query, source, source, need_weights=False)[0]


class ConvAttention(nn.Module):
    """Attention whose projections are 1x1 Conv1d (the form onnx2tf gets wrong)."""

    def __init__(self, channels: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.conv_q, self.conv_k, self.conv_v, self.conv_o = (nn.Conv1d(channels, channels, 1) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, time = x.shape
        q, k, v = (
            c(x).view(batch, self.heads, channels // self.heads, time).transpose(2, 3)
            for c in (self.conv_q, self.conv_k, self.conv_v)
        )
        weights = torch.softmax(q @ k.transpose(-2, -1) * (channels // self.heads) ** -0.5, -1)
        return self.conv_o((weights @ v).transpose(2, 3).reshape(batch, channels, time))


class SdpaBlock(nn.Module):
    """Pre-norm transformer block with a fused qkv projection and `scaled_dot_product_attention`."""

    def __init__(self, dim: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, dim = x.shape
        q, k, v = (
            t.view(batch, time, self.heads, dim // self.heads).transpose(1, 2)
            for t in self.qkv(self.norm_1(x)).chunk(3, -1)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, time, dim)
        x = x + self.out(mixed)
        return x + self.mlp(self.norm_2(x))


class ConvTransformer(nn.Module):
    """Convolutions, then [batch, time, dim] attention and linear layers, then convolutions again."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(4, 8, 3, padding=1), nn.GELU(), nn.Conv1d(8, 8, 3, stride=2, padding=1))
        self.block = SdpaBlock(8, 2)
        self.head = nn.Conv1d(8, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(self.stem(x).transpose(1, 2)).transpose(1, 2))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], layers: int = 1, bidirectional: bool = False) -> None:
        super().__init__()
        self.rnn = kind(4, 6, layers, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x)[0]


class ConvLstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 3, padding=1)
        self.rnn = nn.LSTM(4, 6, batch_first=True)
        self.out = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.rnn(torch.relu(self.conv(x)).transpose(1, 2))[0])


class TokenEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(20, 8)
        self.position = nn.Parameter(torch.randn(1, 10, 8))
        self.block = SdpaBlock()

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.block(self.emb(tokens) + self.position)


class ResNet2d(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv_1, self.bn_1 = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv_2, self.bn_2 = nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn_1(self.conv_1(x)))
        x = torch.relu(x + self.bn_2(self.conv_2(x)))
        return self.fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


NCT, NCHW, NTD, FEAT = (1, 4, 12), (1, 4, 8, 6), (1, 10, 8), (2, 6)


def _case(
    id: str,
    factory: Callable[[], nn.Module],
    *inputs: tuple[int, ...],
    names: tuple[str, ...] = (),
    dtype: str = "float32",
) -> ZooCase:
    names = names or tuple(f"x{index}" for index in range(len(inputs)))
    specs = tuple(
        TensorSpec(name=name, shape=shape, dtype="int32" if name == "tokens" else dtype)
        for name, shape in zip(names, inputs, strict=True)
    )
    torch.manual_seed(0)
    module = factory().eval()
    samples = [torch.zeros(s.shape, dtype=torch.int32) if s.dtype == "int32" else torch.ones(s.shape) for s in specs]
    with torch.no_grad():
        result = module(*samples)
    results = result if isinstance(result, tuple) else (result,)
    outputs = tuple(TensorSpec(name=f"y{i}", shape=tuple(r.shape)) for i, r in enumerate(results))
    return ZooCase(id=id, factory=factory, spec=PartSpec(name=id, inputs=specs, outputs=outputs))


def _fn(function: Callable[..., object], **modules: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: Fn(function, **{name: build() for name, build in modules.items()})


VITS = (
    _case("vits_wavenet", lambda: zoo_vits.WaveNet(6, 3, 2, 3), (1, 6, 16), (1, 1, 16), names=("x", "mask")),
    _case("vits_flow", zoo_vits.MiniFlow, (1, 8, 16), (1, 1, 16), names=("z_p", "mask")),
    _case("vits_flow_odd", lambda: zoo_vits.MiniFlow(flows=3), (1, 8, 16), (1, 1, 16), names=("z_p", "mask")),
    _case("vits_flow_affine", zoo_vits.AffineFlow, (1, 8, 16), (1, 1, 16), (1, 5, 1), names=("z_p", "mask", "g")),
    _case("vits_flow_decoder", zoo_vits.FlowThenDecoder, (1, 8, 12), (1, 1, 12), names=("z_p", "mask")),
    _case("vits_decoder", zoo_vits.MiniHifiGan, (1, 8, 12), (1, 1, 12), names=("z", "mask")),
    _case(
        "vits_decoder_k16s8",
        lambda: zoo_vits.MiniHifiGan(rates=(8, 4), kernels=(16, 8)),
        (1, 8, 6),
        (1, 1, 6),
        names=("z", "mask"),
    ),
    _case("vits_decoder_plain", zoo_vits.PlainHifiGan, (1, 8, 12), names=("z",)),
    _case("vits_encoder", zoo_vits.MiniTextEncoder, (1, 12), (1, 1, 12), names=("tokens", "mask")),
    _case("vits_encoder_short", zoo_vits.MiniTextEncoder, (1, 4), (1, 1, 4), names=("tokens", "mask")),
    _case("vits_attention", lambda: ConvAttention(8, 2), (1, 8, 10), names=("x",)),
    _case("vits_channel_norm", lambda: zoo_vits.ChannelNorm(4), NCT),
)

CONVOLUTIONS = (
    _case("conv1d", lambda: nn.Conv1d(4, 6, 3, padding=2, dilation=2), NCT),
    _case("conv1d_batch2", lambda: nn.Conv1d(4, 6, 3, padding=1), (2, 4, 12)),
    _case("conv1d_strided_no_bias", lambda: nn.Conv1d(4, 6, 5, stride=2, padding=2, bias=False), NCT),
    _case("conv1d_grouped", lambda: nn.Conv1d(4, 8, 3, padding=1, groups=2), NCT),
    _case("conv1d_depthwise", lambda: nn.Conv1d(4, 4, 3, padding=1, groups=4), NCT),
    _case("conv1d_depthwise_dilated", lambda: nn.Conv1d(4, 4, 3, padding=3, dilation=3, groups=4), NCT),
    _case(
        "conv1d_causal",
        _fn(lambda m, x: m.conv(functional.pad(x, (4, 0))), conv=lambda: nn.Conv1d(4, 6, 3, dilation=2)),
        NCT,
    ),
    _case("conv1d_reflect", lambda: nn.Conv1d(4, 6, 3, padding=1, padding_mode="reflect"), NCT),
    _case("conv_transpose1d_k16s8p4", lambda: nn.ConvTranspose1d(4, 3, 16, 8, padding=4), NCT),
    _case("conv_transpose1d_k4s2p1", lambda: nn.ConvTranspose1d(4, 3, 4, 2, padding=1), NCT),
    _case("conv_transpose1d_k4s4", lambda: nn.ConvTranspose1d(4, 3, 4, 4, bias=False), NCT),
    _case("conv_transpose1d_k3s2p1o1", lambda: nn.ConvTranspose1d(4, 3, 3, 2, padding=1, output_padding=1), NCT),
    _case("conv_transpose1d_k11s5p3", lambda: nn.ConvTranspose1d(4, 3, 11, 5, padding=3), NCT),
    _case("conv_transpose1d_grouped", lambda: nn.ConvTranspose1d(4, 6, 4, 2, padding=1, groups=2), NCT),
    _case("conv2d", lambda: nn.Conv2d(4, 6, (3, 5), padding=(1, 2), stride=(2, 1)), NCHW),
    _case("conv2d_dilated_no_bias", lambda: nn.Conv2d(4, 6, 3, padding=2, dilation=2, bias=False), NCHW),
    _case("conv2d_grouped", lambda: nn.Conv2d(4, 8, 3, padding=1, groups=2), NCHW),
    _case("conv2d_depthwise", lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4), NCHW),
    _case("conv2d_depthwise_dilated", lambda: nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4), NCHW),
    _case("conv_transpose2d", lambda: nn.ConvTranspose2d(4, 3, 4, 2, padding=1), NCHW),
    _case("resnet2d", ResNet2d, (1, 3, 8, 8)),
)

TRANSFORMERS = (
    _case("linear", lambda: nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3, bias=False)), FEAT),
    _case("linear_rank3", lambda: nn.Linear(8, 3), NTD),
    _case("mha_self", SelfAttention, NTD, names=("query",)),
    _case("mha_cross", SelfAttention, NTD, (1, 7, 8), names=("query", "memory")),
    _case("sdpa_block", SdpaBlock, NTD),
    _case("encoder_layer", lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), NTD),
    _case("conv_transformer", ConvTransformer, (1, 4, 16)),
    _case("token_encoder", TokenEncoder, (1, 10), names=("tokens",)),
    _case("embedding_lookup", lambda: nn.Embedding(20, 6), (2, 5), names=("tokens",)),
    _case("lstm", lambda: Recurrent(nn.LSTM), (1, 7, 4)),
    _case("lstm_two_layers_both_ways", lambda: Recurrent(nn.LSTM, 2, True), (1, 7, 4)),
    _case("gru", lambda: Recurrent(nn.GRU), (1, 7, 4)),
    _case("gru_both_ways", lambda: Recurrent(nn.GRU, 1, True), (1, 7, 4)),
    _case("conv_lstm", ConvLstm, (1, 4, 9)),
)

NORMS = (
    _case("layer_norm", lambda: nn.LayerNorm(8), NTD),
    _case("batch_norm1d", lambda: nn.Sequential(nn.Conv1d(4, 4, 3, padding=1), nn.ReLU(), nn.BatchNorm1d(4)), NCT),
    _case("batch_norm1d_features", lambda: nn.BatchNorm1d(6), FEAT),
    _case("batch_norm2d", lambda: nn.BatchNorm2d(4), NCHW),
    _case("group_norm1d", lambda: nn.Sequential(nn.Conv1d(4, 4, 3, padding=1), nn.GroupNorm(2, 4)), NCT),
    _case("group_norm2d", lambda: nn.GroupNorm(2, 4), NCHW),
    _case("instance_norm1d", lambda: nn.InstanceNorm1d(4, affine=True), NCT),
    _case("instance_norm2d", lambda: nn.InstanceNorm2d(4), NCHW),
)

ACTIVATIONS = tuple(
    _case(f"activation_{name}", (lambda a: lambda: nn.Sequential(nn.Conv1d(4, 4, 1), a()))(activation), NCT)
    for name, activation in {
        "relu": nn.ReLU,
        "leaky_relu": lambda: nn.LeakyReLU(0.2),
        "prelu": lambda: nn.PReLU(4),
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
        "silu": nn.SiLU,
        "mish": nn.Mish,
        "softplus": nn.Softplus,
        "hardswish": nn.Hardswish,
        "hardsigmoid": nn.Hardsigmoid,
        "relu6": nn.ReLU6,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "softmax": lambda: nn.Softmax(dim=1),
        "log_softmax": lambda: nn.LogSoftmax(dim=1),
        "glu": lambda: nn.GLU(dim=1),
    }.items()
)

SHAPES = (
    _case("max_pool1d", lambda: nn.Sequential(nn.Conv1d(4, 4, 1), nn.MaxPool1d(3, 2, padding=1)), NCT),
    _case("avg_pool1d", lambda: nn.Sequential(nn.Conv1d(4, 4, 1), nn.AvgPool1d(4, 2, padding=1)), NCT),
    _case("adaptive_avg_pool1d", lambda: nn.Sequential(nn.Conv1d(4, 4, 1), nn.AdaptiveAvgPool1d(1)), NCT),
    _case("max_pool2d", lambda: nn.MaxPool2d(2), NCHW),
    _case("avg_pool2d", lambda: nn.AvgPool2d(3, 1, padding=1, count_include_pad=False), NCHW),
    _case(
        "flip_channels",
        _fn(
            lambda m, x: m.b(torch.flip(torch.relu(m.a(x)), [1])),
            a=lambda: nn.Conv1d(4, 6, 3, padding=1),
            b=lambda: nn.Conv1d(6, 4, 3, padding=1),
        ),
        NCT,
    ),
    _case("flip_output", _fn(lambda m, x: torch.flip(m.a(x), [1]), a=lambda: nn.Conv1d(4, 6, 3, padding=1)), NCT),
    _case("flip_bare", _fn(lambda m, x: torch.flip(x, [1])), NCT),
    _case("flip_time", _fn(lambda m, x: m.a(torch.flip(x, [2])), a=lambda: nn.Conv1d(4, 6, 3, padding=1)), NCT),
    _case("flip_image", _fn(lambda m, x: m.a(torch.flip(x, [3])), a=lambda: nn.Conv2d(4, 6, 3, padding=1)), NCHW),
    _case("slice_time", _fn(lambda m, x: m.a(x)[:, :, 2:-1:2], a=lambda: nn.Conv1d(4, 6, 3)), NCT),
    _case("slice_channels", _fn(lambda m, x: m.a(x[:, 1:3]), a=lambda: nn.Conv1d(2, 6, 3)), NCT),
    _case(
        "pad_constant", _fn(lambda m, x: m.a(functional.pad(x, (2, 3), value=0.5)), a=lambda: nn.Conv1d(4, 6, 3)), NCT
    ),
    _case(
        "pad_replicate",
        _fn(lambda m, x: functional.pad(m.a(x), (2, 1), mode="replicate"), a=lambda: nn.Conv1d(4, 6, 3)),
        NCT,
    ),
    _case(
        "concat_channels",
        _fn(lambda m, x, y: m.a(torch.cat([x, torch.tanh(y), x], 1)), a=lambda: nn.Conv1d(12, 5, 3)),
        NCT,
        NCT,
    ),
    _case("concat_time", _fn(lambda m, x, y: m.a(torch.cat([x, y], 2)), a=lambda: nn.Conv1d(4, 5, 3)), NCT, NCT),
    _case("chunk_gate", _fn(lambda m, x: torch.mul(*m.a(x).chunk(2, 1)), a=lambda: nn.Conv1d(4, 8, 3)), NCT),
    _case("mean_time", _fn(lambda m, x: m.a(x).mean(2), a=lambda: nn.Conv1d(4, 5, 3)), NCT),
    _case("max_keepdim", _fn(lambda m, x: m.a(x).amax(1, keepdim=True), a=lambda: nn.Conv1d(4, 5, 3)), NCT),
    _case("sum_std", _fn(lambda m, x: m.a(x).sum(1) / (m.a(x).std(1) + 1), a=lambda: nn.Conv1d(4, 5, 3)), NCT),
    _case("upsample_nearest1d", lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv1d(4, 3, 3, padding=1)), NCT),
    _case(
        "upsample_linear1d", lambda: nn.Sequential(nn.Upsample(scale_factor=2, mode="linear"), nn.Conv1d(4, 3, 3)), NCT
    ),
    _case("upsample_nearest2d", lambda: nn.Upsample(scale_factor=2), NCHW),
    _case("upsample_bilinear2d", lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), NCHW),
    _case("where_mask", _fn(lambda m, x: torch.where(x > 0, m.a(x), -m.a(x)), a=lambda: nn.Conv1d(4, 4, 1)), NCT),
    _case(
        "speaker_add",
        _fn(
            lambda m, x, g: torch.tanh(m.a(x) + m.b(g)),
            a=lambda: nn.Conv1d(4, 6, 3, padding=1),
            b=lambda: nn.Conv1d(5, 6, 1),
        ),
        NCT,
        (1, 5, 1),
    ),
    _case(
        "flatten_linear",
        _fn(lambda m, x: m.b(m.a(x).flatten(1)), a=lambda: nn.Conv1d(4, 3, 3), b=lambda: nn.Linear(30, 4)),
        NCT,
    ),
)

CASES: tuple[ZooCase, ...] = (*VITS, *CONVOLUTIONS, *TRANSFORMERS, *NORMS, *ACTIVATIONS, *SHAPES)
BY_ID: dict[str, ZooCase] = {case.id: case for case in CASES}
