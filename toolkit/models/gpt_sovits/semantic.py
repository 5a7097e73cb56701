"""Text to semantic codes, as GPT-SoVITS trains it: one decoder over text rows and code rows.

Source: upstream's ``AR/models/t2s_model.py`` and ``AR/modules`` (MIT); written anew. Parameters carry the checkpoint's
names. Upstream's inference runs copies (``t2s_transformer``) that keep old tensors when a parameter is replaced; here
the modules themselves run, so what is replaced is what is computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from converters.errors import InputError
from toolkit.models.gpt_sovits.semantic_config import SemanticConfig, semantic_config

NORM_EPSILON = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SemanticState:
    """What the model knows after some rows.

    Attributes:
        hidden: ``[1, rows, width]`` of the rows just run.
        keys: ``[layers, 1, all rows, attention width]``, heads side by side.
        values: likewise.
        logits: ``[1, vocabulary]`` after the last row.
    """

    hidden: Tensor = field(repr=False)
    keys: Tensor = field(repr=False)
    values: Tensor = field(repr=False)
    logits: Tensor = field(repr=False)


class TokenEmbedding(nn.Module):
    """A table; the extra level is in the checkpoint's names."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(count, width)

    def forward(self, ids: Tensor) -> Tensor:
        """``[batch, rows]`` to ``[batch, rows, width]``."""
        return self.word_embeddings(ids)


