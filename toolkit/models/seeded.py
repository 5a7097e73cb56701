"""A small voice of random weights: the same classes as a real one, in a second instead of a download.

It does not speak. It is what tests run on, and what the toolkit offers when the default voice is not installed.
"""

from __future__ import annotations

import numpy as np

from converters import frameworks
from toolkit.models.vits import parts
from toolkit.models.vits.config import EncoderConfig, FlowConfig, GeneratorConfig, VitsConfig
from toolkit.models.vits.durations import INPUT_NAMES, OUTPUT_NAME, OnnxDurations
from toolkit.models.voice import Voice

LABEL = "random weights, not speech"

_SYMBOLS = "_^$ .,?!abcdefhijklmnopqrstuvwxyzæðŋɐɑɔəɚɛɜɡɪɹʃʊʌʒʔˈˌːθɾᵻ"


def seeded_config(resblock: str = "2") -> VitsConfig:
    """Sizes of the small voice; ``resblock`` ``"1"`` or ``"2"``.

    The decoder has a medium Piper voice's layers by name and number, so that the built-in voice recipe's rules apply.
    """
    dilations = ((1, 3),) * 3 if resblock == "1" else ((1, 2), (2, 6), (1, 2))
    return VitsConfig(
        encoder=EncoderConfig(vocabulary=len(_SYMBOLS), hidden=32, filter_channels=64, heads=2, layers=2, inter=32),
        flow=FlowConfig(channels=32, hidden=32, couplings=2, dilations=(1, 1)),
        generator=GeneratorConfig(
            channels=32,
            initial=32,
            up_rates=(4, 2, 2),
            up_kernels=(8, 4, 4),
            up_paddings=(2, 1, 1),
            resblock=resblock,
            resblock_kernels=(3, 5, 7),
            resblock_dilations=dilations,
        ),
    )


def seeded_voice(seed: int = 0, resblock: str = "2") -> Voice:
    """A voice of random weights.

    Args:
        seed: same seed, same weights.
        resblock: kind of residual block, ``"1"`` or ``"2"``.
    """
    torch = frameworks.torch()
    config = seeded_config(resblock)
    modules = parts.build(config)
    noise = np.random.default_rng(seed)
    for module in modules.values():
        for parameter in module.parameters():
            fan_in = max(1, int(np.prod(parameter.shape[1:])))
            values = noise.standard_normal(tuple(parameter.shape)) * (0.1 if parameter.ndim == 1 else fan_in**-0.5)
            parameter.data.copy_(torch.from_numpy(values.astype(np.float32)))
    return Voice(
        name="random-voice",
        label=LABEL,
        config=config,
        modules=modules,
        durations=_durations(config.encoder.hidden, noise),
        sample_rate_hz=22050,
        phoneme_id_map={symbol: (index,) for index, symbol in enumerate(_SYMBOLS)},
    )


def _durations(hidden: int, noise: np.random.Generator) -> OnnxDurations:
    """About four frames a phoneme, a little more or less by the encoder output and the noise."""
    onnx = frameworks.onnx()
    helper, real = onnx.helper, onnx.TensorProto.FLOAT
    weight = (noise.standard_normal((1, hidden, 1)) * 0.1 * hidden**-0.5).astype(np.float32)
    noise_weight = np.array([[[0.1], [0.0]]], dtype=np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "weight", "bias"], ["from_x"]),
        helper.make_node("Conv", ["noise", "noise_weight"], ["from_noise"]),
        helper.make_node("Add", ["from_x", "from_noise"], ["sum"]),
        helper.make_node("Mul", ["sum", "mask"], [OUTPUT_NAME]),
    ]
    channels = dict(zip(INPUT_NAMES, (hidden, 1, 2), strict=True))
    graph = helper.make_graph(
        nodes,
        "durations",
        [helper.make_tensor_value_info(name, real, [1, size, "phonemes"]) for name, size in channels.items()],
        [helper.make_tensor_value_info(OUTPUT_NAME, real, [1, 1, "phonemes"])],
        [
            onnx.numpy_helper.from_array(weight, "weight"),
            onnx.numpy_helper.from_array(np.array([1.2], dtype=np.float32), "bias"),
            onnx.numpy_helper.from_array(noise_weight, "noise_weight"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    return OnnxDurations(model=model.SerializeToString())
