"""How far a part looks to each side: with that much context, a chunk of a long utterance is exact."""

from __future__ import annotations

import math

from toolkit.models.vits.config import FlowConfig, GeneratorConfig
from toolkit.models.vits.light_config import LightConfig, LightTrunk, NarrowConfig, WavenetConfig


def flow_reach_frames(config: FlowConfig) -> int:
    """Frames to each side that an output frame of the flow depends on."""
    return config.couplings * sum((config.kernel - 1) * dilation // 2 for dilation in config.dilations)


def light_reach_frames(config: LightConfig) -> int:
    """Frames to each side that an output sample of a light decoder depends on, rounded up."""
    trunk = config.trunk
    frames = _trunk_reach(trunk)
    if isinstance(config, WavenetConfig):
        steps = (config.kernel - 1) // 2 * sum(config.dilations) + config.head_kernel // 2
    elif isinstance(config, NarrowConfig):
        steps = 3  # conv_post, width 7
    else:
        steps = config.head_kernel // 2 + config.overlap // 2
    return math.ceil(frames + steps / trunk.rate)


def _trunk_reach(trunk: LightTrunk) -> float:
    reach, rate = 3.0, 1  # conv_pre, width 7
    for stage in trunk.stages:
        reach += math.ceil(stage.kernel / stage.rate) / rate
        rate *= stage.rate
        blocks = zip(stage.blocks, stage.dilations, strict=True)
        reach += max((_block_reach(trunk.resblock, width, dilations) for width, dilations in blocks), default=0) / rate
    return reach


def _block_reach(resblock: str, width: int, dilations: tuple[int, ...]) -> int:
    half = (width - 1) // 2
    return half * sum(dilations) + (half * len(dilations) if resblock == "1" else 0)


def generator_reach_frames(config: GeneratorConfig) -> int:
    """Frames to each side that an output sample of the generator depends on, rounded up."""
    reach = 3.0  # conv_pre, width 7
    rate = 1
    for up_rate, up_kernel in zip(config.up_rates, config.up_kernels, strict=True):
        reach += math.ceil(up_kernel / up_rate) / rate
        rate *= up_rate
        blocks = zip(config.resblock_kernels, config.resblock_dilations, strict=True)
        reach += max(_block_reach(config.resblock, width, dilations) for width, dilations in blocks) / rate
    return math.ceil(reach + 3 / rate)
