"""Sizes of a text-to-semantic model, read from its tensors; only the number of heads is not written in them.

Upstream's models have inner blocks of four times the width, and heads that fill it. A pruned one has narrower blocks,
each layer its own, and fewer heads, each layer the same number (their keys and values lie in one cache).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from converters.errors import InputError

_LAYER = re.compile(r"h\.layers\.(\d+)\.")
_TEXT = "ar_text_embedding.word_embeddings.weight"
_AUDIO = "ar_audio_embedding.word_embeddings.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class SemanticConfig:
    """Sizes of the model (upstream: ``AR/models/t2s_model.py``).

    Attributes:
        width: features of a row.
        heads: attention heads, a divisor of ``attention_width``.
        layers: transformer layers.
        inner: features between the two linear layers of a feed-forward block; layer by layer where they differ, as in
            a pruned model.
        symbols: phone ids.
        vocabulary: semantic codes, the stop token among them; it is the last.
        features: text features (BERT) per phone.
        attention: features of all heads together where it is not ``width``: a model some heads were taken from.
    """

    width: int
    heads: int
    layers: int
    inner: int | tuple[int, ...]
    symbols: int
    vocabulary: int
    features: int = 1024
    attention: int | None = None

    @property
    def stop_token(self) -> int:
        """Id that ends a sentence."""
        return self.vocabulary - 1

    @property
    def head_width(self) -> int:
        """Features of one head."""
        return self.attention_width // self.heads

    @property
    def attention_width(self) -> int:
        """Features of all heads together."""
        return self.width if self.attention is None else self.attention

    @property
    def inners(self) -> tuple[int, ...]:
        """Features between the two linear layers, layer by layer."""
        return (self.inner,) * self.layers if isinstance(self.inner, int) else self.inner


def semantic_config(weights: Mapping[str, Tensor], *, heads: int | None, where: str = "checkpoint") -> SemanticConfig:
    """Sizes of the model the weights belong to.

    Args:
        weights: tensors by checkpoint name, without the prefix ``model.``.
        heads: ``config["model"]["head"]`` of the checkpoint; ``None`` when it is not there.
        where: what is read, for messages.

    Raises:
        InputError: a tensor is missing or of another shape, or the number of heads is unknown or does not divide.
    """
    missing = [name for name in (_TEXT, _AUDIO, "bert_proj.weight") if name not in weights]
    numbers = {int(found[1]) for name in weights if (found := _LAYER.match(name))}
    if missing or not numbers:
        raise InputError(
            f"not the weights of a text-to-semantic model: no {(missing or ['h.layers.0'])[0]!r}",
            where=where,
            hint="give the GPT checkpoint (.ckpt), not the SoVITS one (.pth)",
        )
    symbols, width = _matrix(weights, _TEXT, where)
    vocabulary, _ = _matrix(weights, _AUDIO, where)
    layers = max(numbers) + 1
    inners = tuple(_matrix(weights, f"h.layers.{layer}.linear1.weight", where)[0] for layer in range(layers))
    attention = _matrix(weights, "h.layers.0.self_attn.in_proj_weight", where)[0] // 3
    if heads is None:
        raise InputError(
            "the number of attention heads is not known: no tensor has it, and the checkpoint's config lacks 'head'",
            where=where,
            hint="released models have 16 heads; pass heads=16 if this one was trained from them",
        )
    if not isinstance(heads, int) or heads < 1 or not attention or attention % heads or width % 2:
        raise InputError(
            f"{heads!r} heads do not divide a width of {attention}"
            + ("" if attention == width else f" (rows of {width} features)"),
            where=where,
            hint="the checkpoint's config does not belong to its weights",
        )
    config = SemanticConfig(
        width=width,
        heads=heads,
        layers=layers,
        inner=inners[0] if len(set(inners)) == 1 else inners,
        symbols=symbols,
        vocabulary=vocabulary,
        features=_matrix(weights, "bert_proj.weight", where)[1],
        attention=None if attention == width else attention,
    )
    _check(weights, config, where)
    return config


def semantic_shapes(config: SemanticConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of such a model, by checkpoint name."""
    d, a = config.width, config.attention_width
    shapes: dict[str, tuple[int, ...]] = {
        "bert_proj.weight": (d, config.features),
        "bert_proj.bias": (d,),
        _TEXT: (config.symbols, d),
        "ar_text_position.alpha": (1,),
        _AUDIO: (config.vocabulary, d),
        "ar_audio_position.alpha": (1,),
        "ar_predict_layer.weight": (config.vocabulary, d),
    }
    for layer, inner in enumerate(config.inners):
        path = f"h.layers.{layer}"
        shapes |= {
            f"{path}.self_attn.in_proj_weight": (3 * a, d),
            f"{path}.self_attn.in_proj_bias": (3 * a,),
            f"{path}.self_attn.out_proj.weight": (d, a),
            f"{path}.self_attn.out_proj.bias": (d,),
            f"{path}.linear1.weight": (inner, d),
            f"{path}.linear1.bias": (inner,),
            f"{path}.linear2.weight": (d, inner),
            f"{path}.linear2.bias": (d,),
            f"{path}.norm1.weight": (d,),
            f"{path}.norm1.bias": (d,),
            f"{path}.norm2.weight": (d,),
            f"{path}.norm2.bias": (d,),
        }
    return shapes


def _matrix(weights: Mapping[str, Tensor], name: str, where: str) -> tuple[int, int]:
    tensor = weights.get(name)
    if tensor is None or tensor.ndim != 2:
        found = "missing" if tensor is None else f"of shape {tuple(tensor.shape)}"
        raise InputError(f"tensor {name!r} is {found}, not a matrix", where=where, hint="the checkpoint is damaged")
    return int(tensor.shape[0]), int(tensor.shape[1])


def _check(weights: Mapping[str, Tensor], config: SemanticConfig, where: str) -> None:
    for name, shape in semantic_shapes(config).items():
        found = tuple(weights[name].shape) if name in weights else None
        if found != shape:
            raise InputError(
                f"tensor {name!r} is {found or 'missing'}, not {shape}", where=where, hint="the checkpoint is damaged"
            )
