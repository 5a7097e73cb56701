"""The tables against LiteRT's GPU accelerator, executed: every file of the sweep, and a sample of it here and now."""

from __future__ import annotations

import pytest

from tests.toolkit.delegates.gpu_sweep import CASES
from tests.toolkit.delegates.gpu_sweep.record import committed, digest, disagreements, row
from toolkit.delegates import gpu_wrong_results, software_gpu
from toolkit.delegates.gpu_start_failures import ENDS_THE_PROCESS
from toolkit.delegates.place import place
from toolkit.delegates.software_gpu import GpuJob, execute_all
from toolkit.delegates.tables import gpu_table

needs_gpu = pytest.mark.skipif(
    software_gpu.software_driver() is None,
    reason="no software Vulkan driver or no loader for it (Debian: chromium-common and libvulkan1)",
)
SAMPLE = 24
"""Files executed here, spread over the sweep; another part of it each time cases are added."""

CANNOT_RUN = {
    "CUSTOM": "no custom operator of its list is in TFLite's own set",
    "DENSIFY": "not on the GPU accelerator's list; sparse constants alone",
    "LSTM": "keeps its state in variable tensors, which the accelerator's Python interface does not show",
    "STABLEHLO_BROADCAST_IN_DIM": "TFLite has no kernel, so no file with it runs",
    "STABLEHLO_CBRT": "TFLite has no kernel, so no file with it runs",
    "STABLEHLO_CLAMP": "TFLite has no kernel, so no file with it runs",
    "STABLEHLO_COMPOSITE": "composites are another graph by a name, not one operator",
    "STABLEHLO_REMAINDER": "TFLite has no kernel, so no file with it runs",
}
"""Operators of the table without a file in the sweep, and why."""


@pytest.fixture(scope="module")
def files():
    return {case.id: case.write() for case in CASES}


@pytest.fixture(scope="module")
def placed(files):
    found = {}
    for key, content in files.items():
        placement = place(content, "p", "gpu_litert")
        found[key] = (placement.delegated_ops, bool(placement.wrong_results))
    return found


def test_the_sweep_is_as_large_as_asked_and_every_case_has_its_own_name():
    assert len(CASES) >= 250 and len({case.id for case in CASES}) == len(CASES)


def test_every_operator_of_the_table_is_in_the_sweep_or_cannot_be_run():
    kinds = {case.example.kind for case in CASES}
    assert kinds.isdisjoint(CANNOT_RUN)
    assert set(gpu_table()["ops"]) - kinds == set(CANNOT_RUN)


def test_every_record_belongs_to_the_file_of_today(files):
    records = committed()["cases"]
    assert {key: digest(content) for key, content in files.items()} == {
        key: record["file"] for key, record in records.items() if not key.startswith("zoo ")
    }, "run: python -m tests.benchmarks.gpu_placement_sweep --write"


def test_the_tables_place_every_file_as_the_accelerator_did(placed):
    found = committed()
    differing = {line.partition(": ")[0] for line in disagreements(placed, found["cases"])}
    assert differing == {key for key in found["exceptions"] if not key.startswith("zoo ")}
    assert all(len(cause) > 20 and "not explained" not in cause for cause in found["exceptions"].values())


def test_a_table_that_says_otherwise_is_seen(placed):
    right = next(key for key, (delegated, warned) in placed.items() if delegated == 1 and not warned)
    wrong = next(key for key, (_, warned) in placed.items() if warned)
    spoiled = placed | {right: (0, False), wrong: (placed[wrong][0], False)}
    differing = {line.partition(": ")[0] for line in disagreements(spoiled, committed()["cases"])}
    assert {right, wrong} <= differing


def test_every_known_wrong_result_was_executed():
    records = committed()["cases"]
    kinds = {case.example.kind for case in CASES if records[case.id].get("judgement") == "wrong"}
    # SELECT is SELECT_V2 under its older name, and takes conditions of another rank only as single values.
    assert kinds | {"SELECT"} == {*gpu_wrong_results._RULES, *gpu_wrong_results._RANK_BROADCASTS}


def test_files_that_end_the_process_are_refused_with_that_reason(files):
    ended = [key for key, record in committed()["cases"].items() if "ended with code" in record.get("no_answer", "")]
    assert ended
    for key in ended:
        first = place(files[key], "p", "gpu_litert").ops[0]
        assert not first.accepted and "ends the process" in first.reason, key
    assert ENDS_THE_PROCESS


@needs_gpu
def test_a_sample_is_executed_and_gives_what_is_committed(files, tmp_path):
    records = committed()["cases"]
    chosen = [case for case in CASES if "no_answer" not in records[case.id]]
    chosen = chosen[len(CASES) % 7 :: max(1, len(chosen) // SAMPLE)]
    jobs = []
    for number, case in enumerate(chosen):
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(files[case.id])
        jobs.append(GpuJob(model=path, ranges=case.input_ranges()))
    for case, found in zip(chosen, execute_all(jobs), strict=True):
        again, before = row(files[case.id], found), records[case.id]
        assert {k: again[k] for k in ("gpu_ops", "judgement", "refused")} == {
            k: before[k] for k in ("gpu_ops", "judgement", "refused")
        }, case.id


@needs_gpu
def test_a_file_that_ends_the_process_does_not_take_the_others_with_it(files, tmp_path):
    ending = next(key for key, record in committed()["cases"].items() if "no_answer" in record)
    fine = next(key for key, record in committed()["cases"].items() if record.get("judgement") == "right")
    jobs = []
    for number, key in enumerate((ending, fine)):
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(files[key])
        jobs.append(GpuJob(model=path))
    first, second = execute_all(jobs)
    assert isinstance(first, str) and "ended with code" in first
    assert not isinstance(second, str) and second.accepted
