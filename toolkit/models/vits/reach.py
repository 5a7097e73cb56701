"""How far a part looks to each side: with that much context, a chunk of a long utterance is exact."""

from __future__ import annotations

import math

from toolkit.models.vits.config import FlowConfig, GeneratorConfig


def flow_reach_frames(config: FlowConfig) -> int:
    """Frames to each side that an output frame of the flow depends on."""
    return config.couplings * sum((config.kernel - 1) * dilation // 2 for dilation in config.dilations)


def generator_reach_frames(config: GeneratorConfig) -> int:
    """Frames to each side that an output sample of the generator depends on, rounded up."""
    reach = 3.0  # conv_pre, width 7
    rate = 1
    for up_rate, up_kernel in zip(config.up_rates, config.up_kernels, strict=True):
        reach += math.ceil(up_kernel / up_rate) / rate
        rate *= up_rate
        widest = 0
        for width, dilations in zip(config.resblock_kernels, config.resblock_dilations, strict=True):
            half = (width - 1) // 2
            second = half * len(dilations) if config.resblock == "1" else 0
            widest = max(widest, half * sum(dilations) + second)
        reach += widest / rate
    return math.ceil(reach + 3 / rate)
