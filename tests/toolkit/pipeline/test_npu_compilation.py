"""A conversion's files before Qualcomm's compiler: rows, the gate, the report, and what is said where there is none."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from converters.spec import Interface, PartSpec
from tests.toolkit.report.synthetic_run import synthetic
from toolkit.delegates.qnn_compiler import QnnInstallation
from toolkit.pipeline import npu_compilation
from toolkit.pipeline.benchmark import BenchPart
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.npu_compilation import NpuFindings, compile_parts
from toolkit.pipeline.verdict import gate_line
from toolkit.recipe import load as recipes
from toolkit.report.sections import npu_compilation as section
from toolkit.results import Placement

SAID = "Partitioned subgraph<0>, selected {} ops, from a total of 390 ops. resulted in 2 partitions."
REFUSED = "LiteRT Op #0 'Mul' (code=18) is not supported in Qualcomm Compiler."


def _found(tmp_path: Path, monkeypatch, script: str, *, macs: float = 1.0) -> NpuFindings:
    compiler = tmp_path / "apply_plugin_main"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    fake = QnnInstallation(compiler=compiler, plugins=tmp_path / "plugins", libraries=tmp_path / "libraries")
    monkeypatch.setattr(npu_compilation, "find_qnn", lambda: fake)
    return _asked(tmp_path, macs=macs)


def _asked(tmp_path: Path, delegate: str = "qnn", *, macs: float = 1.0) -> NpuFindings:
    parts, placements = [], []
    for key, ratio in (("flow@100", 0.0), ("vocoder_stream@96", macs)):
        interface = Interface.torch(PartSpec(name=key, inputs=(), outputs=()))
        files = {"float32": tmp_path / "f", "result": tmp_path / f"{key}.tflite"}
        timing = {"audio_seconds": None, "timed_by_operator": False}
        parts.append(BenchPart(key=key, files=files, inputs={}, interface=interface, **timing))
        placements.append(
            Placement(
                delegate="qnn", part=key, method="static", ops=(), partitions=1, delegated_ops=388, total_ops=390,
                delegated_macs_ratio=ratio, transitions=1,
            )
        )  # fmt: skip
    recipe = recipes.load("any-model", (f"delegate.name={delegate}",))
    return compile_parts(parts, placements, "vocoder_stream", recipe, StageClock(Silent()))


def test_the_compiler_is_asked_about_files_with_work_for_it(tmp_path, monkeypatch):
    found = _found(tmp_path, monkeypatch, f'echo "{REFUSED}"; echo "{SAID.format(388)}"; echo $@ >> {tmp_path}/asked')
    (row,) = found.compilations
    assert (row.part, row.soc, row.taken_ops, row.total_ops) == ("vocoder_stream@96", "SM7550", 388, 390)
    assert row.partitions == 2 and row.tables_ops == 388
    assert row.refused == ("0 Mul",) and "nothing ran on a phone" in row.how
    assert "vocoder_stream@96.tflite" in (tmp_path / "asked").read_text()
    assert "--cmd=partition" in (tmp_path / "asked").read_text()
    assert "flow" not in (tmp_path / "asked").read_text()
    assert [gate.status for gate in found.gates] == ["pass"] and not found.missing


def test_a_compiler_that_takes_less_than_the_static_rules_fails_the_gate(tmp_path, monkeypatch):
    found = _found(tmp_path, monkeypatch, f'echo "{SAID.format(387)}"')
    assert [gate.status for gate in found.gates] == ["fail"]
    assert section._row(found.compilations[0])[2].tone == "bad"


def test_a_broken_installation_is_an_error_of_the_gate_and_no_row(tmp_path, monkeypatch):
    found = _found(tmp_path, monkeypatch, "echo libQnnIr.so: cannot open shared object file >&2; exit 1")
    assert [gate.status for gate in found.gates] == ["error"] and found.compilations == ()
    assert "libQnnIr.so" in found.missing["npu_compilation"] and "libQnnIr.so" in gate_line(found.gates[0])


def test_without_work_the_compiler_is_not_started(tmp_path, monkeypatch):
    found = _found(tmp_path, monkeypatch, f"touch {tmp_path}/started", macs=0.0)
    assert [gate.status for gate in found.gates] == ["skipped"] and not (tmp_path / "started").exists()


def test_without_libraries_the_terminal_and_the_page_say_that_rules_alone_were_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(npu_compilation, "find_qnn", lambda: None)
    found = _asked(tmp_path)
    (gate,) = found.gates
    assert gate.status == "skipped" and "static rules alone" in gate_line(gate) and "QNN_LIBRARIES" in gate_line(gate)
    result = synthetic().model_copy(update={"not_measured": found.missing})
    (note,) = section.blocks(result)
    assert "static rules alone" in note.text


@pytest.mark.parametrize("delegate", ["nnapi", "gpu", "xnnpack"])
def test_other_delegates_have_no_compiler(delegate, tmp_path):
    assert _asked(tmp_path, delegate) == NpuFindings()
