"""A large model goes through the float hops with a few copies of its weights in memory, not one for each hop."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A large conversion: its highest memory over the file's size, and whether anything else became of it."""

    copies: float
    same_bytes: bool
    hops: tuple[int, int]


def measured(folder: Path, keep: bool) -> Measured:
    """Run in a process of its own, whose memory nothing has used before; ``keep`` holds on to every loaded graph."""
    small = convert(part(64, 2), folder)  # loads the frameworks
    large = part(2048, 5)
    before = convert(large, folder).tflite
    for module in (memory, stored_model):
        module.LARGE_MODEL_BYTES = 1 << 20
    kept: list[object] = []
    if keep:
        loaded = stored_model.StoredModel.load

        def keeping(self: stored_model.StoredModel) -> object:
            kept.append(loaded(self))
            return kept[-1]

        stored_model.StoredModel.load = keeping
    move_to_file(large.model, min_bytes=0)
    found, peak = peak_bytes(lambda: convert(large, folder))
    hops = (len(small.parity), len(found.parity))
    return Measured(copies=peak / len(before), same_bytes=found.tflite == before, hops=hops)


def in_own_process(folder: Path, *, keep: bool) -> Measured:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measured, folder, keep).result()


@needs_linux
def test_copies_of_the_weights(tmp_path: Path) -> None:
    found = in_own_process(tmp_path, keep=False)
    assert found.hops[0] == found.hops[1]  # every hop was compared
    assert found.same_bytes
    assert found.copies < MOST_COPIES


@needs_linux
def test_a_copy_that_is_kept_would_be_seen(tmp_path: Path) -> None:
    assert in_own_process(tmp_path, keep=True).copies > MOST_COPIES + 0.5
