"""BERT: characters to text features, as Chinese phones take them: the output of the third layer from the end.

Parameters carry Hugging Face's names, so that chinese-roberta-wwm-ext-large (a BERT by its architecture) loads as it
is; layers that nothing reads are not built.
Source: Devlin et al., "BERT" (2019); ``transformers/models/bert`` (Apache-2.0) for names and order; which layer:
``inference_webui.py`` of upstream (``hidden_states[-3]``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from converters.spec import PartSpec, TensorSpec
from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.self_attention import attended
from toolkit.models.gpt_sovits.state_dict import StateDict, filled_module, layer_count, shape_of

BERT: Final = "bert"
_UNREAD_LAYERS: Final = 2
_HEAD_WIDTH: Final = 64
_EPSILON: Final = 1e-12
_OLD_NAMES: Final = {".gamma": ".weight", ".beta": ".bias"}  # of files converted from TensorFlow


@dataclass(frozen=True, slots=True, kw_only=True)
class BertConfig:
    """Sizes of the model.

    Attributes:
        tokens: ids.
        positions: most tokens of a sentence.
        width: features of a token.
        heads: attention heads.
        layers: layers that are read: all but the last two.
        inner: features between the two linear layers of a block.
    """

    tokens: int
    positions: int
    width: int
    heads: int
    layers: int
    inner: int


class _Own(nn.Module):
    """A linear layer and a norm under Hugging Face's names."""

    def __init__(self, into: int, width: int) -> None:
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(into, width), nn.LayerNorm(width, eps=_EPSILON)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(x) + residual)


class _Layer(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        projections = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"self": projections, "output": _Own(width, width)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, config.inner)})
        self.output = _Own(config.inner, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        own = self.attention["self"]
        mixed = attended(own["query"](x), own["key"](x), own["value"](x), bias, self.heads)
        x = self.attention["output"](mixed, x)
        return self.output(gelu(self.intermediate["dense"](x)), x)


class _Placing(nn.Module):
    """Adds to each token what its position and its kind are; a part of its own, so that a rule can name it."""

    def __init__(self, positions: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(positions, width))

    def forward(self, x: Tensor, kind: Tensor) -> Tensor:
        return x + (self.weight[: x.shape[1]] + kind).unsqueeze(0)


class Bert(nn.Module):
    """Tokens to features.

    Args:
        config: sizes.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(config.tokens, config.width),
                "position_embeddings": _Placing(config.positions, config.width),
                "token_type_embeddings": nn.Embedding(2, config.width),
                "LayerNorm": nn.LayerNorm(config.width, eps=_EPSILON),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(_Layer(config) for _ in range(config.layers))})

    def forward(self, tokens: Tensor, attention_bias: Tensor) -> Tensor:
        """Features of each token.

        Args:
            tokens: ``[1, tokens]`` ids, the first and last of which mark begin and end.
            attention_bias: ``[1, 1, 1, tokens]``: 0, or a large negative number where the sentence was filled up.

        Returns:
            ``[1, width, tokens]``.
        """
        embed = self.embeddings
        # A list of ids, as EMBEDDING_LOOKUP wants it.
        words = embed["word_embeddings"](tokens.reshape(tokens.shape[1])).unsqueeze(0)
        x = embed["LayerNorm"](embed["position_embeddings"](words, embed["token_type_embeddings"].weight[0]))
        for layer in self.encoder["layer"]:
            x = layer(x, attention_bias)
        return x.transpose(1, 2)


def load_bert(state: StateDict) -> Bert:
    """The model of a state dict of Hugging Face's ``BertModel`` (or ``BertForMaskedLM``).

    Raises:
        CheckpointError: another kind of model, or a tensor is missing or does not fit the others.
    """
    weights = {}
    for name, tensor in state.without_prefix("bert.").items():
        ending = next((old for old in _OLD_NAMES if name.endswith(f"LayerNorm{old}")), "")
        weights[name.removesuffix(ending) + _OLD_NAMES.get(ending, "")] = tensor
    word, position = (f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position"))
    tokens, width = shape_of(weights, word, 2, state.path)
    layers = layer_count(weights, "encoder.layer.")
    heads = state.whole_number("num_attention_heads", max(1, width // _HEAD_WIDTH))
    if layers <= _UNREAD_LAYERS or width % heads:
        raise CheckpointError(
            f"{layers} layers of {width} features in {heads} heads are no BERT whose third layer from the end is read",
            code="checkpoint/wrong-shape",
            where=str(state.path),
            hint="give chinese-roberta-wwm-ext-large, in Hugging Face's format",
        )
    config = BertConfig(
        tokens=tokens,
        positions=shape_of(weights, position, 2, state.path)[0],
        width=width,
        heads=heads,
        layers=layers - _UNREAD_LAYERS,
        inner=shape_of(weights, "encoder.layer.0.intermediate.dense.weight", 2, state.path)[0],
    )
    module = filled_module(Bert(config), weights, state.path)
    assert isinstance(module, Bert)
    return module


def bert_spec(config: BertConfig, tokens: int) -> PartSpec:
    """Interface for so many tokens."""
    return PartSpec(
        name=BERT,
        inputs=(
            TensorSpec(name="tokens", shape=(1, tokens), dtype="int32", axes=("batch", "tokens")),
            TensorSpec(name="attention_bias", shape=(1, 1, 1, tokens), axes=("batch", "heads", "one", "tokens")),
        ),
        outputs=(TensorSpec(name="features", shape=(1, config.width, tokens), axes=("batch", "features", "tokens")),),
    )


@torch.no_grad()
def text_features(model: Bert, tokens: Tensor) -> Tensor:
    """``[1, tokens]`` ids to ``[width, tokens]``, nothing filled up."""
    return model(tokens, torch.zeros(1, 1, 1, tokens.shape[1]))[0]
