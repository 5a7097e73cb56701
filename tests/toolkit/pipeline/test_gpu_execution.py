"""A conversion's files on the executed GPU: rows, gates, the report's table, and what is said where there is no GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.spec import Interface, Layout, PartSpec, TensorSpec
from converters.tflite_graph.read import read_tflite
from tests.toolkit.delegates.small_graphs import convert, weights
from toolkit.delegates import software_gpu
from toolkit.delegates.software_gpu import OutputError
from toolkit.pipeline import gpu_execution
from toolkit.pipeline.benchmark import BenchPart
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.gpu_execution import execute_parts, gates
from toolkit.recipe import load as recipes
from toolkit.report.sections import gpu_execution as section
from toolkit.results import GpuExecution, GpuOutput

needs_gpu = pytest.mark.skipif(
    software_gpu.software_driver() is None,
    reason="no software Vulkan driver or no loader for it (Debian: chromium-common and libvulkan1)",
)


def tf():
    from converters import frameworks

    return frameworks.tensorflow()


def _part(tmp_path: Path, function, shape: tuple[int, ...]) -> BenchPart:
    content = convert(function, shape)
    path = tmp_path / "part.tflite"
    path.write_bytes(content)
    (name,) = read_tflite(content).signatures[0].inputs
    spec = PartSpec(name="p", inputs=(TensorSpec(name=name, shape=shape),), outputs=())
    return BenchPart(
        key="p",
        files={"float32": path, "result": path},
        inputs={name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)},
        interface=Interface(spec=spec, layouts={name: Layout.identity(shape)}),
        audio_seconds=None,
        timed_by_operator=False,
    )


def _good(x):
    return tf().tanh(tf().nn.conv2d(x, weights(1, 3, 8, 8), 1, "SAME"))


def _wrong(x):
    return tf().nn.conv2d_transpose(x, weights(1, 5, 8, 8), [1, 1, 21, 8], [1, 1, 3, 1], "SAME")


def _for_gpu():
    return recipes.load("any-model", ("delegate.name=gpu",))


def _clock() -> StageClock:
    return StageClock(Silent())


@needs_gpu
def test_a_right_part_has_its_level_its_float16_estimate_and_passing_gates(tmp_path):
    found = execute_parts([_part(tmp_path, _good, (1, 1, 7, 8))], _for_gpu(), _clock())
    float32, result = found.executions
    assert (float32.variant, result.variant) == ("float32", "result")
    assert float32.accepted and float32.gpu_ops == float32.tables_ops == 2 and "no latency" in float32.how
    assert (float32.worst_snr_db or 200) > 90 and not float32.wrong
    assert float32.float16 is not None and result.float16 is None and "emulated" in float32.float16.how
    assert all(40 < (level or 0) < 90 for level in float32.float16.snr_db.values())
    assert {gate.status for gate in found.gates} == {"pass"} and found.missing is None


@needs_gpu
def test_a_silently_wrong_part_fails_both_gates_and_is_red_in_the_report(tmp_path):
    found = execute_parts([_part(tmp_path, _wrong, (1, 1, 7, 8))], _for_gpu(), _clock())
    assert found.executions[0].wrong and {gate.status for gate in found.gates} == {"fail"}
    cells = section._row(found.executions[0])
    assert any(cell.sub == "silently wrong" and cell.tone == "bad" for cell in cells)


def test_without_a_software_gpu_the_gates_are_skipped_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_execution, "software_driver", lambda: None)
    found = execute_parts([], _for_gpu(), _clock())
    assert found.executions == () and {gate.status for gate in found.gates} == {"skipped"}
    assert found.missing is not None and "chromium-common" in found.missing["gpu_execution"]


def test_other_delegates_execute_nothing():
    found = execute_parts([], recipes.load("any-model", ("delegate.name=nnapi",)), _clock())
    assert found.executions == () and found.gates == () and found.missing is None


def _listened() -> tuple[StageClock, list[str]]:
    heard: list[str] = []

    class Heard(Silent):
        def progress(self, stage: str, done: int, total: int, note: str) -> None:
            heard.append(note)

    return StageClock(Heard()), heard


@needs_gpu
def test_a_graph_too_large_to_compute_is_placed_on_the_executed_accelerator_and_named(tmp_path):
    little = recipes.load("any-model", ("delegate.name=gpu", "delegate.executed_gmac_max=1e-9"))
    clock, heard = _listened()
    found = execute_parts([_part(tmp_path, _wrong, (1, 1, 7, 8))], little, clock)
    for row in found.executions:
        assert row.accepted and (row.gpu_ops, row.cpu_ops) == (1, 0) and not row.compared
        assert row.outputs == () and row.float16 is None and row.macs == 1 * 5 * 7 * 8 * 8
    assert {gate.status for gate in found.gates} == {"skipped"}
    missing = (found.missing or {})["gpu_execution"]
    assert missing.startswith("placed there and not computed: p, 2.24e-06 billion multiply-adds, about 1 min")
    assert "--set delegate.executed_gmac_max=1 " in missing
    assert clock.records[0].fact == "p 1/1 placed" and all(note.endswith("placed only") for note in heard)
    assert section._row(found.executions[0])[3].sub == "placed, not computed"


@needs_gpu
def test_a_refusal_is_found_without_computing(tmp_path):
    """The twin: placing is the accelerator's own answer, not the tables'."""
    little = recipes.load("any-model", ("delegate.name=gpu", "delegate.executed_gmac_max=1e-9"))

    def refused(x):
        return tf().nn.log_softmax(tf().nn.conv2d(x, weights(1, 3, 8, 8), 1, "SAME"))

    row = execute_parts([_part(tmp_path, refused, (1, 1, 7, 8))], little, _clock()).executions[0]
    assert not row.accepted and row.cpu_ops == 1 and "LOG_SOFTMAX" in row.reason


def test_gates_say_which_graphs_they_do_not_speak_of():
    def row(part: str, *, compared: bool) -> GpuExecution:
        return GpuExecution.model_validate(
            {"part": part, "variant": "float32", "how": "h", "accepted": True, "gpu_ops": 1, "cpu_ops": 0,
             "tables_ops": 1, "macs": 39_000_000_000, "compared": compared,
             "outputs": ({"name": "o", "snr_db": 120.0, "judgement": "right"},) if compared else ()}
        )  # fmt: skip

    rows = (row("flow", compared=True), row("vocoder@96", compared=False))
    why = gpu_execution._left(rows)
    assert why == (
        "placed there and not computed: vocoder@96, 39 billion multiply-adds, about 33 min "
        "(--set delegate.executed_gmac_max=39 computes them too)"
    )
    level = gates(rows, why)[0]
    assert (
        level.value == 120.0
        and level.status == "pass"
        and "Placed there and not computed: vocoder@96" in level.explanation
    )
    assert gates(rows[1:], why)[0].status == "skipped"


def test_gates_take_the_worst_output_of_the_float_files():
    def row(level: float | None, variant: str = "float32") -> GpuExecution:
        output = GpuOutput(name="o", snr_db=level, judgement="right")
        return GpuExecution.model_validate(
            {"part": "p", "variant": variant, "how": "h", "accepted": True, "gpu_ops": 1, "cpu_ops": 0,
             "tables_ops": 1, "outputs": (output,)}
        )  # fmt: skip

    snr = gates((row(120.0), row(80.0), row(30.0, "result")), "")[0]
    assert snr.value == 80.0 and snr.status == "fail"
    assert gates((row(None),), "")[0].status == "pass"


def test_eight_bit_files_round_in_their_own_way_and_are_wrong_only_when_nothing_is_left():
    def error(level: float) -> OutputError:
        return OutputError(snr_db=level, max_abs=1.0, peak=1.0, dtype="float32")

    assert gpu_execution._judgement(error(25.0), "result") == "inexact"
    assert gpu_execution._judgement(error(5.0), "result") == "wrong"
    assert gpu_execution._judgement(error(25.0), "float32") == "wrong"
