"""A conversion that is stopped in the middle leaves nothing, and the earlier run as it was."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONVERT = (
    *(sys.executable, "-m", "toolkit", "convert", "tests.end_to_end.small_models:convolutions", "--quiet"),
    *("--input", "x:1x4x24"),
)
DEADLINE_SECONDS = 240


def heeding_interrupts():
    """What runs in the background of a shell ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_leaves_the_earlier_run_alone(tmp_path, number):
    out = tmp_path / "run"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    process = subprocess.Popen(
        [*CONVERT, "--out", str(out)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, preexec_fn=heeding_interrupts,
    )  # fmt: skip
    end = time.monotonic() + DEADLINE_SECONDS
    while not list(tmp_path.glob(".run.*.partial")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 2, said
    assert "error[run/interrupted]" in said
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert {path.name for path in out.iterdir()} == {"manifest.json"}
