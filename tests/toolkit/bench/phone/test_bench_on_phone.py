"""``toolkit bench --device`` against a phone made of a directory: results, validity, and what is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.toolkit.bench.phone import outputs
from tests.toolkit.bench.phone.fake_phone import BATTERY, SERIAL, FakePhone, thermal, tool
from tests.toolkit.bench.phone.small_file import INT32, small_file
from toolkit.bench.phone import workspace
from toolkit.bench.phone.command import NOTES
from toolkit.cli.app import outcome
from toolkit.results import load

ROOT = Path(__file__).resolve().parents[4]


class Desk:
    """A phone, a model, a tool and a place for the run."""

    def __init__(self, folder: Path, capsys, monkeypatch) -> None:
        self.phone = FakePhone(folder)
        self.model = small_file(folder / "decoder.tflite")
        self.tool = tool(folder)
        self.out = folder / "run"
        self._capsys = capsys
        self.outputs(outputs.log(size_mb=self.megabytes()), outputs.profile(outputs.NNAPI_OPS))
        monkeypatch.setenv("PATH", f"{self.phone.adb.parent}:{os.environ['PATH']}")

    def megabytes(self, path: Path | None = None) -> str:
        return f"{(path or self.model).stat().st_size / 1e6:g}"

    def outputs(self, *given, **files) -> None:
        self.phone.outputs(*given, **files)

    def words(self, *more: object, models=None, delegate="nnapi", repeats=1) -> list[str]:
        files = [str(path) for path in models or [self.model]]
        words = [
            "--device",
            SERIAL,
            "--delegate",
            delegate,
            "--benchmark-model",
            str(self.tool),
            "--out",
            str(self.out),
        ]
        return ["bench", *files, *words, "--repeats", str(repeats), *map(str, more)]

    def bench(self, *more: object, **how) -> tuple[int, str, str]:
        code = outcome(self.words(*more, **how))
        printed = self._capsys.readouterr()
        return code, printed.out, printed.err

    def failed(self, code: str, *more: object, left=(), **how) -> str:
        """The error of a benchmark that must fail, leaving neither a run nor anything on the phone."""
        found, out, error = self.bench(*more, **how)
        assert (found, out) == (2, ""), error
        assert error.startswith(f"error[{code}]"), error
        assert self.phone.left() == list(left)
        self.no_run()
        return error

    def no_run(self) -> None:
        assert not self.out.exists()
        assert not [path for path in self.out.parent.iterdir() if path.name.startswith(".run")]


@pytest.fixture
def desk(tmp_path, capsys, monkeypatch) -> Desk:
    return Desk(tmp_path, capsys, monkeypatch)


@pytest.fixture
def hurried(monkeypatch) -> None:
    """Tries to clean an unplugged phone without pauses between."""
    monkeypatch.setattr(workspace.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(workspace.Workspace.__init__, "__defaults__", (lambda seconds: None,))


def test_run_directory_holds_all_and_phone_is_clean(desk):
    code, out, error = desk.bench("--threads", 4, repeats=2)
    assert code == 0, error
    result = load(desk.out / "results.json")
    phone = result.phone
    assert phone.device.name == "Nothing Phone (2a)" and phone.device.soc == "QTI SM7550"
    assert (phone.device.android, phone.device.api_level, phone.device.serial) == ("14", 34, SERIAL)
    assert phone.before.thermal_status == 0 and phone.before.temperatures_c == {"CPU0": 41.5, "skin": 31.25}
    assert phone.before.governors == {"policy0": "walt", "policy4": "walt"}
    assert phone.before.max_khz == {"policy0": 1804800, "policy4": 2400000}
    assert (phone.before.battery_percent, phone.before.battery_c, phone.before.charging) == (82.0, 29.5, True)
    (latency,) = phone.latencies
    assert latency.where == "Nothing Phone (2a) (QTI SM7550) Android 14, serial FAKE01"
    assert (latency.avg_ms, len(latency.timings), latency.valid) == (79.732, 2, True)
    assert latency.applied[0].kernels == 2 and [op.op_type for op in latency.ops][1] == "LEAKY_RELU"
    assert latency.delegated_time_ratio == pytest.approx((41.2 + 20.75) / 80.0)
    assert result.validity.valid and result.environment.device == phone.device
    deprecated, no_graph = (warning.message for warning in result.warnings)
    assert deprecated == NOTES["nnapi"] and "exports no runtime graph" in no_graph
    assert desk.phone.left() == []
    assert {path.name for path in desk.out.iterdir()} == {
        "index.html",
        "report.md",
        "results.json",
        "model_card.md",
        "trace.json",
        "manifest.json",
        "raw",
    }
    assert len(list((desk.out / "raw").iterdir())) == 3
    assert "Nothing Phone (2a)" in out and "VALID" in out and "INVALID" not in out
    page = (desk.out / "index.html").read_text()
    assert "Nothing Phone (2a) (QTI SM7550) Android 14, serial FAKE01" in page and "79.7" in page
    assert "79.7" in (desk.out / "report.md").read_text()


def test_json_is_the_result_and_a_run_replaces_an_earlier_one(desk):
    assert desk.bench()[0] == 0
    code, out, _ = desk.bench("--json")
    assert code == 0
    assert json.loads(out)["phone"]["latencies"][0]["avg_ms"] == 79.732
    assert desk.phone.left() == []


def test_every_form_of_output_is_pulled_and_agrees(desk):
    files = {
        "result": outputs.result_file(),
        "graph": outputs.runtime_graph(),
        "profile": outputs.profile_file(outputs.NNAPI_OPS),
    }
    shown = outputs.log(percentiles=False, size_mb=desk.megabytes())
    desk.outputs(shown, "", **files)
    assert desk.bench("--profile", "proto")[0] == 0
    proto = load(desk.out / "results.json").phone.latencies[0]
    assert proto.timings[0].median_ms == pytest.approx(79.6)
    assert (proto.replaced_ops, proto.total_ops) == (5, 7)
    desk.outputs(shown, "", **files | {"profile": outputs.profile(outputs.NNAPI_OPS, "csv").encode()})
    assert desk.bench("--profile", "csv")[0] == 0
    assert load(desk.out / "results.json").phone.latencies[0].ops == proto.ops
    assert any(path.name.endswith("-profile-profile.out") for path in (desk.out / "raw").iterdir())
    assert desk.phone.left() == []


@pytest.mark.parametrize(
    "delegate,name,flag",
    [("gpu", "GPU", "--use_gpu=true"), ("xnnpack", "XNNPACK", "--use_xnnpack=true"), ("qnn", "EXTERNAL", "libQnn")],
)
def test_other_delegates(desk, delegate, name, flag, tmp_path):
    libraries = tmp_path / "qnn"
    libraries.mkdir()
    for library in ("libQnnTFLiteDelegate.so", "libQnnHtp.so"):
        (libraries / library).write_bytes(b"x")
    applied = outputs.WHOLLY.format(name=name)
    desk.outputs(outputs.log(applied=applied, size_mb=desk.megabytes()), outputs.profile(outputs.XNNPACK_OPS))
    more = ("--qnn-libraries", libraries) if delegate == "qnn" else ()
    code, _, error = desk.bench(*more, delegate=delegate)
    assert code == 0, error
    assert flag in (desk.phone.state / "arguments").read_text()
    assert load(desk.out / "results.json").phone.latencies[0].valid
    assert desk.phone.left() == []


def test_index_inputs_get_zeros_and_signatures_are_measured_one_by_one(desk, tmp_path):
    bundle = tmp_path / "voice/bundle"
    bundle.mkdir(parents=True)
    model = small_file(bundle / "voice.tflite", second=INT32, signatures=("flow_64", "flow_128"))
    desk.outputs(outputs.log(size_mb=desk.megabytes(model)), outputs.profile(outputs.NNAPI_OPS))
    assert desk.bench(models=[tmp_path / "voice"])[0] == 0
    assert [each.part for each in load(desk.out / "results.json").phone.latencies] == [
        "voice/flow_64",
        "voice/flow_128",
    ]
    words = (desk.phone.state / "arguments").read_text().splitlines()
    assert "--signature_to_run_for=flow_128" in words
    assert "--input_layer=serving_default_x:0,serving_default_lengths:0" in words
    assert "--input_layer_shape=1,8:1,8" in words
    (files,) = [word for word in words if word.startswith("--input_layer_value_files=")]
    assert files.startswith("--input_layer_value_files=serving_default_lengths\\:0:") and files.endswith("/zeros-0.bin")
    assert (desk.phone.state / "zeros").read_text().split()[0] == "32"


@pytest.mark.parametrize(
    "change,reason",
    [
        (lambda phone: phone.at("after", thermalservice=thermal(2, 78.0)), "thermal status moderate after"),
        (lambda phone: phone.at("before", thermalservice=thermal(1)), "thermal status light before"),
        (lambda phone: phone.clock("after", "policy4", "powersave", 2400000), "governor of policy4 changed"),
        (lambda phone: phone.clock("after", "policy4", "walt", 1200000), "highest clock of policy4 changed"),
        (lambda phone: phone.at("after", saver="1\n"), "battery saver on after"),
    ],
)
def test_throttling_or_changed_governor_makes_the_run_invalid(desk, change, reason):
    change(desk.phone)
    code, out, _ = desk.bench()
    result = load(desk.out / "results.json")
    assert code == 0 and not result.validity.valid and not result.phone.latencies[0].valid
    assert any(reason in each for each in result.validity.reasons), result.validity.reasons
    assert "INVALID" in out and "INVALID measurement" in (desk.out / "index.html").read_text()


def test_what_another_session_left_is_said_and_not_touched(desk):
    left = desk.phone.temporary / "toolkit-bench-0123456789abcdef"
    left.mkdir()
    code, out, _ = desk.bench()
    assert code == 0 and "toolkit-bench-0123456789abcdef is on the phone" in out
    assert out.count("is on the phone") == 1  # its own is none of them
    assert desk.phone.left() == [left.name]


def test_unreadable_state_is_said_and_not_taken_for_good(desk):
    desk.phone.at("before", thermalservice="Can't find service: thermalservice\n")
    desk.phone.at(
        "after",
        thermalservice="Can't find service: thermalservice\n",
        battery=BATTERY.replace("USB powered: true", "USB powered: false"),
    )
    code, out, _ = desk.bench()
    result = load(desk.out / "results.json")
    assert code == 0 and result.phone.before.thermal_status is None
    assert "thermal state" in result.phone.before.unreadable
    assert "the thermal state could not be read" in out and "charger" in out


@pytest.mark.parametrize(
    "applied,reason",
    [
        (outputs.NOTHING.format(name="NNAPI"), "NNAPI took no operator: this is the CPU's time"),
        ("nothing said", "whose time this is, is not known"),
        (outputs.WHOLLY.format(name="XNNPACK"), "does not say that it applied NNAPI"),
    ],
)
def test_time_of_a_delegate_that_ran_nothing_is_invalid(desk, applied, reason):
    desk.outputs(outputs.log(applied=applied, size_mb=desk.megabytes()), outputs.profile(outputs.NNAPI_OPS))
    assert desk.bench()[0] == 0
    assert any(reason in each for each in load(desk.out / "results.json").validity.reasons)


def test_log_and_runtime_graph_that_disagree_are_invalid(desk):
    desk.outputs(
        outputs.log(size_mb=desk.megabytes()),
        outputs.profile(outputs.NNAPI_OPS),
        graph=outputs.runtime_graph(kernels=((0, 1),)),
    )
    assert desk.bench()[0] == 0
    assert "2 NNAPI kernels, the runtime graph 1" in load(desk.out / "results.json").validity.reasons[0]


def test_failures_leave_nothing(desk):
    failing = "Loaded model x\nERROR: NN API returned error ANEURALNETWORKS_BAD_DATA\nBenchmarking failed.\n"
    desk.outputs(failing, "", code=1)
    assert "ANEURALNETWORKS_BAD_DATA" in desk.failed("bench/phone-failed")
    desk.outputs("ERROR: Disallowed CPU fallback detected.\nBenchmarking failed.\n", "", code=1)
    desk.failed("bench/phone-fallback", "--full-delegation")
    assert "--require_full_delegation=true" in (desk.phone.state / "arguments").read_text()
    desk.outputs("", "", code=139)
    assert "139" in desk.failed("bench/phone-failed")
    desk.outputs(outputs.log()[:400], "", code=0)
    desk.failed("bench/phone-output")
    desk.outputs(outputs.log(), outputs.profile(outputs.NNAPI_OPS))  # of a file of another size
    assert "bytes" in desk.failed("bench/phone-output")
    desk.outputs(outputs.log(size_mb=desk.megabytes()), outputs.profile(outputs.NNAPI_OPS)[:900])
    desk.failed("bench/phone-output")


def test_an_earlier_run_survives_a_failure(desk):
    assert desk.bench()[0] == 0
    before = (desk.out / "results.json").read_bytes()
    desk.outputs("", "", code=1)
    assert desk.bench()[0] == 2
    assert (desk.out / "results.json").read_bytes() == before


@pytest.mark.parametrize("serial,why", [("OTHER", "not found")])
def test_unknown_phone_says_what_adb_sees(desk, serial, why):
    words = desk.words()
    words[words.index(SERIAL)] = serial
    assert outcome(words) == 2
    error = desk._capsys.readouterr().err
    assert "error[bench/phone-unusable]" in error and why in error and "FAKE01 (device)" in error
    desk.no_run()


@pytest.mark.parametrize(
    "text,hint", [("error: device unauthorized.", "allow USB debugging"), ("error: device offline", "reconnect")]
)
def test_phone_that_may_not_be_used_says_what_to_do(desk, text, hint):
    desk.phone.trouble({"when": "get-state", "what": "refuse", "text": text})
    assert hint in desk.failed("bench/phone-unusable")


def test_missing_tools_and_wrong_processor(desk, tmp_path, monkeypatch):
    desk.failed("bench/no-adb", "--adb", tmp_path / "nowhere")
    desk.tool = tool(tmp_path, machine=62)
    assert "x86_64" in desk.failed("bench/wrong-abi")
    desk.tool.write_bytes(b"#!/bin/sh\n")
    desk.failed("bench/wrong-abi")
    desk.tool = tmp_path / "none"
    desk.failed("bench/no-benchmark-model")
    desk.failed("bench/no-qnn-libraries", delegate="qnn")
    desk.failed("usage/invalid", delegate="hexagon")
    monkeypatch.setenv("PATH", "/nowhere")
    desk.failed("bench/no-adb")
    assert outcome(["bench", str(desk.model), "--delegate", "gpu"]) == 2
    assert "does nothing without --device" in desk._capsys.readouterr().err


def test_full_phone_is_one_error(desk):
    desk.phone.trouble(
        {
            "when": r"push .*model\.tflite",
            "what": "refuse",
            "text": "adb: error: failed to copy: No space left on device",
        }
    )
    assert "No space left" in desk.failed("bench/phone-copy")


def test_file_that_arrives_short_is_noticed(desk):
    (desk.phone.state / "bin/wc").write_text("#!/bin/sh\necho 7\n")
    (desk.phone.state / "bin/wc").chmod(0o755)
    assert "bytes here; on the phone: 7" in desk.failed("bench/phone-copy")


STEPS = [
    "get-state",
    "getprop",
    "mkdir",
    "push .*benchmark_model",
    "chmod",
    "thermalservice",
    r"push .*model\.tflite",
    "--graph=",
    "--enable_op",
]


@pytest.mark.parametrize("step", STEPS)
def test_phone_unplugged_for_a_moment_is_cleaned_when_it_is_back(desk, hurried, step):
    desk.phone.trouble({"when": step, "what": "unplug", "back_after": 2})
    code, _, error = desk.bench()
    assert code == 2 and "error[bench/phone-" in error
    assert desk.phone.left() == []
    desk.no_run()


@pytest.mark.parametrize("step", ["push .*benchmark_model", "--graph=", "--enable_op", "rm -rf"])
def test_phone_unplugged_for_good_says_what_is_left_and_where(desk, hurried, step):
    desk.phone.trouble({"when": step, "what": "unplug"})
    code, _, error = desk.bench()
    assert code == 2 and error.startswith("error[bench/phone-not-clean]"), error
    (folder,) = [name for name in desk.phone.left() if "/" not in name]
    assert f"FAKE01:/data/local/tmp/{folder}" in error
    assert f"adb -s FAKE01 shell rm -rf /data/local/tmp/{folder}" in error
    desk.no_run()


def test_answer_that_breaks_off_is_no_result(desk):
    desk.phone.trouble({"when": "--graph=", "what": "break"})
    assert "broke off" in desk.failed("bench/phone-gone")


def test_hanging_phone_ends_at_the_timeout_and_is_cleaned(desk):
    (desk.phone.state / "sleep").touch()
    started = time.monotonic()
    assert "took more than 1 s" in desk.failed("bench/phone-timeout", "--timeout", 1)
    assert time.monotonic() - started < 60
    assert not _alive(desk.phone)


def _alive(phone: FakePhone) -> bool:
    pid = int((phone.state / "running-pid").read_text())
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_cancelled_run_ends_the_tool_and_cleans_phone_and_directory(desk, number):
    (desk.phone.state / "sleep").touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "toolkit", *desk.words()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        # What a parent ignores (nohup: SIGHUP) its children ignore, and so does the command then, on purpose.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not (desk.phone.state / "running-pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _alive(desk.phone)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 2 and "error[run/interrupted]" in error, error
    assert not _alive(desk.phone)
    assert desk.phone.left() == []
    desk.no_run()


def test_without_the_cleaning_the_phone_is_not_clean(desk, monkeypatch):
    """Twin: what the tests above see is the workspace's doing."""
    monkeypatch.setattr(workspace.Workspace, "_clean", lambda self: "")
    desk.outputs("", "", code=1)
    assert desk.bench()[0] == 2
    assert [name for name in desk.phone.left() if name.endswith("/benchmark_model")]
