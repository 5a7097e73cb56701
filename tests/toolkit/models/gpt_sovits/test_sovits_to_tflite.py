"""SoVITS graphs through the whole chain: every hop equals torch, and the engine's host code speaks with them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.toolkit.models.gpt_sovits.semantic_bundle import write_bundle
from tests.toolkit.models.gpt_sovits.sovits_vectors import micro, sentence, tensor
from toolkit.engine import acoustics
from toolkit.engine.acoustics import latent_frames
from toolkit.engine.chunks import middle, plan_chunks, window
from toolkit.engine.compiled import CompiledFile
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.gpt_sovits.phone_graph import PhoneGraph
from toolkit.models.gpt_sovits.seeded import small_config, write_sovits
from toolkit.models.gpt_sovits.sovits import sovits_model
from toolkit.models.gpt_sovits.sovits_graphs import (
    SovitsBuckets,
    Style,
    enrolment_graphs,
    overlap_frames,
    sovits_graphs,
)
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.float_chain import FloatPart, convert_float
from toolkit.pipeline.sources import SourcePart
from toolkit.recipe.schema import Recipe

LIMIT_DB = 90.0


def convert(graph: PhoneGraph, folder: Path) -> FloatPart:
    """Every hop compared with torch; below 90 dB of signal over noise the test stops here."""
    part = SourcePart(
        name=graph.kind, bucket=graph.bucket, model=graph.module, spec=graph.spec, probes=graph.probes,
        real_probes=len(graph.probes),
    )  # fmt: skip
    recipe = Recipe.model_validate({"schema": 1, "name": "sovits"})
    converted = convert_float(part, recipe, StageClock(Silent()), folder)
    rows = {row.tensor: row.snr_db for row in converted.parity if row.to == "tflite float32"}
    assert set(rows) == {output.name for output in graph.spec.outputs}
    assert all(value is None or value >= LIMIT_DB for value in rows.values()), rows
    return converted


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """The micro model with its voice folded, as a bundle."""
    folder = tmp_path_factory.mktemp("sovits")
    config = micro().sovits
    overlap = overlap_frames(config)
    buckets = SovitsBuckets(text=((26, 12),), flow=(25,), vocoder_stream=(2 * overlap + 5,))
    voice = Style(ge=tensor("ge"), ge_text=tensor("ge_for_encp"))
    files = {}
    for graph in sovits_graphs(micro(), buckets, voice=voice):
        converted = convert(graph, folder)
        files[graph.name] = (converted.tflite, converted.relayered.interface)
    semantic = SimpleNamespace(symbols=732, width=8, layers=1, vocabulary=1025, stop_token=1024)
    return write_bundle(folder / "bundle", semantic, (1.0, 1.0), files), overlap


def test_the_engine_speaks_with_the_converted_graphs_as_torch_does(spoken):
    bundle, overlap = spoken
    opened = CompiledFile(bundle.folder / "t2s.tflite", threads=1)
    held = {}

    def graphs(fact):
        return held.setdefault(fact.name, opened.graph(fact))

    codes, phones = (each[0].numpy() for each in sentence(8, 6)[:2])
    codes = np.tile(codes, 3)  # long enough for several chunks
    latent = latent_frames(bundle, graphs, codes, phones, {}, np.random.default_rng(4), 0.5)
    vocoder = bundle.of_kind("vocoder_stream")[0]
    length, sung = vocoder.tensors["z"].shape[2], []
    chunks = plan_chunks(latent.shape[2], length, overlap)
    assert len(chunks) > 2
    for chunk in chunks:
        fed, mask = window(latent, chunk, length)
        audio = graphs(vocoder).run({"z": fed, "mask": mask})["audio"]
        sung.append(middle(audio, chunk, 640))
    noise = torch.from_numpy(np.random.default_rng(4).standard_normal((1, 16, 48), np.float32))
    _, filled, _, present = sentence(8, 16)
    whole = (torch.from_numpy(codes[None]), filled, torch.ones(1, 1, 48), present)
    expected = sovits_model(micro()).speak(*whole, noise=noise, style=tensor("ge"), text_style=tensor("ge_for_encp"))
    found = np.concatenate(sung)
    assert np.abs(found - expected[0, 0].numpy()).max() < 1e-3
    # The twin: other noise is heard.
    other = sovits_model(micro()).speak(*whole, noise=-noise, style=tensor("ge"), text_style=tensor("ge_for_encp"))
    assert np.abs(found - other[0, 0].numpy()).max() > 1e-3


class _Given:
    """Gives upstream's noise where a generator would draw some."""

    def standard_normal(self, shape: tuple[int, ...], _dtype: type) -> np.ndarray:
        noise = tensor("noise_speed").numpy()
        assert noise.shape == shape
        return noise


def test_the_converted_graphs_speak_faster_as_upstream_does(spoken, monkeypatch):
    """Reference audio at speed 1.25, noise 0.5; the resampling is on the host, the graphs are those of speed 1."""
    bundle, _ = spoken
    opened = CompiledFile(bundle.folder / "t2s.tflite", threads=1)
    codes, phones = (each[0].numpy() for each in sentence(8, 6)[:2])
    expected = tensor("audio_speed125_ns05").numpy()
    vocoder = bundle.of_kind("vocoder_stream")[0]
    length = vocoder.tensors["z"].shape[2]

    def sung(speed: float) -> np.ndarray:
        held = {}
        latent = latent_frames(
            bundle, lambda fact: held.setdefault(fact.name, opened.graph(fact)), codes, phones, {}, _Given(), 0.5, speed
        )
        (chunk,) = plan_chunks(latent.shape[2], length, 0)
        fed, mask = window(latent, chunk, length)
        return middle(opened.graph(vocoder).run({"z": fed, "mask": mask})["audio"], chunk, 640)

    found = sung(1.25)
    assert found.shape == expected[0, 0].shape and np.abs(found - expected).max() < 1e-3
    # The twin: the ends of the signal matched instead of the middles of frames.
    monkeypatch.setattr(acoustics, "resampled", _ends_matched)
    assert np.abs(sung(1.25) - expected).max() > 1e-3


def _ends_matched(signal: np.ndarray, length: int) -> np.ndarray:
    given = torch.from_numpy(signal)
    return torch.nn.functional.interpolate(given, size=length, mode="linear", align_corners=True).numpy()


PRO = SovitsBuckets(text=((8, 12),), flow=(8,), vocoder=(11,), vocoder_stream=(), style=(14,), extractor=(6,))


@pytest.mark.parametrize("name", ["text_encoder_8", "flow_8", "vocoder_11", "style_encoder_14", "code_extractor_6"])
def test_graphs_for_many_voices_and_for_enrolment_convert(tmp_path, name):
    """v2Pro, whose style comes in two lengths and of a speaker embedding too."""
    checkpoint = read_checkpoint(write_sovits(tmp_path / "pro.pth", small_config("v2Pro")))
    found = {g.name: g for g in (*sovits_graphs(checkpoint, PRO), *enrolment_graphs(checkpoint, PRO))}
    convert(found[name], tmp_path)
