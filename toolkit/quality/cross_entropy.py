"""Cross-entropy of what a converted file says, in NumPy: where it is judged there need be no torch."""

from __future__ import annotations

import numpy as np


def summed_cross_entropy(logits: np.ndarray, wanted: np.ndarray) -> float:
    """Sum of the negative log-likelihoods of codes ``wanted [n]`` under ``logits [n, codes]``, in nats."""
    logits = logits.astype(np.float64)
    peak = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - peak).sum(axis=1)) + peak[:, 0]
    return float((total - logits[np.arange(len(wanted)), wanted]).sum())
