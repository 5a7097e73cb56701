"""The vocoder of a GPT-SoVITS model shaped for NPUs with integers only: what the NPU takes, and the same numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from toolkit.cli.convert import NPU_RECIPE, _delegate_changes
from toolkit.delegates.place import place
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.gpt_sovits.seeded import small_config, write_sovits
from toolkit.models.gpt_sovits.sovits_graphs import SovitsBuckets, random_style, sovits_graphs
from toolkit.pipeline import gpt_sovits_precision
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.float_chain import FloatPart, convert_float
from toolkit.pipeline.gpt_sovits import graph_part
from toolkit.pipeline.gpt_sovits_precision import GraphPrecision
from toolkit.recipe.load import load

RECIPE = load(NPU_RECIPE["gpt-sovits"], tuple(_delegate_changes("qnn", "", "", "")))


class _Probes:
    """The graph's own probes in place of sentences."""

    def calibration(self, graph):
        return graph.probes

    def held_out(self, graph):
        yield graph.probes[0]


@pytest.fixture(scope="module")
def vocoder(tmp_path_factory):
    """The graph and its float part, every hop compared with torch."""
    folder = tmp_path_factory.mktemp("vocoder")
    checkpoint = read_checkpoint(write_sovits(folder / "small.pth", small_config("v2")))
    lengths = SovitsBuckets(text=(), flow=(), vocoder=(), vocoder_stream=(20,))
    (graph,) = sovits_graphs(checkpoint, lengths, voice=random_style(checkpoint))
    floats = convert_float(graph_part(graph), RECIPE, StageClock(Silent()), folder)
    return graph, floats


def _shipped(vocoder, folder: Path, kind: str = "vocoder_light_stream") -> bytes:
    """As it ships: the 8-bit one to fall back to, which is the same network, or ``vocoder_stream``."""
    graph, floats = vocoder
    precision = GraphPrecision(RECIPE, _Probes(), StageClock(Silent()), folder)
    return precision.give(replace(graph, kind=kind), floats)[0].tflite


def test_every_hop_is_torchs_and_transposed_convolutions_are_gone(vocoder):
    _, floats = vocoder
    assert isinstance(floats, FloatPart) and len({row.to for row in floats.parity}) == 5
    assert min(row.snr_db for row in floats.parity if row.snr_db is not None) > 100
    kinds = {op.kind for op in read_tflite(floats.tflite).ops}
    assert "TRANSPOSE_CONV" not in kinds and "CONV_2D" in kinds


def test_the_npu_takes_the_whole_vocoder_in_16_bits_and_it_is_nearer_than_in_8(vocoder, tmp_path):
    graph, floats = vocoder
    wide, narrow = (_shipped(vocoder, tmp_path, kind) for kind in ("vocoder_stream", "vocoder_light_stream"))
    placed = place(wide, "vocoder_stream@20", "qnn")
    assert placed.delegated_ops == placed.total_ops and placed.partitions == 1
    interface = floats.relayered.interface
    exact, *found = (tflite_runner(file, interface)(graph.probes[0])["audio"] for file in (floats.tflite, wide, narrow))
    noise_16, noise_8 = (float(np.square(sound - exact).mean()) for sound in found)
    assert noise_16 < noise_8 / 10  # 8-bit weights stay; the twin is the 8-bit vocoder itself


def test_the_npu_takes_the_8_bit_vocoder_and_without_the_rewrite_it_does_not(vocoder, tmp_path, monkeypatch):
    graph, floats = vocoder
    content = _shipped(vocoder, tmp_path)
    placed = place(content, "vocoder_stream@20", "qnn")
    assert placed.delegated_ops >= 0.99 * placed.total_ops and placed.partitions <= 2
    assert placed.delegated_macs_ratio == 1.0 and placed.method.startswith("static")
    # The twin: LEAKY_RELU as it was, the same numbers to one step of 8 bits.
    monkeypatch.setattr(gpt_sovits_precision, "for_integer_npu", lambda content: content)
    plain = _shipped(vocoder, tmp_path)
    refused = place(plain, "vocoder_stream@20", "qnn")
    assert refused.delegated_ops < 0.9 * refused.total_ops and refused.partitions > 2
    interface = floats.relayered.interface
    rewritten, kept = (tflite_runner(file, interface)(graph.probes[0])["audio"] for file in (content, plain))
    assert np.abs(rewritten - kept).max() < 0.05 and np.corrcoef(rewritten.ravel(), kept.ravel())[0, 1] > 0.99


def test_for_other_delegates_nothing_is_rewritten(vocoder, tmp_path):
    graph, floats = vocoder
    other = RECIPE.model_copy(update={"delegate": RECIPE.delegate.model_copy(update={"name": "nnapi"})})
    light = replace(graph, kind="vocoder_light_stream")
    made = GraphPrecision(other, _Probes(), StageClock(Silent()), tmp_path).give(light, floats)[0]
    assert "LEAKY_RELU" in {op.kind for op in read_tflite(made.tflite).ops}


def test_the_recipe_is_the_default_one_but_for_the_vocoder():
    npu, default = load(NPU_RECIPE["gpt-sovits"]), load("gpt-sovits")
    assert npu.parts.keys() == default.parts.keys() and npu.gpt_sovits == default.gpt_sovits
    vocoders = {"vocoder_stream": "int16x8", "vocoder_light_stream": "int8"}
    assert {kind for kind in npu.parts if npu.parts[kind] != default.parts[kind]} <= vocoders.keys()
    for kind, wanted in vocoders.items():
        precision = npu.part(kind).precision
        assert precision.default == wanted and not precision.rules
    assert npu.gates.float_macs_ratio_max == 0.0
