"""Several sentences at once through the text-to-semantic model, for training and for judging.

Sentences of different lengths are padded; the mask keeps padding out, and text and codes each count their positions
from zero, so that a sentence's logits do not depend on what is beside it.
Source: ``forward_old`` of upstream's ``AR/models/t2s_model.py``: the last text row predicts the first code, every code
the next, the last one the stop token; dropout after embedding, attention and feed-forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.models.gpt_sovits.semantic import SemanticModel

NOTHING = -100
"""Target of a row that predicts nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """One sentence.

    Attributes:
        phones: ``[n] int32``.
        codes: ``[m] int32``, without the stop token.
        durations_ms: ``[n] int32``, how long each phone is said; ``None`` where nobody knows, as of recordings.
    """

    phones: np.ndarray = field(repr=False)
    codes: np.ndarray = field(repr=False)
    durations_ms: np.ndarray | None = field(default=None, repr=False)

    @property
    def told_durations_ms(self) -> np.ndarray:
        """How long each phone is said, ``[n] int32``.

        Raises:
            ValueError: nobody knows.
        """
        if self.durations_ms is None:
            raise ValueError("a sentence has no durations; align it first")
        return self.durations_ms


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SemanticBatch:
    """Padded sentences.

    Attributes:
        phones: ``[batch, Tx]``.
        codes: ``[batch, Ty]``.
        text_lengths: ``[batch]``.
        blocked: ``[batch, 1, Tx + Ty, Tx + Ty] bool``, true where a row must not look.
        targets: ``[batch, Ty + 1]``: code to predict by the last text row and by every code; ``NOTHING`` in padding.
    """

    phones: Tensor = field(repr=False)
    codes: Tensor = field(repr=False)
    text_lengths: Tensor = field(repr=False)
    blocked: Tensor = field(repr=False)
    targets: Tensor = field(repr=False)

    @property
    def predicted(self) -> Tensor:
        """The targets that count, ``[n]``, sentence after sentence."""
        return self.targets[self.targets != NOTHING]


def batch_of(pairs: Sequence[Pair], stop_token: int) -> SemanticBatch:
    """Pads sentences to the longest.

    Args:
        pairs: the sentences.
        stop_token: what follows the last code.
    """
    text, said = max(len(pair.phones) for pair in pairs), max(len(pair.codes) for pair in pairs)
    rows, count = text + said, len(pairs)
    phones, codes = torch.zeros(count, text, dtype=torch.long), torch.zeros(count, said, dtype=torch.long)
    targets = torch.full((count, said + 1), NOTHING)
    blocked = torch.ones(rows, rows, dtype=torch.bool).triu(1).repeat(count, 1, 1)
    for row, pair in enumerate(pairs):
        n, m = len(pair.phones), len(pair.codes)
        phones[row, :n], codes[row, :m] = torch.from_numpy(pair.phones).long(), torch.from_numpy(pair.codes).long()
        targets[row, :m], targets[row, m] = codes[row, :m], stop_token
        blocked[row, :text, :text] = False
        blocked[row, :, n:text] = True
    lengths = torch.tensor([len(pair.phones) for pair in pairs])
    return SemanticBatch(
        phones=phones, codes=codes, text_lengths=lengths, blocked=blocked.unsqueeze(1), targets=targets
    )


def batch_logits(model: SemanticModel, batch: SemanticBatch, dropout: float = 0.0) -> Tensor:
    """Logits of every row that predicts something.

    Text features (BERT) count as zeros, as they do for every language but Chinese.

    Args:
        model: the model.
        batch: the sentences.
        dropout: share of features dropped; 0 to judge.

    Returns:
        ``[n, vocabulary]``, in the order of ``batch.predicted``.
    """
    drop = nn.Dropout(dropout) if dropout else nn.Identity()
    text = batch.phones.shape[1]
    x = drop(torch.cat([model.text_rows(batch.phones, None), model.code_rows(batch.codes)], dim=1))
    for layer in model.h.layers:
        x = layer.norm1(x + drop(layer.self_attn(x, None, batch.blocked)[0]))
        x = layer.norm2(x + drop(layer.linear2(drop(functional.relu(layer.linear1(x))))))
    last = x[torch.arange(len(x)), batch.text_lengths - 1].unsqueeze(1)
    rows = torch.cat([last, x[:, text:]], dim=1)[batch.targets != NOTHING]
    return model.ar_predict_layer(rows)
