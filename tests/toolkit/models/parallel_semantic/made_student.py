"""A small convolutional student of random weights."""

from dataclasses import replace

import torch

from toolkit.models.parallel_semantic.config import ParallelConfig
from toolkit.models.parallel_semantic.model import ParallelSemantic

CONFIG = ParallelConfig(symbols=12, codes=16, width=16, expansion=2, phone_blocks=2, frame_blocks=2, phone_kernel=3,
                        frame_kernel=5)  # fmt: skip


def made_model(seed=0, **sizes):
    """Blocks that do something: a new one is the identity."""
    torch.manual_seed(seed)
    model = ParallelSemantic(replace(CONFIG, **sizes))
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(torch.randn_like(value) * 0.3)
    return model.eval().requires_grad_(False)
