"""Every text-to-semantic graph of a bundle: module, interface, and inputs to prove it on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from converters.spec import Interface, Layout, PartSpec, TensorSpec
from toolkit.engine.buckets import bias, filled
from toolkit.engine.positions import position_rows
from toolkit.engine.semantic import prefill_bias
from toolkit.models.gpt_sovits.phone_graph import PhoneGraph
from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.models.gpt_sovits.semantic_config import SemanticConfig
from toolkit.models.gpt_sovits.semantic_parts import PrefillPart, StepPart

PREFILL, STEP = "t2s_prefill", "t2s_step"
_SHORT, _LONG = 0.55, 0.95  # how full the probes make a bucket


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticBuckets:
    """Static lengths to convert for.

    Attributes:
        prefill: pairs of phones and prompt codes, each with room for the reference's phones and the sentence's.
        cache_rows: rows of the step's cache: text, prompt and said codes together.
    """

    prefill: tuple[tuple[int, int], ...] = ((192, 128), (384, 256))
    cache_rows: tuple[int, ...] = (512, 1024)


def semantic_graphs(
    model: SemanticModel, buckets: SemanticBuckets, *, features: bool = True, seed: int = 0
) -> Iterator[PhoneGraph]:
    """The graphs of a model for the given lengths, prefills first, each made when it is asked for.

    Args:
        model: the model.
        buckets: lengths.
        features: whether prefills take text features (BERT).
        seed: of the sentences the probes are made of.
    """
    prefill = PrefillPart(model, features=features)
    for text, prompt in buckets.prefill:
        spec = prefill_spec(model.config, text, prompt, features=features)
        probes = tuple(prefill_probe(model, spec, share, seed + n) for n, share in enumerate((_SHORT, _LONG)))
        yield PhoneGraph(PREFILL, text + prompt, prefill, spec, probes)
    del prefill
    step = StepPart(model)
    for rows in buckets.cache_rows:
        spec = step_spec(model.config, rows)
        probes = tuple(step_probe(model, spec, share, seed + n) for n, share in enumerate((_SHORT, _LONG)))
        yield PhoneGraph(STEP, rows, step, spec, probes)


def prefill_spec(config: SemanticConfig, text: int, prompt: int, *, features: bool) -> PartSpec:
    """Interface of the prefill with ``text`` phones and ``prompt`` codes."""
    rows, cache = text + prompt, ("layers", "batch", "rows", "width")
    bert = TensorSpec(name="bert", shape=(1, config.features, text), axes=("batch", "features", "phones"))
    return PartSpec(
        name=PREFILL,
        inputs=(
            TensorSpec(name="phones", shape=(1, text), dtype="int32", axes=("batch", "phones")),
            *((bert,) if features else ()),
            TensorSpec(name="prompts", shape=(1, prompt), dtype="int32", axes=("batch", "codes")),
            TensorSpec(name="attention_bias", shape=(1, 1, rows, rows), axes=("batch", "heads", "rows", "seen rows")),
            TensorSpec(name="positions", shape=(1, rows, config.width), axes=("batch", "rows", "width")),
            TensorSpec(name="last_row", shape=(1, 1, rows), axes=("batch", "one", "rows")),
        ),
        outputs=(
            TensorSpec(name="logits", shape=(1, config.vocabulary), axes=("batch", "codes")),
            TensorSpec(name="k", shape=(config.layers, 1, rows, config.attention_width), axes=cache),
            TensorSpec(name="v", shape=(config.layers, 1, rows, config.attention_width), axes=cache),
        ),
    )


def step_spec(config: SemanticConfig, rows: int) -> PartSpec:
    """Interface of the step with a cache of ``rows`` rows, an input for each layer (see `engine_interface`)."""
    layers, d = range(config.layers), config.width
    cache, axes = (config.heads, config.head_width, rows), ("heads", "head width", "rows")
    new = ("layers", "batch", "rows", "width")
    return PartSpec(
        name=STEP,
        inputs=(
            TensorSpec(name="token", shape=(1, 1), dtype="int32", axes=("batch", "codes")),
            TensorSpec(name="position", shape=(1, 1, d), axes=("batch", "rows", "width")),
            TensorSpec(name="attention_bias", shape=(1, 1, 1, rows), axes=("batch", "heads", "one", "rows")),
            *(TensorSpec(name=f"{which}_cache_{i}", shape=cache, axes=axes) for which in "kv" for i in layers),
        ),
        outputs=(
            TensorSpec(name="logits", shape=(1, config.vocabulary), axes=("batch", "codes")),
            TensorSpec(name="k_new", shape=(config.layers, 1, 1, config.attention_width), axes=new),
            TensorSpec(name="v_new", shape=(config.layers, 1, 1, config.attention_width), axes=new),
        ),
    )


def engine_interface(interface: Interface) -> Interface:
    """A graph's interface as a bundle tells it to the engine, which sees a layer's cache ``[heads, C, head width]``.

    That the step's file has the last two axes the other way round is in the layouts, which engine and app follow
    anyway; so bundles from before, whose files stored a row together, are read like any other.

    Args:
        interface: of a step (``step_spec``); of any other graph, which is given back as it is.

    Raises:
        ValueError: a cache is not stored as the spec has it.
    """
    inputs, layouts = [], dict(interface.layouts)
    for tensor in interface.spec.inputs:
        if tensor.name.startswith(("k_cache_", "v_cache_")):
            if layouts[tensor.name] != Layout.identity(tensor.shape):
                raise ValueError(f"{tensor.name} is stored as {layouts[tensor.name]}")
            shape, axes = _swapped(tensor.shape), _swapped(tensor.axes)
            layouts[tensor.name] = Layout(shape, shape, (0, 2, 1))
            tensor = dataclasses.replace(tensor, shape=shape, axes=axes)
        inputs.append(tensor)
    return Interface(spec=dataclasses.replace(interface.spec, inputs=tuple(inputs)), layouts=layouts)


def prefill_probe(model: SemanticModel, spec: PartSpec, share: float, seed: int) -> dict[str, np.ndarray]:
    """Inputs of a prefill as the engine makes them for a random sentence that fills ``share`` of the bucket."""
    shapes = {tensor.name: tensor.shape for tensor in spec.inputs}
    text, prompt = int(shapes["phones"][1] * share), int(shapes["prompts"][1] * share)
    return prefill_inputs(model, spec, *_sentence(model.config, text, prompt, seed))


def prefill_inputs(
    model: SemanticModel, spec: PartSpec, phones: np.ndarray, codes: np.ndarray, bert: np.ndarray
) -> dict[str, np.ndarray]:
    """Inputs of a prefill as the engine makes them.

    Args:
        model: the model.
        spec: the graph's interface.
        phones: ``[1, Tx] int32``, at most as many as the bucket has room for.
        codes: ``[1, Ty] int32``, likewise.
        bert: ``[1, features, Tx]``; left out where the graph takes none.
    """
    shapes = {tensor.name: tensor.shape for tensor in spec.inputs}
    text_rows, prompt_rows = shapes["phones"][1], shapes["prompts"][1]
    rows, text, audio = text_rows + prompt_rows, phones.shape[1], codes.shape[1]
    positions = np.zeros((1, rows, model.config.width), np.float32)
    positions[0, :text] = _scaled(model.ar_text_position, 0, text, model.config.width)
    positions[0, text_rows : text_rows + audio] = _scaled(model.ar_audio_position, 0, audio, model.config.width)
    return {
        "phones": filled(phones, text_rows),
        **({"bert": filled(bert, text_rows)} if "bert" in shapes else {}),
        "prompts": filled(codes, prompt_rows),
        "attention_bias": prefill_bias(text, audio, text_rows, rows),
        "positions": positions,
        "last_row": (np.arange(rows) == text_rows + audio - 1).astype(np.float32)[None, None],
    }


def step_probe(model: SemanticModel, spec: PartSpec, share: float, seed: int) -> dict[str, np.ndarray]:
    """Inputs of a step as the engine makes them after a random sentence that fills ``share`` of the cache."""
    used = max(2, int(step_rows(spec) * share))
    return step_inputs(model, spec, *_sentence(model.config, (used + 1) // 2, used // 2, seed))


def step_rows(spec: PartSpec) -> int:
    """Rows of a step's cache."""
    return next(tensor.shape[2] for tensor in spec.inputs if tensor.name == "k_cache_0")


