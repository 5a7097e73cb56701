"""Graphs of SoVITS before conversion: interfaces the engine feeds, probes that fit, chunks that sound as one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from converters.torch_run import torch_runner
from tests.toolkit.models.gpt_sovits.sovits_vectors import micro, tensor
from toolkit.engine.chunks import middle, plan_chunks, window
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.gpt_sovits.seeded import full_config, small_config, write_sovits
from toolkit.models.gpt_sovits.sovits import sovits_model
from toolkit.models.gpt_sovits.sovits_graphs import (
    SovitsBuckets,
    enrolment_graphs,
    overlap_frames,
    random_style,
    sovits_graphs,
)
from toolkit.models.vits.generator import Generator
from toolkit.models.vits.reach import generator_reach_frames

BUCKETS = SovitsBuckets(
    text=((8, 12), (12, 16)), flow=(8,), vocoder=(11,), vocoder_stream=(24,), style=(14,), extractor=(6,)
)


@pytest.mark.parametrize("version", ["v1", "v2", "v2Pro", "v2ProPlus"])
@pytest.mark.parametrize("folded", [True, False])
def test_every_graph_runs_on_its_probes(tmp_path, version, folded):
    checkpoint = read_checkpoint(write_sovits(tmp_path / "a.pth", small_config(version)))
    voice = random_style(checkpoint) if folded else None
    graphs = (*sovits_graphs(checkpoint, BUCKETS, voice=voice), *enrolment_graphs(checkpoint, BUCKETS))
    names = [graph.name for graph in graphs]
    assert names == [
        "text_encoder_8", "text_encoder_12", "flow_8", "vocoder_11", "vocoder_stream_24", "style_encoder_14",
        "code_extractor_6",
    ]  # fmt: skip
    for graph in graphs:
        assert len(graph.probes) == 2
        for probe in graph.probes:
            assert {name: value.shape for name, value in probe.items()} == {t.name: t.shape for t in graph.spec.inputs}
            found = torch_runner(graph.module, graph.spec)(probe)
            assert {name: value.shape for name, value in found.items()} == {t.name: t.shape for t in graph.spec.outputs}
            assert all(np.isfinite(value).all() and value.any() for value in found.values())
    styled = {name for graph in graphs[:5] for t in graph.spec.inputs if (name := t.name).startswith("ge")}
    expected = {"ge", "ge_text"} if version.startswith("v2Pro") else {"ge"}
    assert styled == (set() if folded else expected)


def _in_chunks(model, z: torch.Tensor, length: int, overlap: int) -> np.ndarray:
    found = []
    for chunk in plan_chunks(z.shape[2], length, overlap):
        fed, mask = window(z.numpy(), chunk, length)
        with torch.no_grad():
            audio = model.generator(torch.from_numpy(fed), torch.from_numpy(mask), tensor("ge"))
        found.append(middle(audio.numpy(), chunk, 640))
    return np.concatenate(found)


def test_chunks_equal_the_whole_and_without_context_they_do_not():
    model, z = sovits_model(micro()), tensor("z_ns0")
    overlap = overlap_frames(model.config)
    whole = tensor("audio_ns0")[0, 0].numpy()
    assert np.abs(_in_chunks(model, z, 2 * overlap + 5, overlap) - whole).max() < 1e-5
    assert np.abs(_in_chunks(model, z, 5, 0) - whole).max() > 1e-3


@pytest.mark.parametrize("version", ["v2", "v2ProPlus"])
def test_context_is_what_the_kernels_reach_and_hardly_more(version):
    """Sizes of upstream, thin: what an output sample depends on, by its gradient."""
    config = replace(full_config(version).generator, channels=2, initial=32)
    generator = Generator(config).double()
    reach = generator_reach_frames(config)
    frames = 2 * reach + 11
    z = torch.randn(1, 2, frames, dtype=torch.double, requires_grad=True)
    middle_frame = frames // 2
    audio = generator(z, torch.ones(1, 1, frames, dtype=torch.double))
    audio[0, 0, middle_frame * 640 : (middle_frame + 1) * 640].sum().backward()
    touched = z.grad.abs().sum(dim=1)[0].nonzero()[:, 0]
    furthest = max(middle_frame - int(touched.min()), int(touched.max()) - middle_frame)
    assert reach - 2 <= furthest <= reach


def test_a_voice_folded_into_graphs_is_the_voice_fed_to_them():
    style = random_style(micro(), seed=3)
    folded = {graph.name: graph for graph in sovits_graphs(micro(), BUCKETS, voice=style)}
    for graph in sovits_graphs(micro(), BUCKETS):
        given = {**graph.probes[0], "ge": style.ge.numpy()}
        mine = folded[graph.name]
        fed = {t.name: given[t.name] for t in mine.spec.inputs}
        expected = torch_runner(graph.module, graph.spec)(given)
        for name, value in torch_runner(mine.module, mine.spec)(fed).items():
            assert np.abs(value - expected[name]).max() < 2e-5, (graph.name, name)
