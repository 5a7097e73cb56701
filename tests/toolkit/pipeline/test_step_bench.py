"""Bundles of codes on the clock: their token step, in turns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.toolkit.engine.toy_model import ToyFile, toy_bundle
from toolkit.bench.plan import Plan
from toolkit.cli.app import outcome
from toolkit.engine import loading
from toolkit.errors import BenchError
from toolkit.pipeline.step_bench import bench_steps

PLAN = Plan(warmup_runs=0, warmup_seconds=0.0, min_runs=3, max_runs=3, min_seconds=0.0, threads=(1, 2))


@pytest.fixture(autouse=True)
def _toy_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "LiteFile", lambda path, *, threads, delegate: ToyFile())
    monkeypatch.setattr(loading, "CompiledFile", lambda path, *, threads: ToyFile())


def _codes_bundle(folder: Path, without: tuple[str, ...] = ()) -> Path:
    """A toy bundle that says it makes codes only, and does not list the graphs named."""
    made = toy_bundle(folder).folder
    facts = json.loads((made / "engine.json").read_text())
    facts["contents"] = "codes"
    facts["graphs"] = {name: fact for name, fact in facts["graphs"].items() if not name.startswith(without or ("-",))}
    (made / "engine.json").write_text(json.dumps(facts))
    return made


def _steps(folder: Path) -> list[str]:
    return sorted(name for name in json.loads((folder / "engine.json").read_text())["graphs"] if "step" in name)


def test_bundles_take_turns_with_their_shortest_common_cache(tmp_path: Path) -> None:
    first, second = _codes_bundle(tmp_path / "one"), _codes_bundle(tmp_path / "two")
    shortest, *_ = sorted(int(name.rsplit("_", 1)[1]) for name in _steps(first))
    found = bench_steps([first, second], PLAN)
    assert {(entry.variant, entry.threads) for entry in found.latency} == {
        (str(folder), threads) for folder in (first, second) for threads in (1, 2)
    }
    assert all(len(entry.samples_ms) == 3 and entry.part == f"t2s_step@{shortest}" for entry in found.latency)
    assert [(one.candidate, one.threads, one.pairs) for one in found.comparisons] == [
        (str(second), 1, 3), (str(second), 2, 3),
    ]  # fmt: skip
    assert f"token step, {shortest} rows" in found.as_text()


def test_a_longer_cache_is_taken_where_only_that_is_common(tmp_path: Path) -> None:
    whole = _codes_bundle(tmp_path / "one")
    shortest, longer = sorted(_steps(whole), key=lambda name: int(name.rsplit("_", 1)[1]))[:2]
    other = _codes_bundle(tmp_path / "two", without=(shortest,))
    found = bench_steps([whole, other], PLAN)
    assert found.latency[0].part == f"t2s_step@{longer.rsplit('_', 1)[1]}"
    rest = tuple(name for name in _steps(whole) if name != shortest)
    with pytest.raises(BenchError, match="no cache length is in every bundle") as caught:
        bench_steps([_codes_bundle(tmp_path / "three", without=rest), other], PLAN)
    assert caught.value.code == "bench/mixed"


def test_a_bundle_without_a_token_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="all codes at once"):
        bench_steps([_codes_bundle(tmp_path / "one", without=("t2s_step",))], PLAN)


def test_the_command_line_times_codes_and_refuses_what_only_sentences_have(tmp_path: Path, capsys) -> None:
    codes, speech = _codes_bundle(tmp_path / "one"), toy_bundle(tmp_path / "two").folder
    asked = ["bench", str(codes), "--runs", "2", "--warmup", "0", "--threads", "1"]
    assert outcome([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["latency"][0]["variant"] == str(codes)
    assert outcome([*asked, "--codes", "5"]) == 2
    assert "--codes does nothing for bundles of codes" in capsys.readouterr().err
    assert outcome([*asked, str(speech)]) == 2
    assert "makes codes and no sound" in capsys.readouterr().err
