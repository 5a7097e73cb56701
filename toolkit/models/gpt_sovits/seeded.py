"""Random checkpoints in upstream's own file format, at any size: for tests and benchmarks, not for speech."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from toolkit.models.gpt_sovits.sovits_config import CODEBOOK, STACKS, SovitsConfig, sovits_shapes
from toolkit.models.gpt_sovits.sovits_file import sovits_file_bytes
from toolkit.models.vits.config import EncoderConfig, FlowConfig, GeneratorConfig

LABEL: Final = "random weights, not speech"
_SYMBOLS: Final = {"v1": 322, "v2": 732, "v2Pro": 732, "v2ProPlus": 732}
_DEPTHS: Final = dict(zip(STACKS, (3, 6, 3), strict=True))


def full_config(version: str) -> SovitsConfig:
    """Sizes of upstream's own models.

    Raises:
        KeyError: no such version.
    """
    pro, wide = version.startswith("v2Pro"), version == "v2ProPlus"
    return SovitsConfig(
        version=version,
        symbols=_SYMBOLS[version],
        stacks={name: EncoderConfig(vocabulary=0, layers=depth) for name, depth in _DEPTHS.items()},
        gin=1024 if pro else 512,
        style_bins=1025 if version == "v1" else 704,
        speaker=20480 if pro else 0,
        flow=FlowConfig(),
        generator=GeneratorConfig(
            initial=768 if wide else 512,
            up_rates=(10, 8, 2, 2, 2),
            up_kernels=(20 if wide else 16, 16, 8, 2, 2),
            up_paddings=(5 if wide else 3, 4, 3, 0, 0),
            resblock="1",
            resblock_kernels=(3, 7, 11),
            resblock_dilations=((1, 3, 5),) * 3,
        ),
    )


def small_config(version: str) -> SovitsConfig:
    """The same model, small enough for a test: every kind of layer, a tenth of a million weights."""
    full, inter = full_config(version), 8
    stack = EncoderConfig(vocabulary=0, hidden=16, filter_channels=24, heads=2, layers=1, inter=inter)
    return replace(
        full,
        codes=32,
        ssl=24,
        stacks={name: replace(stack, layers=2 if name == "encoder_text" else 1) for name in STACKS},
        mrte=32,
        gin=48 if full.speaker else 32,
        style_hidden=16,
        speaker=40 if full.speaker else 0,
        flow=FlowConfig(channels=inter, hidden=16, couplings=2, dilations=(1, 1)),
        generator=replace(
            full.generator,
            channels=inter,
            # The width by which v2ProPlus is told from v2Pro stays.
            initial=full.generator.initial if version == "v2ProPlus" else 32,
            resblock_kernels=(3, 7),
            resblock_dilations=((1, 3), (1, 3)),
        ),
    )


def seeded_weights(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of the spread trained ones have, so that signals neither die nor explode on their way."""
    generator = np.random.default_rng(seed)
    weights: dict[str, torch.Tensor] = {}
    for name, shape in shapes.items():
        values = generator.standard_normal(shape, np.float32)
        last = name.rpartition(".")[2]
        if last in ("weight_g", "gamma", "alpha") or ("norm" in name and last == "weight"):
            values = 1 + 0.1 * values
        elif name == "prelu.weight":
            values = 0.25 + 0.01 * values
        elif last in ("bias", "beta", "in_proj_bias"):
            values = 0.1 * values
        elif not name.startswith(CODEBOOK):
            values = values / np.sqrt(max(1, int(np.prod(shape[1:]))))
        weights[name] = torch.from_numpy(np.asarray(values, np.float32).reshape(shape))
    return weights


def write_sovits(
    path: Path,
    config: SovitsConfig,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float16,
    posterior_encoder: bool = False,
    header: bool = True,
) -> Path:
    """Writes a ``.pth`` as upstream's ``process_ckpt.savee`` does, with a pickled ``utils.HParams``.

    Args:
        path: the file.
        config: sizes, and the version it is to look like.
        seed: same seed, same weights.
        dtype: of the weights on disk.
        posterior_encoder: with a tensor of ``enc_q``, as pretrained files have.
        header: v2Pro files start with two bytes in place of ``PK``; pretrained ones do not.
    """
    weights = seeded_weights(sovits_shapes(config), seed)
    weights[CODEBOOK.replace("embed", "cluster_size")] = torch.ones(config.codes)
    weights[CODEBOOK.replace("embed", "inited")] = torch.ones(1)
    if posterior_encoder:
        weights["enc_q.pre.weight"] = torch.zeros(config.hidden, 1025, 1)
    version = config.version if header else ""
    path.write_bytes(sovits_file_bytes(weights, _described(config), LABEL, version=version, dtype=dtype))
    return path


def write_gpt(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    *,
    heads: int,
    seed: int = 0,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Writes a ``.ckpt`` as upstream's ``s1_train.py`` does.

    Args:
        path: the file.
        shapes: of the tensors, by name without ``model.``; see ``semantic_config.semantic_shapes``.
        heads: attention heads, which no tensor tells.
        seed: same seed, same weights.
        dtype: of the weights on disk.
    """
    weights = OrderedDict((f"model.{name}", value.to(dtype)) for name, value in seeded_weights(shapes, seed).items())
    symbols, width = shapes["ar_text_embedding.word_embeddings.weight"]
    layers = len({name.split(".")[2] for name in shapes if name.startswith("h.layers.")})
    model = {"head": heads, "hidden_dim": width, "embedding_dim": width, "phoneme_vocab_size": symbols, "dropout": 0}
    model["n_layer"] = layers
    torch.save(OrderedDict(weight=weights, config={"model": model, "data": {}}, info=LABEL), path)
    return path


def _described(config: SovitsConfig) -> dict[str, Any]:
    stack, generator = config.stacks["encoder_text"], config.generator
    return {
        "data": {"sampling_rate": 32000, "filter_length": 2048, "hop_length": 640, "win_length": 2048},
        "model": {
            "inter_channels": config.inter,
            "hidden_channels": config.hidden,
            "filter_channels": stack.filter_channels,
            "n_heads": stack.heads,
            "n_layers": stack.layers,
            "kernel_size": stack.kernel,
            "resblock": "1",
            "resblock_kernel_sizes": list(generator.resblock_kernels),
            "resblock_dilation_sizes": [list(each) for each in generator.resblock_dilations],
            "upsample_rates": list(generator.up_rates),
            "upsample_initial_channel": generator.initial,
            "upsample_kernel_sizes": list(generator.up_kernels),
            "gin_channels": config.gin,
            "semantic_frame_rate": "25hz",
            "version": config.version,
        },
        "version": config.version,
    }
