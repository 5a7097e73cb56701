"""A large model goes through the float hops with a few copies of its weights in memory, not one for each hop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from converters import memory
from converters.onnx_graph import stored_model
from converters.resting_weights import move_to_file
from converters.spec import PartSpec, TensorSpec
from tests.peak_memory import needs_linux, peak_bytes
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.float_chain import FloatPart, convert_float
from toolkit.pipeline.sources import SourcePart
from toolkit.recipe.load import load

MOST_COPIES = 4.8  # measured 4.4: the weights of Keras, those of the file, and the file while it is written


def part(width: int, layers: int) -> SourcePart:
    """Linear layers with an activation between them."""
    torch.manual_seed(0)
    stack = [one for _ in range(layers) for one in (torch.nn.Linear(width, width), torch.nn.ReLU())]
    spec = PartSpec(
        name="stack",
        inputs=(TensorSpec(name="x", shape=(1, 4, width)),),
        outputs=(TensorSpec(name="y", shape=(1, 4, width)),),
    )
    probe = {"x": np.random.default_rng(0).standard_normal((1, 4, width)).astype(np.float32)}
    module = torch.nn.Sequential(*stack).eval().requires_grad_(False)
    return SourcePart(name="stack", bucket=0, model=module, spec=spec, probes=(probe,), real_probes=1)


def convert(asked: SourcePart, folder: Path) -> FloatPart:
    return convert_float(asked, load("gpt-sovits"), StageClock(Silent()), folder)


@needs_linux
def test_copies_of_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = convert(part(64, 2), tmp_path)  # loads the frameworks
    large = part(2048, 5)
    before = convert(large, tmp_path).tflite
    weights_bytes = len(before)
    for module in (memory, stored_model):
        monkeypatch.setattr(module, "LARGE_MODEL_BYTES", 1 << 20)
    move_to_file(large.model, min_bytes=0)
    found, peak = peak_bytes(lambda: convert(large, tmp_path))
    assert len(small.parity) == len(found.parity)  # every hop was compared
    assert found.tflite == before
    assert peak < MOST_COPIES * weights_bytes, peak / weights_bytes


@needs_linux
def test_a_copy_that_is_kept_would_be_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (memory, stored_model):
        monkeypatch.setattr(module, "LARGE_MODEL_BYTES", 1 << 20)
    kept: list[object] = []
    loaded = stored_model.StoredModel.load

    def keeping(self: stored_model.StoredModel) -> object:
        kept.append(loaded(self))
        return kept[-1]

    monkeypatch.setattr(stored_model.StoredModel, "load", keeping)
    large = part(2048, 5)
    move_to_file(large.model, min_bytes=0)
    found, peak = peak_bytes(lambda: convert(large, tmp_path))
    assert peak > (MOST_COPIES + 0.5) * len(found.tflite), peak / len(found.tflite)
