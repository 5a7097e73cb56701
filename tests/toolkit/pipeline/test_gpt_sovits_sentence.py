"""The sentence a run is timed with: as long as the lengths allow, through the graphs that are said to be needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.toolkit.engine.toy_model import DEFAULT_GRAPHS, ToyFile, ToyGraph, for_an_npu, toy_bundle
from toolkit.bench.sentence import engine_speaker
from toolkit.engine.bundle import Bundle, GraphFact
from toolkit.errors import EngineError
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.gpt_sovits_sentence import FOR_AN_NPU, measure_sentence, sentence_graphs, sentence_size
from toolkit.pipeline.run_directory import RunDirectory
from toolkit.recipe.load import load


class _Noting(ToyFile):
    def __init__(self, opened: set[str]) -> None:
        self._opened = opened

    def graph(self, fact: GraphFact) -> ToyGraph:
        self._opened.add(fact.name)
        return super().graph(fact)


def _opened(bundle: Bundle, codes: int, phones: int) -> set[str]:
    opened: set[str] = set()
    say = engine_speaker(
        bundle, codes=codes, phones=phones, threads=1, opener=lambda path, delegate, in_place: _Noting(opened)
    )
    say(0)
    return opened


@pytest.mark.parametrize("asked", [(12, 5), (40, 12), (3, 1)])
def test_the_engine_opens_no_graph_that_is_not_named(tmp_path: Path, asked: tuple[int, int]) -> None:
    bundle = toy_bundle(tmp_path)
    needed = sentence_graphs(bundle, *asked)
    assert _opened(bundle, *asked) <= needed < set(DEFAULT_GRAPHS)
    fewer = replace(bundle, graphs={name: fact for name, fact in bundle.graphs.items() if name in needed})
    _opened(fewer, *asked)
    # The twin: one that is needed is missed.
    without = replace(fewer, graphs={n: fact for n, fact in fewer.graphs.items() if not n.startswith("t2s_prefill")})
    with pytest.raises((EngineError, IndexError)):
        _opened(without, *asked)


def test_a_sentence_fills_what_the_lengths_leave(tmp_path: Path) -> None:
    codes, phones = sentence_size(toy_bundle(tmp_path / "usual"))
    assert _opened(toy_bundle(tmp_path / "again"), codes, phones)
    names = ("t2s_prefill_32", "t2s_step_64", "text_encoder_64", "flow_64", "vocoder_stream_30")
    short = toy_bundle(tmp_path / "short", names)
    codes, phones = sentence_size(short)  # 32 prompt codes, 16 phones before it and 16 of its own fill the cache
    assert (codes, phones) == (0, 16)
    longer = toy_bundle(tmp_path / "longer", ("t2s_prefill_32", "t2s_step_160", *names[2:]))
    assert sentence_size(longer) == (64, 16)  # as many codes as the flow takes


def test_a_vocoder_for_an_npu_is_not_timed_by_a_cpus_reference_kernels(tmp_path: Path) -> None:
    for_an_npu(toy_bundle(tmp_path / "bundle"))
    said = measure_sentence((), {}, load("gpt-sovits-npu"), RunDirectory(tmp_path), StageClock(Silent()))
    assert said.missing == FOR_AN_NPU and said.sentence is None and not said.latency