class SinePosition(nn.Module):
    """Sinusoidal positions, from 0, sine and cosine interleaved, scaled by one learned number."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, first: int = 0) -> Tensor:
        """Adds positions ``first``, ``first + 1``, ... to ``[batch, rows, width]``."""
        return x + self.alpha * position_table(first, x.shape[1], x.shape[2])


class SelfAttention(nn.Module):
    """Multi-head attention over all rows it is given; queries, keys and values come from one packed projection."""

    def __init__(self, config: SemanticConfig) -> None:
        super().__init__()
        width, inside = config.width, config.attention_width
        self.heads = config.heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * inside, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * inside))
        self.out_proj = nn.Linear(inside, width)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor] | None, blocked: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attends.

        Args:
            x: ``[1, rows, width]``.
            past: keys and values ``[1, earlier rows, attention width]``.
            blocked: ``[rows, all rows] bool``, true where a row must not look; ``None`` lets every row see all. With a
                batch of rows it is ``[batch, 1, rows, all rows]``.

        Returns:
            ``[1, rows, width]``, and the keys and values of all rows.
        """
        query, key, value = functional.linear(x, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        if past is not None:
            key, value = torch.cat([past[0], key], dim=1), torch.cat([past[1], value], dim=1)
        scores = self._split(query) @ self._split(key).transpose(2, 3) / math.sqrt(query.shape[2] // self.heads)
        if blocked is not None:
            scores = scores.masked_fill(blocked, -torch.inf)
        mixed = torch.softmax(scores, dim=-1) @ self._split(value)
        return self.out_proj(mixed.transpose(1, 2).reshape(*x.shape[:2], -1)), key, value

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)


class SemanticLayer(nn.Module):
    """One transformer layer, normalised after each residual addition."""

    def __init__(self, config: SemanticConfig, inner: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.linear1 = nn.Linear(config.width, inner)
        self.linear2 = nn.Linear(inner, config.width)
        self.norm1 = nn.LayerNorm(config.width, eps=NORM_EPSILON)
        self.norm2 = nn.LayerNorm(config.width, eps=NORM_EPSILON)

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor] | None, blocked: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See ``SelfAttention.forward``."""
        attended, key, value = self.self_attn(x, past, blocked)
        x = self.norm1(x + attended)
        return self.norm2(x + self.linear2(torch.relu(self.linear1(x)))), key, value


class SemanticStack(nn.Module):
    """The layers; the extra level is in the checkpoint's names."""

    def __init__(self, config: SemanticConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(SemanticLayer(config, inner) for inner in config.inners)


class SemanticModel(nn.Module):
    """Text2SemanticDecoder.

    Args:
        config: sizes.
    """

    def __init__(self, config: SemanticConfig) -> None:
        super().__init__()
        self.config = config
        self.bert_proj = nn.Linear(config.features, config.width)
        self.ar_text_embedding = TokenEmbedding(config.symbols, config.width)
        self.ar_text_position = SinePosition()
        self.ar_audio_embedding = TokenEmbedding(config.vocabulary, config.width)
        self.ar_audio_position = SinePosition()
        self.h = SemanticStack(config)
        self.ar_predict_layer = nn.Linear(config.width, config.vocabulary, bias=False)

    def text_rows(self, phones: Tensor, bert: Tensor | None) -> Tensor:
        """Rows of the text.

        Args:
            phones: ``[1, Tx]`` ids.
            bert: ``[1, features, Tx]``; ``None`` stands for zeros, of which the projection's bias remains.

        Returns:
            ``[1, Tx, width]``, positions included.
        """
        told = self.bert_proj.bias if bert is None else self.bert_proj(bert.transpose(1, 2))
        return self.ar_text_position(self.ar_text_embedding(phones) + told)

    def code_rows(self, codes: Tensor, first: int = 0) -> Tensor:
        """Rows ``[1, n, width]`` of codes ``[1, n]`` that start at position ``first``."""
        return self.ar_audio_position(self.ar_audio_embedding(codes), first)

    def prefill(self, phones: Tensor, prompt: Tensor, bert: Tensor | None = None) -> SemanticState:
        """Runs text and prompt.

        Args:
            phones: ``[1, Tx]`` ids, the reference's and then the sentence's.
            prompt: ``[1, Ty]`` codes of the reference; may be empty.
            bert: ``[1, features, Tx]``.
        """
        rows = torch.cat([self.text_rows(phones, bert), self.code_rows(prompt)], dim=1)
        return self._run(rows, None, prefill_blocked(phones.shape[1], prompt.shape[1]))

    def step(self, token: Tensor, position: int, state: SemanticState) -> SemanticState:
        """Runs one code ``[1, 1]`` at ``position`` (0-based among the codes) after everything in ``state``."""
        return self._run(self.code_rows(token, position), state, None)

    def whole(self, phones: Tensor, codes: Tensor, bert: Tensor | None = None) -> Tensor:
        """Logits after the last text row and after every code, without a cache: what training computes.

        Returns:
            ``[Ty + 1, vocabulary]``.
        """
        state = self.prefill(phones, codes, bert)
        return self.ar_predict_layer(state.hidden[0, phones.shape[1] - 1 :])

    def _run(self, x: Tensor, state: SemanticState | None, blocked: Tensor | None) -> SemanticState:
        keys, values = [], []
        for index, layer in enumerate(self.h.layers):
            past = None if state is None else (state.keys[index], state.values[index])
            x, key, value = layer(x, past, blocked)
            keys.append(key)
            values.append(value)
        logits = self.ar_predict_layer(x[:, -1])
        return SemanticState(hidden=x, keys=torch.stack(keys), values=torch.stack(values), logits=logits)


def load_semantic(weights: Mapping[str, Tensor], *, heads: int | None, where: str = "checkpoint") -> SemanticModel:
    """The model with a checkpoint's weights, in inference mode and without gradients.

    Args:
        weights: tensors by checkpoint name, without the prefix ``model.``; any float type.
        heads: ``config["model"]["head"]`` of the checkpoint.
        where: what is read, for messages.

    Raises:
        InputError: the weights are not those of such a model, or hold NaN or infinity.
    """
    config = semantic_config(weights, heads=heads, where=where)
    model = SemanticModel(config)
    state = {name: weights[name].float() for name in model.state_dict()}
    bad = next((name for name, tensor in state.items() if not torch.isfinite(tensor).all()), None)
    if bad is not None:
        raise InputError(f"tensor {bad!r} holds NaN or infinity", where=where, hint="the checkpoint is damaged")
    model.load_state_dict(state, assign=True)  # float32 tensors of the checkpoint become the model's own
    return model.eval().requires_grad_(False)


def position_table(first: int, count: int, width: int) -> Tensor:
    """Rows ``[count, width]`` of the position table (``AR/modules/embedding.py``), from position ``first``."""
    position = torch.arange(first, first + count, dtype=torch.float32).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * -(math.log(10000.0) / width))
    return torch.stack([torch.sin(position * rate), torch.cos(position * rate)], dim=-1).reshape(count, width)


def prefill_blocked(text: int, codes: int) -> Tensor:
    """What must not be looked at: codes by the text, later codes by earlier ones.

    Returns:
        ``[text + codes, text + codes] bool``, true where it is blocked.
    """
    rows = text + codes
    blocked = torch.ones(rows, rows, dtype=torch.bool).triu(1)
    blocked[:text, :text] = False
    return blocked
