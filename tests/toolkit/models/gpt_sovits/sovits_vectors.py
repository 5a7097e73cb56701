"""Upstream's results on a small random SoVITS model, and that model."""

from functools import cache
from pathlib import Path

import numpy as np
import torch

from toolkit.models.gpt_sovits.checkpoint import Checkpoint, read_checkpoint

VECTORS = Path(__file__).parent / "vectors"


@cache
def micro() -> Checkpoint:
    return read_checkpoint(VECTORS / "sovits_v2_micro_e8_s200.pth")


@cache
def vectors() -> dict[str, np.ndarray]:
    with np.load(VECTORS / "sovits_v2_micro.npz") as held:
        return {name: held[name] for name in held.files}


def tensor(name: str) -> torch.Tensor:
    return torch.from_numpy(vectors()[name])


def sentence(codes_bucket: int = 8, phones_bucket: int = 16) -> tuple[torch.Tensor, ...]:
    """Codes, phones and their masks, filled up to buckets (six phones are fewer than the attention's window)."""
    codes, phones = vectors()["codes"][0], vectors()["text"]
    n, t = codes.shape[1], phones.shape[1]
    return (
        torch.from_numpy(np.pad(codes, ((0, 0), (0, codes_bucket - n)), constant_values=3).astype(np.int32)),
        torch.from_numpy(np.pad(phones, ((0, 0), (0, phones_bucket - t)), constant_values=5).astype(np.int32)),
        (torch.arange(2 * codes_bucket) < 2 * n).float()[None, None],
        (torch.arange(phones_bucket) < t).float()[None, None],
    )
