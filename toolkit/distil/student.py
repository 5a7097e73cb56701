"""A narrower and shallower text-to-semantic model, its first weights cut out of the teacher's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from toolkit.distil.unfit import unfit
from toolkit.models.gpt_sovits.semantic import SemanticModel, load_semantic
from toolkit.models.gpt_sovits.semantic_config import SemanticConfig
from toolkit.recipe.shrinking import Distil
from toolkit.train.small_semantic import untrained


def student_config(teacher: SemanticConfig, settings: Distil) -> SemanticConfig:
    """Sizes of the student: what is asked, and in proportion to the teacher where nothing is.

    Raises:
        RecipeError: sizes that do not fit together, or a student that is larger than the teacher.
    """
    layers = settings.layers or max(1, teacher.layers // 2)
    heads, width = settings.heads, settings.width
    if width is None:
        width = 2 * max(1, round(teacher.width * 3 / 8))
        heads_for_width = max(1, width // teacher.head_width)
        width = heads_for_width * teacher.head_width if heads is None else width
    heads = heads or max(1, width // teacher.head_width)
    inner = settings.inner or max(8, round(max(teacher.inners) * width / teacher.width / 8) * 8)
    if width % heads:
        raise unfit(f"{heads} heads do not divide a width of {width}", "heads", "give --heads that divides --width")
    sizes = {
        "width": (width, teacher.width),
        "layers": (layers, teacher.layers),
        "inner": (inner, max(teacher.inners)),
        "heads": (heads, teacher.heads),
    }
    larger = [name for name, (own, limit) in sizes.items() if own > limit]
    if larger:
        own, limit = sizes[larger[0]]
        raise unfit(f"the student's {larger[0]} is {own}, the teacher's {limit}", larger[0], f"at most {limit}")
    return SemanticConfig(
        width=width,
        heads=heads,
        layers=layers,
        inner=inner,
        symbols=teacher.symbols,
        vocabulary=teacher.vocabulary,
        features=teacher.features,
    )


def new_student(teacher: SemanticModel, config: SemanticConfig, settings: Distil) -> SemanticModel:
    """The student before it has learned anything.

    ``inherit`` takes every n-th layer, the columns of rows at evenly spaced pairs (so that the positions' frequencies
    stay almost what they were), and heads and channels of the largest norm.

    Args:
        teacher: gives the weights.
        config: the student's sizes.
        settings: how to start.
    """
    if settings.start == "random":
        return untrained(config, settings.seed)
    return load_semantic(_inherited(teacher, config), heads=config.heads, where="student")


def _inherited(teacher: SemanticModel, config: SemanticConfig) -> dict[str, Tensor]:
    source, told = teacher.state_dict(), teacher.config
    rows = _pairs(told.width, config.width)
    found = {
        "ar_text_position.alpha": source["ar_text_position.alpha"].clone(),
        "ar_audio_position.alpha": source["ar_audio_position.alpha"].clone(),
        "bert_proj.weight": source["bert_proj.weight"][rows],
        "bert_proj.bias": source["bert_proj.bias"][rows],
        "ar_predict_layer.weight": source["ar_predict_layer.weight"][:, rows],
    }
    for table in ("ar_text_embedding", "ar_audio_embedding"):
        found[f"{table}.word_embeddings.weight"] = source[f"{table}.word_embeddings.weight"][:, rows]
    kept = torch.linspace(0, told.layers - 1, config.layers).round().long().tolist()
    for own, theirs in enumerate(kept):
        layer = {
            n.removeprefix(f"h.layers.{theirs}."): v for n, v in source.items() if n.startswith(f"h.layers.{theirs}.")
        }
        found |= {f"h.layers.{own}.{name}": value for name, value in _layer(layer, told, config, rows).items()}
    return {name: value.contiguous() for name, value in found.items()}


def _layer(
    layer: Mapping[str, Tensor], told: SemanticConfig, config: SemanticConfig, rows: Tensor
) -> dict[str, Tensor]:
    """One layer of the teacher, cut to the student's sizes."""
    inside = _largest(layer["linear1.weight"].norm(dim=1) * layer["linear2.weight"].norm(dim=0), config.inner)
    packed = layer["self_attn.in_proj_weight"].reshape(3, told.heads, told.head_width, told.width)
    bias = layer["self_attn.in_proj_bias"].reshape(3, told.heads, told.head_width)
    out = layer["self_attn.out_proj.weight"].reshape(told.width, told.heads, told.head_width)
    heads = _largest(out.norm(dim=(0, 2)) * packed[2].norm(dim=(1, 2)), config.heads)
    columns = _pairs(told.head_width, config.head_width) if config.head_width <= told.head_width else None
    if columns is None:
        raise unfit(
            f"the student's heads are {config.head_width} wide, the teacher's {told.head_width}", "heads",
            "ask for more heads, or --start random",
        )  # fmt: skip
    packed, bias, out = packed[:, heads][:, :, columns], bias[:, heads][:, :, columns], out[:, heads][:, :, columns]
    return {
        "self_attn.in_proj_weight": packed[..., rows].reshape(-1, len(rows)),
        "self_attn.in_proj_bias": bias.reshape(-1),
        "self_attn.out_proj.weight": out[rows].reshape(len(rows), -1),
        "self_attn.out_proj.bias": layer["self_attn.out_proj.bias"][rows],
        "linear1.weight": layer["linear1.weight"][inside][:, rows],
        "linear1.bias": layer["linear1.bias"][inside],
        "linear2.weight": layer["linear2.weight"][rows][:, inside],
        "linear2.bias": layer["linear2.bias"][rows],
        **{
            f"{norm}.{kind}": layer[f"{norm}.{kind}"][rows]
            for norm in ("norm1", "norm2")
            for kind in ("weight", "bias")
        },
    }


def _pairs(wide: int, narrow: int) -> Tensor:
    """Places of ``narrow`` features among ``wide``: pairs, evenly spaced."""
    if narrow % 2 or wide % 2:
        return torch.linspace(0, wide - 1, narrow).round().long()
    pairs = torch.linspace(0, wide // 2 - 1, narrow // 2).round().long()
    return torch.stack([2 * pairs, 2 * pairs + 1], dim=1).reshape(-1)


def _largest(norms: Tensor, count: int) -> Tensor:
    """Places of the largest, in their order."""
    return norms.argsort(descending=True, stable=True)[:count].sort().values
