"""A VITS bundle of three tiny networks, in seconds: real files, real layouts, a decoder too short for its sentences.

The decoder has one graph of 24 frames and reaches 3 to either side, so most sentences go through it in chunks; the flow
has two graphs in one file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from converters import frameworks
from converters.tflite_graph.metadata import write_metadata
from toolkit.models.vits.bundle import Host, write_host
from toolkit.models.vits.durations import OnnxDurations
from toolkit.models.vits.speech import InferenceDefaults

PHONEMES, CHANNELS, HOP, REACH = 24, 4, 8, 3
FLOWS, DECODER = (16, 96), 24
SAID = "abcdefg"


def make_bundle(folder: Path) -> Path:
    """Writes it; the same folder back."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(5)
    table = numbers.standard_normal((16, 3 * CHANNELS)).astype(np.float32)
    mix = numbers.standard_normal((1, 1, CHANNELS, CHANNELS)).astype(np.float32) * 0.6
    kernel = numbers.standard_normal((1, 2 * REACH + 1, CHANNELS, HOP)).astype(np.float32) * 0.3
    tf = frameworks.tensorflow()

    def encoder(ids: Any, mask: Any) -> dict[str, Any]:
        rows = tf.gather(table, ids) * tf.transpose(mask, [0, 2, 1])
        x, m_p, logs_p = (tf.transpose(part, [0, 2, 1]) for part in tf.split(rows, 3, axis=2))
        return {"x": x, "m_p": m_p, "logs_p": 0.3 * tf.tanh(logs_p)}

    def flow(z_p: Any, mask: Any) -> dict[str, Any]:
        return {"z": (z_p + tf.tanh(tf.nn.conv2d(z_p, mix, 1, "SAME"))) * mask}

    def decoder(z: Any, mask: Any) -> dict[str, Any]:
        heard = tf.nn.conv2d(z * mask, kernel, 1, "SAME") * mask
        return {"audio": tf.reshape(tf.tanh(heard), [1, 1, DECODER * HOP, 1])}

    row = [1, CHANNELS, PHONEMES]
    write_file(folder / "encoder.tflite", encoder, {
        f"encoder_{PHONEMES}": {
            **plain("ids", [1, PHONEMES], "input", "int32"), **plain("mask", [1, 1, PHONEMES], "input"),
            **plain("x", row, "output"), **plain("m_p", row, "output"), **plain("logs_p", row, "output"),
        }
    })  # fmt: skip
    write_file(folder / "flow.tflite", flow, {
        f"flow_{length}": {
            **frames("z_p", CHANNELS, length, "input"), **frames("mask", 1, length, "input"),
            **frames("z", CHANNELS, length, "output"),
        }
        for length in FLOWS
    })  # fmt: skip
    write_file(folder / "decoder.tflite", decoder, {
        f"decoder_{DECODER}": {
            **frames("z", CHANNELS, DECODER, "input"), **frames("mask", 1, DECODER, "input"),
            **frames("audio", 1, DECODER, "output", HOP),
        }
    })  # fmt: skip
    symbols = {"_": (0,), "^": (1,), "$": (2,), **{letter: (3 + i,) for i, letter in enumerate("abcdefghijk")}}
    write_host(
        Host(
            name="made", label="three tiny networks", language="en", sample_rate_hz=8000, hop=HOP, flow_reach_frames=0,
            decoder_reach_frames=REACH, buckets={"encoder": (PHONEMES,), "flow": FLOWS, "decoder": FLOWS},
            defaults=InferenceDefaults(), phoneme_id_map=symbols, durations=OnnxDurations(model=_durations()),
        ),
        folder,
    )  # fmt: skip
    return folder


def frames(name: str, channels: int, length: int, role: str, hop: int = 1) -> dict[str, Any]:
    """A tensor over time, in the file's layout [1, 1, time, channels]."""
    shape = [1, channels, length * hop]
    fact = {"role": role, "dtype": "float32", "torch_shape": shape, "axes": ["batch", "channels", "time"]}
    return {name: {**fact, "expanded": [1, channels, 1, length * hop], "permutation": [0, 2, 3, 1]}}


def plain(name: str, shape: list[int], role: str, dtype: str = "float32") -> dict[str, Any]:
    """A tensor the file has as torch has it."""
    axes = ["batch", "one", "channels", "time"][-len(shape) :]
    fact = {"role": role, "dtype": dtype, "torch_shape": shape, "axes": axes}
    return {name: {**fact, "expanded": shape, "permutation": list(range(len(shape)))}}


def write_file(path: Path, function: Any, signatures: dict[str, dict[str, Any]]) -> None:
    """Writes a file with the function for each signature."""
    tf = frameworks.tensorflow()
    module, concrete = tf.Module(), {}
    for key, tensors in signatures.items():
        specs = [
            tf.TensorSpec([t["expanded"][axis] for axis in t["permutation"]], t["dtype"], name=name)
            for name, t in tensors.items()
            if t["role"] == "input"
        ]
        concrete[key] = tf.function(function).get_concrete_function(*specs)
    saved = path.with_suffix(".saved")
    tf.saved_model.save(module, str(saved), signatures=concrete)
    content = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=list(concrete)).convert()
    path.write_bytes(write_metadata(content, {"signatures": signatures}))


def _durations() -> bytes:
    """Three to five frames a phoneme: 1.35 + 0.2 tanh of the first feature."""
    onnx = frameworks.onnx()
    helper, kinds = onnx.helper, onnx.TensorProto
    info = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Slice", ["x", "zero", "one", "axis", "one"], ["first"]),
        helper.make_node("Tanh", ["first"], ["bent"]),
        helper.make_node("Mul", ["bent", "width"], ["scaled"]),
        helper.make_node("Add", ["scaled", "middle"], ["log_durations"]),
    ]
    given = [
        onnx.numpy_helper.from_array(np.array(value, dtype), name)
        for name, value, dtype in (
            ("zero", [0], np.int64), ("one", [1], np.int64), ("axis", [1], np.int64),
            ("width", 0.2, np.float32), ("middle", 1.35, np.float32),
        )
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "durations",
        [info("x", kinds.FLOAT, [1, CHANNELS, "T"]), info("mask", kinds.FLOAT, [1, 1, "T"]),
         info("noise", kinds.FLOAT, [1, 2, "T"])],
        [info("log_durations", kinds.FLOAT, [1, 1, "T"])], given,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
