"""Files really executed on LiteRT's GPU accelerator: right results, and the wrong ones the tables warn of."""

from __future__ import annotations

import numpy as np
import pytest

from tests.toolkit.delegates.small_graphs import convert, weights
from toolkit.cli.app import outcome
from toolkit.delegates import software_gpu, software_gpu_probe
from toolkit.delegates.place import place
from toolkit.delegates.software_gpu import execute_on_gpu
from toolkit.errors import DelegateError

needs_gpu = pytest.mark.skipif(
    software_gpu.software_driver() is None,
    reason="no software Vulkan driver or no loader for it (Debian: chromium-common and libvulkan1)",
)


def tf():
    from converters import frameworks

    return frameworks.tensorflow()


def _transposed(length):
    def function(x):
        return tf().nn.conv2d_transpose(x, weights(1, 5, 8, 8), [1, 1, 3 * length, 8], [1, 1, 3, 1], "SAME")

    return function, (1, 1, length, 8)


def _chain(x):
    return tf().tanh(tf().nn.conv2d(tf().nn.leaky_relu(x), weights(1, 3, 8, 8), 1, "SAME") + x)


RIGHT = {
    "chain": (_chain, (1, 1, 16, 8)),
    "product": (lambda x: x * 2.0 + 1.0, (1, 4, 8, 8)),
    "transposed SAME whose padding agrees": _transposed(8),
}
WRONG = {
    "transposed SAME": _transposed(7),
    "broadcast product of matrices": (lambda x: tf().matmul(x, weights(1, 1, 8, 8) + 0 * x[:, :1]), (1, 4, 8, 8)),
}


def _file(tmp_path, case):
    function, shape = case
    path = tmp_path / "model.tflite"
    path.write_bytes(convert(function, shape))
    return path


@needs_gpu
@pytest.mark.parametrize("name", RIGHT)
def test_accepted_files_give_what_the_reference_kernels_give(name, tmp_path):
    path = _file(tmp_path, RIGHT[name])
    found = execute_on_gpu(path)
    assert found.accepted and found.snr_db and min(found.snr_db.values()) > 90
    placed = place(path.read_bytes(), "p", "gpu_litert")
    assert placed.fully_delegated and not placed.wrong_results


@needs_gpu
@pytest.mark.parametrize("name", WRONG)
def test_silent_wrong_results_are_measured_and_are_those_the_tables_warn_of(name, tmp_path):
    path = _file(tmp_path, WRONG[name])
    found = execute_on_gpu(path)
    assert found.accepted and min(found.snr_db.values()) < 20
    assert place(path.read_bytes(), "p", "gpu_litert").wrong_results


@needs_gpu
def test_a_refused_file_says_why_and_has_no_numbers(tmp_path):
    found = execute_on_gpu(_file(tmp_path, (lambda x: tf().nn.log_softmax(x), (1, 4, 8, 8))))
    assert not found.accepted and found.reason and found.snr_db == {}


@needs_gpu
def test_a_file_that_is_none_is_one_error(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(np.arange(64, dtype=np.uint8).tobytes())
    with pytest.raises(DelegateError) as caught:
        execute_on_gpu(path)
    assert caught.value.code == "delegate/software-gpu-failed"


def test_without_a_driver_it_is_one_error(tmp_path, monkeypatch):
    monkeypatch.setattr(software_gpu, "_DRIVERS", (tmp_path / "none.json",))
    with pytest.raises(DelegateError) as caught:
        execute_on_gpu(tmp_path / "model.tflite")
    assert caught.value.code == "delegate/no-software-gpu" and "libvulkan1" in caught.value.hint


@needs_gpu
def test_inspect_shows_it_with_its_label(tmp_path, capsys):
    assert outcome(["inspect", str(_file(tmp_path, RIGHT["product"])), "--delegate", "gpu", "--execute"]) == 0
    printed = capsys.readouterr().out
    assert f"{software_gpu.LABEL}: accepted whole" in printed and "dB against the reference kernels" in printed


def test_execution_is_of_the_gpu_only(tmp_path, capsys):
    assert outcome(["inspect", str(tmp_path / "m.tflite"), "--delegate", "nnapi", "--execute"]) == 2
    assert "--execute goes with --delegate gpu" in capsys.readouterr().err


def _waited(monkeypatch, used: list[float]) -> int:
    """How often a wait looks, of a process that has used so many seconds of processor at each look."""
    looks = iter(used)
    monkeypatch.setattr(software_gpu_probe.time, "process_time", lambda: next(looks))
    pauses: list[float] = []
    software_gpu_probe.wait_until_idle(checks=2, seconds=1.0, pause=pauses.append)
    return len(pauses)


def test_results_are_waited_for_until_the_process_computes_no_more(monkeypatch):
    assert _waited(monkeypatch, [5.0, 5.0, 5.0]) == 2
    assert _waited(monkeypatch, [5.0, 6.0, 6.0, 8.0, 8.01, 8.02]) == 5  # one quiet look between two busy ones


@needs_gpu
def test_a_large_file_is_given_its_time_and_a_small_one_is_not(tmp_path, monkeypatch):
    path = _file(tmp_path, RIGHT["product"])
    written = []
    keep = software_gpu._written
    monkeypatch.setattr(software_gpu, "_written", lambda job, **size: written.append(size) or keep(job, **size))
    execute_on_gpu(path)
    monkeypatch.setattr(software_gpu, "_LARGE_MULTIPLY_ADDS", -1)
    found = execute_on_gpu(path)
    assert written == [{"large": False}, {"large": True}] and found.accepted and min(found.snr_db.values()) > 90