@torch.inference_mode()
def step_inputs(
    model: SemanticModel,
    spec: PartSpec,
    phones: np.ndarray,
    codes: np.ndarray,
    bert: np.ndarray,
    token: int | None = None,
) -> dict[str, np.ndarray]:
    """Inputs of a step as the engine makes them.

    Args:
        model: the model; it fills the cache.
        spec: the graph's interface.
        phones: ``[1, Tx] int32``.
        codes: ``[1, Ty] int32``: what was said before; ``Tx + Ty`` is at most the cache's rows.
        bert: ``[1, features, Tx]``.
        token: the code to step with; the likeliest by default.
    """
    rows, config, used = step_rows(spec), model.config, phones.shape[1] + codes.shape[1]
    state = model.prefill(torch.from_numpy(phones).long(), torch.from_numpy(codes).long(), torch.from_numpy(bert))
    said = int(state.logits[0, :-1].argmax()) if token is None else token
    found = {
        "token": np.array([[said]], np.int32),
        "position": _scaled(model.ar_audio_position, codes.shape[1], 1, config.width)[None],
        "attention_bias": bias(used, rows),
    }
    for layer in range(config.layers):
        for which, cache in (("k", state.keys), ("v", state.values)):
            by_head = cache[layer, 0].numpy().reshape(used, config.heads, config.head_width).transpose(1, 2, 0)
            found[f"{which}_cache_{layer}"] = filled(by_head, rows)
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def _sentence(config: SemanticConfig, text: int, codes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phones, codes and text features; random, because a model takes any, and every row is exercised."""
    noise = np.random.default_rng(seed)
    phones = noise.integers(0, config.symbols, (1, max(1, text))).astype(np.int32)
    said = noise.integers(0, config.stop_token, (1, max(1, codes))).astype(np.int32)
    return phones, said, noise.standard_normal((1, config.features, phones.shape[1])).astype(np.float32)


def _swapped(of: tuple[Any, ...]) -> tuple[Any, ...]:
    return of[0], of[2], of[1]


def _scaled(position: nn.Module, first: int, count: int, width: int) -> np.ndarray:
    return position_rows(first, count, width) * np.float32(position.alpha.item())
