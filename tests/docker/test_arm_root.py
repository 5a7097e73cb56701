"""The script behind the ARM kernels: what it asks for is in the lock, and it leaves alone what is there."""

import subprocess
import sys
from pathlib import Path

import pytest
from lock_subset import blocks

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docker/arm_root.sh"


def run(*arguments):
    return subprocess.run(["sh", str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, check=False)


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("kept")
    done = run(sys.executable, tmp_path)
    assert done.returncode == 2 and "is there already" in done.stderr and "hint:" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_another_python_is_refused_before_anything_is_fetched(tmp_path):
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    done = run(other, tmp_path / "arm/root")
    assert done.returncode == 2 and "no Python 3.11" in done.stderr and not (tmp_path / "arm").exists()


@pytest.mark.parametrize("name", ["ai-edge-litert", "numpy"])
def test_wheels_for_arm_are_those_of_the_lock(name):
    assert f"{name}\\n" in SCRIPT.read_text(encoding="utf-8")
    assert len(blocks((ROOT / "requirements.lock").read_text(encoding="utf-8"))[name].split("--hash=")) > 5
