"""Bundles on the clock: what ends the process that runs them is an error of this one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.toolkit.engine.toy_model import ToyFile, toy_bundle
from toolkit.cli.app import outcome
from toolkit.engine import loading
from toolkit.errors import BenchError
from toolkit.pipeline import sentence_bench

PROBED = {"empty_bytes": 1 << 20, "peak_bytes": 3 << 20, "evictions": 0, "samples": 1}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., sentence_bench.SentenceBench]:
    monkeypatch.setattr(loading, "LiteFile", lambda path, *, threads, delegate: ToyFile())
    monkeypatch.setattr(loading, "CompiledFile", lambda path, *, threads: ToyFile())
    monkeypatch.setattr(sentence_bench, "in_child", lambda *arguments: PROBED)
    folders = [toy_bundle(tmp_path / name).folder for name in ("one", "two")]

    def run(**changes: object) -> sentence_bench.SentenceBench:
        asked = {"codes": 12, "phones": 5, "threads": 1, "rounds": 2, "voices": 1, "bound_bytes": 1 << 30, **changes}
        return sentence_bench.bench_bundles(folders, **asked)

    return run


def test_sentences_are_timed_in_a_child_that_tells_how_far_it_is(bench) -> None:
    told: list[tuple] = []
    found = bench(on_progress=lambda *news: told.append(news))
    assert [len(times) for times in found.times.values()] == [2, 2]
    assert [news[0] for news in told] == [1, 2, 3, 4, 5] and {news[1] for news in told} == {5}
    assert all(found.grown_bytes(name) == 2 << 20 for name in found.times)


class _Deadly(ToyFile):
    def __init__(self, end: Callable[[], None]) -> None:
        self.end = end

    def graph(self, fact: object) -> object:
        self.end()
        return super().graph(fact)


def test_a_bundle_that_crashes_litert_is_one_error(bench, monkeypatch) -> None:
    crash = _Deadly(lambda: os.kill(os.getpid(), signal.SIGSEGV))
    monkeypatch.setattr(loading, "CompiledFile", lambda path, *, threads: crash)
    with pytest.raises(BenchError, match=r"crashed .SIGSEGV") as caught:
        bench()
    assert caught.value.code == "bench/crashed" and "one" in caught.value.where and "two" in caught.value.where


def test_a_bundle_that_never_returns_is_one_error(bench, monkeypatch) -> None:
    monkeypatch.setattr(loading, "CompiledFile", lambda path, *, threads: _Deadly(lambda: time.sleep(600)))
    with pytest.raises(BenchError, match="longer than") as caught:
        bench(patience_seconds=0.3)
    assert caught.value.code == "bench/too-slow"


def test_the_command_line_hands_its_patience_on(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(loading, "CompiledFile", lambda path, *, threads: _Deadly(lambda: time.sleep(600)))
    folder = toy_bundle(tmp_path / "one").folder
    asked = ["--codes", "12", "--phones", "5", "--patience", "0.3"]
    assert outcome(["bench", str(folder), *asked]) == 2
    assert "error[bench/too-slow]" in capsys.readouterr().err
