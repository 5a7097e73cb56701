"""``inspect`` and ``bench`` on more than a thousand damaged files: a report or an error with a code, never a crash."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from converters.errors import InputError, ToolError
from converters.tflite_graph import flatbuffer
from tests.damaged.mutations import KNOWING, mutations
from tests.damaged.originals import originals
from toolkit.errors import BenchError
from toolkit.pipeline import benchmark
from toolkit.pipeline.inspection import PLACEMENTS, inspect_tflite

FILES = originals()
INSPECTED, BENCHED, THROUGH_THE_COMMAND = 1200, 1000, 12
CRASHES_LITERT = "bench/crashed"
# Sizes read past the damage differ from process to process: now and then a file computes for minutes, and is stopped.
PATIENCE_S, TOO_LONG = 8.0, "bench/too-slow"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.tflite"


def assert_is_a_report(found, delegate):
    assert found["size_bytes"] and all(op["macs"] >= 0 and op["op"] and op["precision"] for op in found["ops"])
    placement = found["placement"]
    assert placement["delegate"] == PLACEMENTS[delegate] and 0 <= placement["accepted"] <= len(found["ops"])
    assert placement["partitions"] <= placement["accepted"] or not placement["accepted"]
    assert all(f["reason"] and f["count"] for f in placement["fallbacks"])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("delegate", PLACEMENTS)
def test_inspect_reports_on_every_original(name, delegate, path):
    path.write_bytes(FILES[name])
    assert_is_a_report(inspect_tflite(path, delegate, "12"), delegate)


def test_inspect_reports_or_refuses_a_thousand_damaged_files(path):
    outcomes = Counter()
    for name, content in mutations(FILES, INSPECTED):
        path.write_bytes(content)
        for delegate in PLACEMENTS:
            try:
                assert_is_a_report(inspect_tflite(path, delegate, "12"), delegate)
                outcomes["report"] += 1
            except ToolError as error:
                assert error.code == "input/unusable" and error.message and error.where == str(path), name
                outcomes["error"] += 1
    assert outcomes.total() == INSPECTED * len(PLACEMENTS)
    assert min(outcomes.values()) > INSPECTED // 2  # both happen: the damage is neither always nor never seen


def test_every_deliberate_damage_is_tried():
    tried = {name.rsplit(" ", 1)[1] for name, _ in mutations(FILES, INSPECTED) if "knowing" in name}
    assert tried == {str(number) for number in range(len(KNOWING))}


def test_bench_runs_or_refuses_a_thousand_damaged_files(path, monkeypatch):
    """Everything up to the timing itself: checks, child process, loading, first run. LiteRT does crash on some."""
    import ai_edge_litert.interpreter  # noqa: F401  the children are forked: loaded once for all of them

    monkeypatch.setattr(benchmark, "_measured", lambda models, plan: "measured")
    outcomes = Counter()
    for name, content in mutations(FILES, BENCHED):
        path.write_bytes(content)
        try:
            assert benchmark.bench_files([path], (1,), runs=1, warmup=0, patience_seconds=PATIENCE_S) == "measured"
            outcomes["ran"] += 1
        except ToolError as error:
            assert error.message and error.where == str(path), name
            outcomes[error.code] += 1
    assert outcomes.total() == BENCHED
    assert set(outcomes) <= {"ran", "input/unusable", "bench/unloadable", "bench/too-large", CRASHES_LITERT, TOO_LONG}
    assert (
        outcomes[TOO_LONG] < 5
        and outcomes["ran"]
        and outcomes[CRASHES_LITERT]
        and outcomes["input/unusable"] > BENCHED // 2
    )


def test_without_the_checks_damage_reaches_the_reader(monkeypatch):
    """Twin: the same files with verification switched off get further, and some are believed."""
    damaged = [content for _, content in mutations(FILES, 300)]

    def refused():
        count = 0
        for content in damaged:
            try:
                flatbuffer.load(content)
            except InputError:
                count += 1
        return count

    with_checks = refused()
    monkeypatch.setattr(flatbuffer, "verify", lambda content: None)
    monkeypatch.setattr(flatbuffer, "check", lambda model: None)
    assert refused() < with_checks - 30


def command(*arguments):
    root = Path(__file__).parents[3]
    return subprocess.run(
        [sys.executable, "-m", "toolkit", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("kind", ["inspect", "bench"])
def test_the_command_itself_ends_well_on_damaged_files(kind, tmp_path):
    """A sample through the real command line, among it a file that LiteRT crashes on, most of the time."""
    sample = list(mutations(FILES, 400))[:: 400 // THROUGH_THE_COMMAND][: THROUGH_THE_COMMAND // 2]
    sample.append(next((name, c) for name, c in mutations(FILES, 400) if name.startswith("93:")))
    codes = Counter()
    for number, (name, content) in enumerate(sample):
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(content)
        more = ("--delegate", list(PLACEMENTS)[number % 5]) if kind == "inspect" else ("--runs", "1", "--threads", "1")
        done = command(kind, str(path), *more)
        assert done.returncode in (0, 2), (name, done.stderr)
        if done.returncode == 2:
            code = re.match(r"error\[([\w/-]+)\]: .+", done.stderr)
            assert code and code[1] != "internal/unclassified" and "Traceback" not in done.stderr, done.stderr
            assert not done.stdout
            codes[code[1]] += 1
    assert codes["input/unusable"] >= 2
    assert (codes[CRASHES_LITERT] + codes["bench/unloadable"] > 0) is (kind == "bench")


def test_bench_stops_a_file_that_never_ends(path):
    """The loop's bound made infinite: healthy in form, and LiteRT would run it for ever."""
    endless = FILES["loop"].replace(np.float32(3.0).tobytes(), np.float32(np.inf).tobytes())
    path.write_bytes(endless)
    assert inspect_tflite(path, "xnnpack", "12")["graphs"] == 3
    with pytest.raises(BenchError, match="longer than 1 s") as caught:
        benchmark.bench_files([path], (1,), runs=1, warmup=0, patience_seconds=1.0)
    assert caught.value.code == "bench/too-slow" and "--patience" in caught.value.hint
