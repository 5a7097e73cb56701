"""Softmax attention over rows, as HuBERT and BERT use it: heads side by side, a bias added to the scores."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def attended(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, heads: int) -> Tensor:
    """What each row takes from the rows it sees.

    Args:
        query: ``[1, rows, width]``, projected; and so
        key: and
        value: likewise.
        bias: ``[1, 1, 1, rows]`` added to the scores: 0, or a large negative number for a row nobody may see.
        heads: a divisor of the width.

    Returns:
        ``[1, rows, width]``.
    """
    rows, width = query.shape[1], query.shape[2]
    scale = 1.0 / math.sqrt(width // heads)
    q, k, v = (x.reshape(1, rows, heads, width // heads).transpose(1, 2) for x in (query * scale, key, value))
    mixed = torch.matmul(torch.softmax(torch.matmul(q, k.transpose(2, 3)) + bias, dim=-1), v)
    return mixed.transpose(1, 2).reshape(1, rows, width)
