"""The two graphs a phone runs for text to semantic codes: prefill, and one step with a cache that never grows.

They compute what ``SemanticModel`` computes, with static shapes, masks as numbers to add, positions as inputs, and
logits of one row. Their inputs and outputs are those `toolkit.engine.semantic` and `toolkit.engine.cache` feed and
read. Modules keep the checkpoint's names, with ``self_attn.q_proj``, ``k_proj`` and ``v_proj`` for the packed
projection, so that precision rules of both graphs read alike.

In the step, scores are sums of products of keys and query, and values are weighed by a product and a sum. Written the
usual way round, ``query @ keys.T`` and ``weights @ values``, TensorFlow Lite re-lays the whole cache for every token.
Measured at full size with 512 rows, 2 threads, all layers (XNNPACK): scores 6.1 ms that way, 3.1 ms as
``keys @ query``, which packs the keys, and 0.63 of that as products and sums; values 2.9 ms against 7.3.

Keys and values stand in columns, ``[heads, head width, C]``: XNNPACK's kernels are called for rows of C numbers then,
not of 32, and reductions go along them. Measured on 2026-11-30 (AMD EPYC with AVX-512 and VNNI, 2 cores; 24 layers,
width 512, half of the feed-forward channels pruned), time of the step over the one whose cache was ``[heads, C, head
width]``, 256 and 512 rows: int8 weights 0.85 and 0.91 with one thread, 0.88 and 0.92 with two; float32 0.94 and 0.93,
0.97 and 0.95. What is left is memory: 25 MB of cache with 256 rows, half of what the pruned weights are in int8, read
at 25 GB/s where kernels of weights read at 45, because products are written and read again.

Tried beside it and left out: batch matrix products (1.5 to 2.4 times the time of attention), a cache for each few heads
(1.0 to 1.7), and of the int8 step with one and two threads: one matrix for q, k and v (1.00, 1.01; 0.95 where another
program wants the cores), scores of rank 3, which saves a reshape (1.04, 1.01), the shift of norms in the next layer's
bias (0.98, 1.03). No operator for the step's own row at all, which no arithmetic can reach, would be 0.97 and 0.98.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.models.gpt_sovits.semantic import NORM_EPSILON, SemanticLayer, SemanticModel, TokenEmbedding


class PhoneAttention(nn.Module):
    """Self-attention on linear layers; the scale of the scores is part of the queries' weights."""

    def __init__(self, layer: SemanticLayer) -> None:
        super().__init__()
        source = layer.self_attn
        self.heads = source.heads
        self.head_width = source.out_proj.in_features // source.heads
        scales = (self.head_width**-0.5, 1.0, 1.0)
        weights, biases = source.in_proj_weight.chunk(3), source.in_proj_bias.chunk(3)
        self.q_proj, self.k_proj, self.v_proj = (
            _linear(weight, bias) if scale == 1 else _linear(weight * scale, bias * scale)
            for weight, bias, scale in zip(weights, biases, scales, strict=True)
        )
        self.out_proj = _linear(source.out_proj.weight, source.out_proj.bias)

    def forward(self, x: Tensor, bias: Tensor, held: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        """Attends: among the rows, or from one row to the cache.

        One method for both, because only what is called as a module has its name in the exported graph.
        """
        return self._among(x, bias) if held is None else self._beside(x, *held, bias)

    def _among(self, x: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Attends among the rows.

        Args:
            x: ``[1, rows, width]``.
            bias: ``[1, rows, rows]``, added to the scores.

        Returns:
            ``[1, rows, width]``, and the keys and values ``[1, rows, attention width]``.
        """
        key, value = self.k_proj(x), self.v_proj(x)
        scores = torch.matmul(self._split(self.q_proj(x)), self._split(key).transpose(1, 2)) + bias
        mixed = torch.matmul(torch.softmax(scores, dim=-1), self._split(value))
        return self.out_proj(mixed.transpose(0, 1).reshape(1, x.shape[1], self.heads * self.head_width)), key, value

    def _beside(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Attends from one row to the cache and to itself.

        Args:
            x: ``[1, width]``.
            keys: ``[heads, head width, C]``.
            values: likewise.
            bias: ``[1, C]``, added to the scores of the cache.

        Returns:
            ``[1, width]``, and the row's key and value ``[1, attention width]``.
        """
        heads, rows = self.heads, keys.shape[2]
        query, key, value = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        scores = (keys * query.reshape(heads, self.head_width, 1)).sum(dim=1) + bias
        own = (query * key).reshape(heads, self.head_width).sum(dim=-1, keepdim=True)
        weights = torch.softmax(torch.cat([scores, own], dim=-1), dim=-1)
        mixed = (values * weights[:, :rows].reshape(heads, 1, rows)).sum(dim=2)
        mixed = mixed + weights[:, rows:] * value.reshape(heads, self.head_width)
        return self.out_proj(mixed.reshape(1, heads * self.head_width)), key, value

    def _split(self, x: Tensor) -> Tensor:
        """``[1, rows, attention width]`` to ``[heads, rows, head width]``."""
        return x.reshape(x.shape[1], self.heads, self.head_width).transpose(0, 1)


class PhoneLayer(nn.Module):
    """One transformer layer."""

    def __init__(self, layer: SemanticLayer) -> None:
        super().__init__()
        self.self_attn = PhoneAttention(layer)
        self.linear1 = _linear(layer.linear1.weight, layer.linear1.bias)
        self.linear2 = _linear(layer.linear2.weight, layer.linear2.bias)
        self.norm1, self.norm2 = _norm(layer.norm1), _norm(layer.norm2)

    def forward(self, x: Tensor, bias: Tensor, held: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        """See ``PhoneAttention.forward``."""
        attended, key, value = self.self_attn(x, bias, held)
        x = self.norm1(x + attended)
        return self.norm2(x + self.linear2(torch.relu(self.linear1(x)))), key, value


class PhoneStack(nn.Module):
    """The layers; the extra level is in the checkpoint's names."""

    def __init__(self, model: SemanticModel) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PhoneLayer(layer) for layer in model.h.layers)

    def forward(self, x: Tensor, bias: Tensor, cache: tuple[Tensor, ...]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Runs all layers.

        Args:
            x: rows.
            bias: added to the scores.
            cache: keys of every layer and then values of every layer, or nothing.

        Returns:
            rows, and every layer's new keys and values.
        """
        count, keys, values = len(self.layers), [], []
        for index, layer in enumerate(self.layers):
            held = (cache[index], cache[count + index]) if cache else None
            x, key, value = layer(x, bias, held)
            keys.append(key)
            values.append(value)
        return x, keys, values


class PrefillPart(nn.Module):
    """Text and prompt to the cache and the first logits.

    Args:
        model: the model, whose weights it shares.
        features: whether text features are an input. Without, they count as zeros: the projection's bias, which is
            all that is left of them, becomes part of the phones' table.
    """

    def __init__(self, model: SemanticModel, *, features: bool) -> None:
        super().__init__()
        self.features = features
        bias = model.bert_proj.bias
        self.ar_text_embedding = _table(model.ar_text_embedding, None if features else bias)
        self.ar_audio_embedding = _table(model.ar_audio_embedding, None)
        if features:
            self.bert_proj = _linear(model.bert_proj.weight, bias)
        self.h = PhoneStack(model)
        self.ar_predict_layer = _linear(model.ar_predict_layer.weight, None)
        self.eval().requires_grad_(False)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Runs; inputs in the order of ``semantic_graphs.prefill_spec``.

        Args:
            *inputs: phones ``[1, N]``, bert ``[1, features, N]`` (if any), prompts ``[1, P]``, attention_bias
                ``[1, 1, S, S]``, positions ``[1, S, width]`` and last_row ``[1, 1, S]`` with S = N + P.

        Returns:
            logits ``[1, vocabulary]``, keys and values ``[layers, 1, S, attention width]``.
        """
        phones, *bert, prompts, attention_bias, positions, last_row = inputs
        rows = positions.shape[1]
        text = _rows(self.ar_text_embedding, phones)
        if self.features:
            text = text + self.bert_proj(bert[0].transpose(1, 2))
        x = torch.cat([text, _rows(self.ar_audio_embedding, prompts)], dim=1) + positions
        bias = attention_bias.reshape(1, rows, rows)
        x, keys, values = self.h(x, bias, ())
        logits = self.ar_predict_layer(torch.matmul(last_row, x)).reshape(1, -1)
        return logits, torch.stack(keys), torch.stack(values)


class StepPart(nn.Module):
    """One code, and the cache of everything before it, to the next logits.

    Args:
        model: the model, whose weights it shares.
    """

    def __init__(self, model: SemanticModel) -> None:
        super().__init__()
        self.ar_audio_embedding = _table(model.ar_audio_embedding, None)
        self.h = PhoneStack(model)
        self.ar_predict_layer = _linear(model.ar_predict_layer.weight, None)
        self.eval().requires_grad_(False)

    def forward(
        self, token: Tensor, position: Tensor, attention_bias: Tensor, *cache: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Runs.

        Args:
            token: ``[1, 1]`` id.
            position: ``[1, 1, width]``, its scaled position row.
            attention_bias: ``[1, 1, 1, C]``, added to the scores of the cache's rows.
            *cache: keys ``[heads, head width, C]`` of every layer, then values of every layer.

        Returns:
            logits ``[1, vocabulary]``, the row's keys and values ``[layers, 1, 1, attention width]``.
        """
        width = position.shape[2]
        x = self.ar_audio_embedding(token.reshape(1)) + position.reshape(1, width)
        bias = attention_bias.reshape(1, -1)
        x, keys, values = self.h(x, bias, cache)
        shape = (len(keys), 1, 1, keys[0].shape[1])
        return self.ar_predict_layer(x), torch.cat(keys).reshape(shape), torch.cat(values).reshape(shape)


def _rows(table: TokenEmbedding, ids: Tensor) -> Tensor:
    """``[1, n]`` ids to ``[1, n, width]``; the table is read with a list, as EMBEDDING_LOOKUP wants it."""
    return table(ids.reshape(ids.shape[1])).unsqueeze(0)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A layer on the very tensors: a copy of all of them would be another 300 MB."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer


def _norm(source: nn.LayerNorm) -> nn.LayerNorm:
    layer = nn.LayerNorm(source.normalized_shape, eps=NORM_EPSILON)
    layer.load_state_dict(source.state_dict())
    return layer


def _table(source: TokenEmbedding, added: Tensor | None) -> TokenEmbedding:
    weight = source.word_embeddings.weight
    table = TokenEmbedding(*weight.shape)
    table.word_embeddings.weight = nn.Parameter(weight if added is None else weight + added, requires_grad=False)
    return table
