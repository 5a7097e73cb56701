"""Upstream's outputs on a small checkpoint of random weights, and that checkpoint."""

from functools import cache
from pathlib import Path

import numpy as np
import torch

from toolkit.models.gpt_sovits.semantic import SemanticModel, load_semantic

FOLDER = Path(__file__).with_name("vectors")
HEADS = 4


def tiny_weights() -> dict[str, torch.Tensor]:
    """Tensors as the file has them, without the prefix."""
    content = torch.load(FOLDER / "t2s_v2_tiny.ckpt", weights_only=True)
    assert content["config"]["model"]["head"] == HEADS
    return {name.removeprefix("model."): tensor for name, tensor in content["weight"].items()}


def tiny_model() -> SemanticModel:
    return load_semantic(tiny_weights(), heads=HEADS)


@cache
def vectors() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "t2s_v2_tiny.npz") as found:
        return dict(found)


def given() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Phones, prompt and text features of the vectors."""
    return tuple(torch.from_numpy(vectors()[name]) for name in ("phones", "prompts", "bert"))
