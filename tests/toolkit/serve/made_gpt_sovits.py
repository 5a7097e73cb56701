"""A GPT-SoVITS bundle of five tiny networks, in seconds: real files with the interfaces of real graphs, one voice.

One layer of attention says codes, a table and a sum make statistics of them, the vocoder reaches ``REACH`` frames to
either side and holds fewer than a sentence has, so that it sings in chunks.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from converters import frameworks
from tests.toolkit.serve.made_bundle import frames, plain, write_file
from toolkit.voices.database import VoiceDatabase
from toolkit.voices.features import checked_features

WIDTH, VOCABULARY, SYMBOLS, CHANNELS = 16, 33, 60, 4
TEXT, PROMPT, CACHE, CODES, CHUNK = 24, 16, 64, 24, 20  # eleven codes are the least, and longer than a chunk
HOP, REACH, RATE = 8, 3, 8000
USER, SAID = "anna", "1 2 3 4 5 6"
GRAPHS = {f"t2s_prefill_{TEXT + PROMPT}", f"t2s_step_{CACHE}", f"text_encoder_{CODES}", f"flow_{CODES}",
          f"vocoder_stream_{CHUNK}"}  # fmt: skip


def make_gpt_sovits(folder: Path) -> tuple[Path, Path]:
    """Writes the bundle and a database with the voice ``USER``; both paths."""
    bundle = folder / "bundle"
    bundle.mkdir(parents=True)
    functions, numbers = _functions(), np.random.default_rng(8)
    graphs: dict[str, Any] = {}
    for name, tensors in _tensors().items():
        kind = name.rpartition("_")[0]
        write_file(bundle / f"{kind}.tflite", functions[kind], {name: tensors})
        graphs[name] = {"file": f"{kind}.tflite", "signature": name, "tensors": tensors}
    facts = {
        "format": 1, "label": "five tiny networks", "version": "v2", "model_sha256": "", "style_sha256": "",
        "symbols": SYMBOLS, "sample_rate_hz": RATE, "samples_per_frame": HOP, "overlap_frames": REACH,
        "noise_scale": 0.5,
        "semantic": {"width": WIDTH, "layers": 1, "vocabulary": VOCABULARY, "stop_token": VOCABULARY - 1,
                     "text_alpha": 1.0, "audio_alpha": 1.0},
        "files": {
            path.name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size_bytes": path.stat().st_size}
            for path in sorted(bundle.glob("*.tflite"))
        },
        "graphs": graphs,
    }  # fmt: skip
    (bundle / "engine.json").write_text(json.dumps(facts), encoding="utf-8")
    arrays = {
        "ge": np.zeros((1, 1, 1)),
        "prompt_codes": numbers.integers(0, VOCABULARY - 1, 6),
        "prompt_phones": numbers.integers(0, SYMBOLS, 5),
    }
    database = folder / "voices.sqlite3"
    with VoiceDatabase(database, create=True) as voices:
        voices.add(USER, checked_features(arrays, "en"), consent="made up", sources={})
    return bundle, database


def _functions() -> dict[str, Any]:
    tf, numbers = frameworks.tensorflow(), np.random.default_rng(7)

    def matrix(*shape: int) -> np.ndarray:
        return (numbers.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    text, audio = (np.float32(3 * np.sqrt(ids)) * matrix(ids, WIDTH) for ids in (SYMBOLS, VOCABULARY))
    to_q, to_k, to_v, predict = (
        matrix(WIDTH, WIDTH),
        matrix(WIDTH, WIDTH),
        matrix(WIDTH, WIDTH),
        matrix(WIDTH, VOCABULARY),
    )
    code, phone = matrix(VOCABULARY - 1, 2 * CHANNELS), matrix(SYMBOLS, 2 * CHANNELS)
    mix = (0.6 * numbers.standard_normal((1, 1, CHANNELS, CHANNELS))).astype(np.float32)
    kernel = (0.3 * numbers.standard_normal((1, 2 * REACH + 1, CHANNELS, HOP))).astype(np.float32)

    def attended(x: Any, keys: Any, values: Any, bias: Any) -> Any:
        scores = tf.matmul(x @ to_q, keys, transpose_b=True) / np.float32(np.sqrt(WIDTH)) + bias
        return tf.tanh(x + tf.matmul(tf.nn.softmax(scores), values))

    def prefill(phones: Any, prompts: Any, attention_bias: Any, positions: Any, last_row: Any) -> dict[str, Any]:
        x = tf.concat([tf.gather(text, phones[0]), tf.gather(audio, prompts[0])], axis=0) + positions[0]
        keys, values = x @ to_k, x @ to_v
        hidden = tf.matmul(last_row[0], attended(x, keys, values, attention_bias[0, 0]))
        return {"logits": hidden @ predict, "k": keys[None, None], "v": values[None, None]}

    def step(token: Any, position: Any, attention_bias: Any, k_cache_0: Any, v_cache_0: Any) -> dict[str, Any]:
        x = tf.gather(audio, token[0]) + position[0]
        k_new, v_new = x @ to_k, x @ to_v
        keys, values = tf.concat([k_cache_0[0], k_new], axis=0), tf.concat([v_cache_0[0], v_new], axis=0)
        beside = tf.pad(attention_bias[0, 0], [[0, 0], [0, 1]])  # the new row sees itself
        hidden = attended(x, keys, values, beside)
        return {"logits": hidden @ predict, "k_new": k_new[None, None], "v_new": v_new[None, None]}

    def encoder(codes: Any, phones: Any, codes_mask: Any, phones_mask: Any) -> dict[str, Any]:
        twice = tf.repeat(tf.gather(code, codes[0]), 2, axis=0)
        heard = tf.reduce_sum(tf.gather(phone, phones[0]) * tf.transpose(phones_mask[0]), axis=0)
        rows = tf.transpose((twice + 0.1 * heard) * tf.transpose(codes_mask[0]))[None]
        return {"m_p": rows[:, :CHANNELS], "logs_p": 0.3 * tf.tanh(rows[:, CHANNELS:])}

    def flow(z_p: Any, mask: Any) -> dict[str, Any]:
        return {"z": (z_p + tf.tanh(tf.nn.conv2d(z_p, mix, 1, "SAME"))) * mask}

    def vocoder(z: Any, mask: Any) -> dict[str, Any]:
        heard = tf.nn.conv2d(z * mask, kernel, 1, "SAME") * mask
        return {"audio": tf.reshape(tf.tanh(heard), [1, 1, CHUNK * HOP, 1])}

    return {
        "t2s_prefill": prefill, "t2s_step": step, "text_encoder": encoder, "flow": flow, "vocoder_stream": vocoder,
    }  # fmt: skip


def _tensors() -> dict[str, dict[str, Any]]:
    rows, statistics = TEXT + PROMPT, [1, CHANNELS, 2 * CODES]
    return {
        f"t2s_prefill_{rows}": {
            **plain("phones", [1, TEXT], "input", "int32"), **plain("prompts", [1, PROMPT], "input", "int32"),
            **plain("attention_bias", [1, 1, rows, rows], "input"), **plain("positions", [1, rows, WIDTH], "input"),
            **plain("last_row", [1, 1, rows], "input"), **plain("logits", [1, VOCABULARY], "output"),
            **plain("k", [1, 1, rows, WIDTH], "output"), **plain("v", [1, 1, rows, WIDTH], "output"),
        },
        f"t2s_step_{CACHE}": {
            **plain("token", [1, 1], "input", "int32"), **plain("position", [1, 1, WIDTH], "input"),
            **plain("attention_bias", [1, 1, 1, CACHE], "input"),
            **plain("k_cache_0", [1, CACHE, WIDTH], "input"), **plain("v_cache_0", [1, CACHE, WIDTH], "input"),
            **plain("logits", [1, VOCABULARY], "output"), **plain("k_new", [1, 1, 1, WIDTH], "output"),
            **plain("v_new", [1, 1, 1, WIDTH], "output"),
        },
        f"text_encoder_{CODES}": {
            **plain("codes", [1, CODES], "input", "int32"), **plain("phones", [1, TEXT], "input", "int32"),
            **plain("codes_mask", [1, 1, 2 * CODES], "input"), **plain("phones_mask", [1, 1, TEXT], "input"),
            **plain("m_p", statistics, "output"), **plain("logs_p", statistics, "output"),
        },
        f"flow_{CODES}": {
            **frames("z_p", CHANNELS, 2 * CODES, "input"), **frames("mask", 1, 2 * CODES, "input"),
            **frames("z", CHANNELS, 2 * CODES, "output"),
        },
        f"vocoder_stream_{CHUNK}": {
            **frames("z", CHANNELS, CHUNK, "input"), **frames("mask", 1, CHUNK, "input"),
            **frames("audio", 1, CHUNK, "output", HOP),
        },
    }  # fmt: skip
