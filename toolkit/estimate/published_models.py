"""The nine networks of the published measurements, from the papers that describe them.

What a measurement says depends on what was run. Each function states its input as AI Hub Models gives it; parameter and
multiply-add counts are checked against the papers' in the tests.
"""

from __future__ import annotations

from functools import cache

from toolkit.estimate.architectures import Sketch, attention, linear, transformer_layer
from toolkit.estimate.workload import OpWork, Workload

_PIXELS = 224


def mobilenet_v2() -> Workload:
    """Sandler et al. 2018, table 2; 224 x 224 image."""
    net = Sketch(3, _PIXELS, _PIXELS).conv(32, 3, 2)
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, channels, repeats, stride in plan:
        for repeat in range(repeats):
            inner, residual = net.channels * expansion, repeat > 0
            if expansion > 1:
                net.conv(inner, 1)
            net.conv(inner, 3, stride if repeat == 0 else 1, groups=inner).conv(channels, 1)
            if residual:
                net.elementwise(2)
    return net.conv(1280, 1).pool().dense(1000).workload("mobilenet_v2")


def mobilenet_v3_small() -> Workload:
    """Howard et al. 2019, table 2; 224 x 224 image."""
    net = Sketch(3, _PIXELS, _PIXELS).conv(16, 3, 2).elementwise()
    plan = [
        (3, 16, 16, True, 2), (3, 72, 24, False, 2), (3, 88, 24, False, 1), (5, 96, 40, True, 2), (5, 240, 40, True, 1),
        (5, 240, 40, True, 1), (5, 120, 48, True, 1), (5, 144, 48, True, 1), (5, 288, 96, True, 2),
        (5, 576, 96, True, 1), (5, 576, 96, True, 1),
    ]  # fmt: skip
    for kernel, inner, channels, squeezed, stride in plan:
        residual = stride == 1 and net.channels == channels
        if inner != net.channels:
            net.conv(inner, 1).elementwise()
        net.conv(inner, kernel, stride, groups=inner).elementwise()
        if squeezed:
            net.squeeze(_eighths(inner / 4))
        net.conv(channels, 1)
        if residual:
            net.elementwise(2)
    net.conv(576, 1).elementwise().pool()
    return net.dense(1024).elementwise().dense(1000).workload("mobilenet_v3_small")


def efficientnet_b0() -> Workload:
    """Tan and Le 2019, table 1; 224 x 224 image."""
    net = Sketch(3, _PIXELS, _PIXELS).conv(32, 3, 2).elementwise()
    plan = [
        (1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1), (6, 5, 192, 4, 2),
        (6, 3, 320, 1, 1),
    ]  # fmt: skip
    for expansion, kernel, channels, repeats, stride in plan:
        for repeat in range(repeats):
            before, inner = net.channels, net.channels * expansion
            if expansion > 1:
                net.conv(inner, 1).elementwise(2)
            net.conv(inner, kernel, stride if repeat == 0 else 1, groups=inner).elementwise(2)
            net.squeeze(before // 4).conv(channels, 1)
            if repeat:
                net.elementwise(2)
    return net.conv(1280, 1).elementwise(2).pool().dense(1000).workload("efficientnet_b0")


def resnet18() -> Workload:
    """He et al. 2015, table 1; 224 x 224 image."""
    net = Sketch(3, _PIXELS, _PIXELS).conv(64, 7, 2).downsample(2)
    for channels, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for block in range(2):
            if block == 0 and stride == 2:
                projection = Sketch(net.channels, net.height, net.width).conv(channels, 1, 2)
                net.ops += projection.ops
            net.conv(channels, 3, stride if block == 0 else 1).conv(channels, 3).elementwise(2)
    return net.pool().dense(1000).workload("resnet18")


def yamnet() -> Workload:
    """MobileNet v1 (Howard et al. 2017) on a mel patch of 96 x 64, 521 classes."""
    net = Sketch(1, 96, 64).conv(32, 3, 2)
    widths = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for channels, stride in widths:
        net.conv(net.channels, 3, stride, groups=net.channels).conv(channels, 1)
    return net.pool().dense(521).workload("yamnet")


def whisper_tiny_encoder() -> Workload:
    """Radford et al. 2022; 80 x 3000 mel frames, and the keys and values of the decoder's cross attention."""
    width, frames = 384, 1500
    net = Sketch(80, 1, 2 * frames).conv(width, (1, 3)).elementwise().conv(width, (1, 3), (1, 2)).elementwise()
    for _ in range(4):
        net.ops += transformer_layer(width, 4 * width, 6, frames)
    net.ops += [linear(width, width, frames)] * 8
    return net.workload("whisper_tiny/HfWhisperEncoder")


def whisper_tiny_decoder() -> Workload:
    """One token over a cache of 200 and 1500 encoded frames; 51865 logits."""
    width, ops = 384, list[OpWork]()
    for _ in range(4):
        ops += transformer_layer(width, 4 * width, 6, 1, keys=200, cross=1500)
    return Workload(name="whisper_tiny/HfWhisperDecoder", ops=(*ops, linear(width, 51865, 1)))


def wavlm_base_plus() -> Workload:
    """Chen et al. 2021; 320000 samples: 20 s."""
    net = Sketch(1, 1, 320000)
    for kernel, stride in ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)):
        net.conv(512, (1, kernel), (1, stride)).elementwise()
    frames = net.width
    net.dense(768).conv(768, (1, 128), groups=16).elementwise(2)
    for _ in range(12):
        net.ops += transformer_layer(768, 3072, 12, frames)
    return net.workload("huggingface_wavlm_base_plus")


def clip() -> Workload:
    """Radford et al. 2021, ViT-B/16: one image of 224 x 224 and one text of 77 tokens."""
    net = Sketch(3, _PIXELS, _PIXELS).conv(768, 16, 16)
    for _ in range(12):
        net.ops += transformer_layer(768, 3072, 12, 197)
    for _ in range(12):
        net.ops += transformer_layer(512, 2048, 8, 77)
    net.ops += [linear(768, 512, 1), linear(512, 512, 1), *attention(512, 1, 1, 1)[:1]]
    return net.workload("openai_clip")


@cache
def published_workloads() -> dict[str, Workload]:
    """Every published network by the name its measurements carry."""
    made = (
        mobilenet_v2(), mobilenet_v3_small(), efficientnet_b0(), resnet18(), yamnet(), whisper_tiny_encoder(),
        whisper_tiny_decoder(), wavlm_base_plus(), clip(),
    )  # fmt: skip
    return {workload.name: workload for workload in made}


def _eighths(value: float) -> int:
    """The nearest multiple of eight, not below nine tenths of the value (the paper's rounding)."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded
