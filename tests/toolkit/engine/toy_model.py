"""A whole speaking bundle in numpy: small, seeded, with honest masks, so that buckets and chunks can be proven exact.

The transformer is the real one (post-norm, bidirectional text, causal audio); the rest has the interfaces and the
receptive fields of the real graphs, and nothing else of them.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tests.toolkit.voices.made_voices import made_arrays
from toolkit.engine.bundle import Bundle, GraphFact, read_bundle
from toolkit.engine.positions import position_rows
from toolkit.errors import EngineError
from toolkit.voices.features import VoiceFeatures, checked_features

WIDTH, LAYERS, HEADS, VOCABULARY, SYMBOLS, CHANNELS, GIN = 32, 2, 4, 33, 60, 6, 8
TEXT_ALPHA, AUDIO_ALPHA = 1.3, 0.7
HOP, OVERLAP, RATE = 10, 4, 500


def _weights() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(11)

    def matrix(*shape: int) -> np.ndarray:
        return (generator.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    found = {
        "text": matrix(SYMBOLS, WIDTH) * 4,
        "audio": matrix(VOCABULARY, WIDTH) * 4,
        "predict": matrix(VOCABULARY, WIDTH) * 3,
        "bert": matrix(WIDTH, 1024),
        "code": matrix(VOCABULARY - 1, CHANNELS),
        "phone": matrix(SYMBOLS, CHANNELS),
        "style": matrix(CHANNELS, GIN),
        "kernel": matrix(2 * OVERLAP + 1, CHANNELS),
    }
    for layer in range(LAYERS):
        found |= {
            f"qkv{layer}": matrix(3 * WIDTH, WIDTH),
            f"out{layer}": matrix(WIDTH, WIDTH),
            f"up{layer}": matrix(4 * WIDTH, WIDTH),
            f"down{layer}": matrix(WIDTH, 4 * WIDTH),
        }
    return found


W = _weights()


def _normalised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def _attend(q: np.ndarray, k: np.ndarray, v: np.ndarray, bias: np.ndarray) -> np.ndarray:
    split = [a.reshape(len(a), HEADS, -1).transpose(1, 0, 2) for a in (q, k, v)]
    scores = split[0] @ split[1].transpose(0, 2, 1) / np.sqrt(WIDTH // HEADS) + bias
    chances = np.exp(scores - scores.max(-1, keepdims=True))
    return (chances / chances.sum(-1, keepdims=True) @ split[2]).transpose(1, 0, 2).reshape(len(q), WIDTH)


def _block(layer: int, x: np.ndarray, k: np.ndarray, v: np.ndarray, q: np.ndarray, bias: np.ndarray) -> np.ndarray:
    x = _normalised(x + _attend(q, k, v, bias) @ W[f"out{layer}"].T)
    return _normalised(x + np.maximum(x @ W[f"up{layer}"].T, 0) @ W[f"down{layer}"].T)


def _transformer(x: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keys, values = [], []
    for layer in range(LAYERS):
        q, k, v = np.split(x @ W[f"qkv{layer}"].T, 3, axis=-1)
        x = _block(layer, x, k, v, q, bias)
        keys.append(k)
        values.append(v)
    return x, np.stack(keys), np.stack(values)


def whole_logits(phones: np.ndarray, said: np.ndarray, bert: np.ndarray | None = None) -> np.ndarray:
    """Logits after ``said``, computed all at once without buckets or cache: what the engine has to reach."""
    text, audio = len(phones), len(said)
    features = np.zeros((1024, text), np.float32) if bert is None else bert
    x = np.concatenate(
        [
            W["text"][phones] + features.T @ W["bert"].T + TEXT_ALPHA * position_rows(0, text, WIDTH),
            W["audio"][said] + AUDIO_ALPHA * position_rows(0, audio, WIDTH),
        ]
    ).astype(np.float32)
    bias = np.zeros((text + audio, text + audio), np.float32)
    bias[:text, text:] = -1e4
    bias[text:, text:] = np.where(np.tri(audio, dtype=bool), 0, -1e4)
    return _transformer(x, bias)[0][-1] @ W["predict"].T


def _prefill(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    x = np.concatenate(
        [W["text"][given["phones"][0]] + given["bert"][0].T @ W["bert"].T, W["audio"][given["prompts"][0]]]
    )
    hidden, keys, values = _transformer(x + given["positions"][0], given["attention_bias"][0, 0])
    logits = given["last_row"][0] @ hidden @ W["predict"].T
    return {"logits": logits, "k": keys[:, None], "v": values[:, None]}


def _held(given: Mapping[str, np.ndarray], which: str, layer: int) -> np.ndarray:
    """Cache of a layer ``[C, D]``, from one input of all layers or from one of its own, by heads."""
    whole = f"{which}_cache"
    found = given[whole][layer] if whole in given else given[f"{whole}_{layer}"]
    return found.transpose(1, 0, 2).reshape(found.shape[1], WIDTH)


def _step(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    x = W["audio"][given["token"][0]] + given["position"][0]
    bias = given["attention_bias"][0, 0]
    keys, values = [], []
    for layer in range(LAYERS):
        q, k, v = np.split(x @ W[f"qkv{layer}"].T, 3, axis=-1)
        held_k, held_v = (_held(given, which, layer) for which in "kv")
        if "write_mask" in given:
            write = given["write_mask"][0, 0]
            x = _block(layer, x, held_k * (1 - write) + k * write, held_v * (1 - write) + v * write, q, bias)
        else:
            beside = np.pad(bias, ((0, 0), (0, 1)))
            x = _block(layer, x, np.concatenate([held_k, k]), np.concatenate([held_v, v]), q, beside)
        keys.append(k)
        values.append(v)
    return {"logits": x @ W["predict"].T, "k_new": np.stack(keys)[:, None], "v_new": np.stack(values)[:, None]}


def _text_encoder(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    frames = W["code"][given["codes"][0]].repeat(2, axis=0)
    heard = (W["phone"][given["phones"][0]] * given["phones_mask"][0].T).sum(0) + W["style"] @ given["ge"][0, :, 0]
    mean = (frames + heard) * given["codes_mask"][0].T
    return {"m_p": mean.T[None], "logs_p": np.full((1, CHANNELS, len(mean)), -0.5, np.float32)}


def _flow(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"z": (given["z_p"] * 0.9 + W["style"].sum() * 0.01) * given["mask"]}


def _vocoder(gain: float) -> Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    def run(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        z = (given["z"] * given["mask"])[0].T  # reads OVERLAP frames to either side
        padded = np.pad(z, ((OVERLAP, OVERLAP), (0, 0)))
        level = sum((padded[i : i + len(z)] * W["kernel"][i]).sum(-1) for i in range(2 * OVERLAP + 1))
        shape = np.sin(np.arange(1, HOP + 1, dtype=np.float32))
        return {"audio": (np.tanh(level)[:, None] * shape * gain).reshape(1, 1, -1).astype(np.float32)}

    return run


def _nar_phones(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Each phone takes as many quarters of a frame as its id says, and one."""
    rows = W["text"][given["phones"][0]].T[None] * given["mask"]
    return {"hidden": rows, "log_durations": np.log(1 + given["phones"][None] / 4) * given["mask"]}


def _nar_frames(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"logits": (W["predict"][:-1] @ given["rows"][0])[None] * given["mask"]}


_RUN: Mapping[str, Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]] = {
    "t2s_prefill": _prefill,
    "t2s_step": _step,
    "nar_phones": _nar_phones,
    "nar_frames": _nar_frames,
    "text_encoder": _text_encoder,
    "flow": _flow,
    "vocoder": _vocoder(1.0),
    "vocoder_stream": _vocoder(1.0),
    "vocoder_light": _vocoder(0.5),
    "vocoder_light_stream": _vocoder(0.5),
}


class ToyGraph:
    """Holds its inputs between runs, as the interpreter does."""

    def __init__(self, fact: GraphFact) -> None:
        self.fact = fact
        self.runs = 0
        self._held = {
            name: np.full(t.shape, 7 if t.dtype == "int32" else np.nan, t.dtype)
            for name, t in fact.tensors.items()
            if t.role == "input"
        }

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for name, value in feeds.items():
            assert value.shape == self._held[name].shape, (self.fact.name, name, value.shape)
            self._held[name][...] = value
        self.runs += 1
        found = {k: v.astype(np.float32) for k, v in _RUN[self.fact.kind](self._held).items()}
        for name, value in found.items():
            assert value.shape == self.fact.tensors[name].shape, (self.fact.name, name, value.shape)
        return found

    def edit(self, name: str, change: Callable[[np.ndarray], None]) -> None:
        change(self._held[name])


class ToyFile:
    def graph(self, fact: GraphFact) -> ToyGraph:
        return ToyGraph(fact)


def toy_opener(path: Path, delegate: str, in_place: bool) -> ToyFile:
    if delegate:
        raise EngineError(f"delegate {delegate!r} cannot be loaded", code="engine/delegate", where=str(path))
    return ToyFile()


def _tensors(kind: str, length: int) -> dict[str, tuple[str, tuple[int, ...], str]]:
    s, n, c, t = 2 * length, 2 * length, length, 24
    return {
        "t2s_prefill": {
            "phones": ("input", (1, length), "int32"),
            "bert": ("input", (1, 1024, length), "float32"),
            "prompts": ("input", (1, length), "int32"),
            "attention_bias": ("input", (1, 1, s, s), "float32"),
            "positions": ("input", (1, s, WIDTH), "float32"),
            "last_row": ("input", (1, 1, s), "float32"),
            "logits": ("output", (1, VOCABULARY), "float32"),
            "k": ("output", (LAYERS, 1, s, WIDTH), "float32"),
            "v": ("output", (LAYERS, 1, s, WIDTH), "float32"),
        },
        "t2s_step": {
            "token": ("input", (1, 1), "int32"),
            "position": ("input", (1, 1, WIDTH), "float32"),
            "k_cache": ("input", (LAYERS, 1, c, WIDTH), "float32"),
            "v_cache": ("input", (LAYERS, 1, c, WIDTH), "float32"),
            "write_mask": ("input", (1, 1, c, 1), "float32"),
            "attention_bias": ("input", (1, 1, 1, c), "float32"),
            "logits": ("output", (1, VOCABULARY), "float32"),
            "k_new": ("output", (LAYERS, 1, 1, WIDTH), "float32"),
            "v_new": ("output", (LAYERS, 1, 1, WIDTH), "float32"),
        },
        "nar_phones": {
            "phones": ("input", (1, length), "int32"),
            "mask": ("input", (1, 1, length), "float32"),
            "hidden": ("output", (1, WIDTH, length), "float32"),
            "log_durations": ("output", (1, 1, length), "float32"),
        },
        "nar_frames": {
            "rows": ("input", (1, WIDTH, length), "float32"),
            "timing": ("input", (1, 4, length), "float32"),
            "mask": ("input", (1, 1, length), "float32"),
            "logits": ("output", (1, VOCABULARY - 1, length), "float32"),
        },
        "text_encoder": {
            "codes": ("input", (1, length), "int32"),
            "phones": ("input", (1, t), "int32"),
            "codes_mask": ("input", (1, 1, n), "float32"),
            "phones_mask": ("input", (1, 1, t), "float32"),
            "ge": ("input", (1, GIN, 1), "float32"),
            "m_p": ("output", (1, CHANNELS, n), "float32"),
            "logs_p": ("output", (1, CHANNELS, n), "float32"),
        },
        "flow": {
            "z_p": ("input", (1, CHANNELS, n), "float32"),
            "mask": ("input", (1, 1, n), "float32"),
            "z": ("output", (1, CHANNELS, n), "float32"),
        },
    }.get(kind) or {
        "z": ("input", (1, CHANNELS, length), "float32"),
        "mask": ("input", (1, 1, length), "float32"),
        "audio": ("output", (1, 1, HOP * length), "float32"),
    }


def _unstacked(tensors: dict[str, tuple[str, tuple[int, ...], str]], stacked: bool) -> dict:
    """The same tensors, or with the cache as an input of each layer, by heads."""
    if stacked or "k_cache" not in tensors:
        return tensors
    by_heads = (HEADS, tensors["k_cache"][1][2], WIDTH // HEADS)
    layers = {f"{which}_cache_{layer}": ("input", by_heads, "float32") for which in "kv" for layer in range(LAYERS)}
    return {name: fact for name, fact in tensors.items() if not name.endswith("_cache")} | layers


DEFAULT_GRAPHS = (
    "t2s_prefill_32", "t2s_prefill_64", "t2s_step_64", "t2s_step_96", "t2s_step_160", "text_encoder_16",
    "text_encoder_64", "flow_16", "flow_64", "vocoder_stream_14", "vocoder_stream_30", "vocoder_light_stream_20",
)  # fmt: skip


def toy_bundle(
    folder: Path,
    graphs: tuple[str, ...] = DEFAULT_GRAPHS,
    *,
    write_mask: bool = True,
    stacked: bool = True,
    **changes: object,
) -> Bundle:
    """Writes the bundle's ``engine.json`` (its files hold nothing) and reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    content = b"toy"
    facts: dict[str, object] = {
        "format": 1,
        "label": "toy",
        "version": "v2",
        "model_sha256": "",
        "symbols": SYMBOLS,
        "sample_rate_hz": RATE,
        "samples_per_frame": HOP,
        "overlap_frames": OVERLAP,
        "noise_scale": 0.5,
        "semantic": {
            "width": WIDTH, "layers": LAYERS, "vocabulary": VOCABULARY, "stop_token": VOCABULARY - 1,
            "text_alpha": TEXT_ALPHA, "audio_alpha": AUDIO_ALPHA,
        },
        "files": {},
        "graphs": {},
    } | changes  # fmt: skip
    for name in graphs:
        kind, _, length = name.rpartition("_")
        file = f"{'t2s' if kind.startswith('t2s') else kind}.tflite"
        facts["files"][file] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        (folder / file).write_bytes(content)
        facts["graphs"][name] = {
            "file": file,
            "signature": name,
            "tensors": {
                key: {
                    "role": role,
                    "torch_shape": shape,
                    "expanded": shape,
                    "permutation": list(range(len(shape))),
                    "dtype": dtype,
                }
                for key, (role, shape, dtype) in _unstacked(_tensors(kind, int(length)), stacked).items()
                if write_mask or key != "write_mask"
            },
        }  # fmt: skip
    (folder / "engine.json").write_text(json.dumps(facts))
    return read_bundle(folder)


def toy_voice(seed: int = 0) -> VoiceFeatures:
    generator = np.random.default_rng([9, seed])
    return checked_features(
        {
            **made_arrays(seed),
            "ge": generator.standard_normal((1, GIN, 1)),
            "prompt_codes": generator.integers(0, VOCABULARY - 1, 10),
            "prompt_phones": generator.integers(0, SYMBOLS, 9),
        },
        "en",
    )


def for_an_npu(bundle: Bundle, slow: bool = True) -> Bundle:
    """The bundle, whose ``engine.json`` says from now on whether its vocoder is slow on a CPU."""
    facts = json.loads((bundle.folder / "engine.json").read_text())
    for name, fact in facts["graphs"].items():
        if name.startswith("vocoder_stream_"):
            fact["slow_on_cpu"] = slow
    (bundle.folder / "engine.json").write_text(json.dumps(facts))
    return read_bundle(bundle.folder)
