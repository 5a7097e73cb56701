"""XNNPACK's ARM kernels, which phones run, executed under emulation and held against the reference kernels here.

Every run is a process of its own, so that a file or an emulator that crashes ends in an error. Values are exact
evidence; times under emulation mean nothing, and none are taken. XNNPACK rounds otherwise than the reference kernels
do: in 8 bits one step leads to another, and on inputs unlike real ones the two may end far apart. So the same file runs
on this machine's XNNPACK as well, whose rounding ARM's shares.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.parity import TensorParity, compare_tensor
from toolkit.delegates.arm_probe import DELEGATED, MACHINE, TENSOR
from toolkit.delegates.arm_root import DEFAULT_CPU, ArmRoot
from toolkit.delegates.last_words import last_words
from toolkit.errors import DelegateError

LABEL = "ARM kernels under emulation: correctness only, no latency"
_PROBE = Path(__file__).with_name("arm_probe.py")
_TIMEOUT_SECONDS = 1800.0
_RIGHT_DB, _WRONG_DB = 60.0, 40.0
_ARM = ("aarch64", "arm64")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmOutput:
    """One output of the ARM kernels.

    Attributes:
        against_reference: agreement with the reference kernels of this machine.
        against_host: agreement with XNNPACK on this machine.
        host_against_reference: agreement of those two with each other.
        integer: the output holds whole numbers, which may differ by one: that is rounding.
    """

    against_reference: TensorParity
    against_host: TensorParity
    host_against_reference: TensorParity
    integer: bool

    @property
    def judgement(self) -> str:
        """``right``, ``inexact`` or ``wrong``: by the better of the two agreements, from 60 dB and below 40."""
        pair = (self.against_reference, self.against_host)
        if self.integer and min(each.max_abs for each in pair) <= 1.0:
            return "right"
        best = max(each.snr_db for each in pair)
        return "right" if best >= _RIGHT_DB else "wrong" if best < _WRONG_DB else "inexact"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRun:
    """What became of a file.

    Attributes:
        cpu: the core that was emulated.
        delegated: pieces of the graph that XNNPACK took; with none, TFLite's own ARM kernels ran.
        outputs: by name.
    """

    cpu: str
    delegated: int
    outputs: dict[str, ArmOutput]

    @property
    def judgement(self) -> str:
        """The worst of the outputs'."""
        found = {output.judgement for output in self.outputs.values()}
        return next(word for word in ("wrong", "inexact", "right") if word in found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    outputs: dict[str, np.ndarray]
    delegated: int
    machine: str


def execute_on_arm(
    model: Path,
    inputs: Mapping[str, np.ndarray],
    root: ArmRoot,
    *,
    cpu: str = DEFAULT_CPU,
    timeout_seconds: float = _TIMEOUT_SECONDS,
) -> ArmRun:
    """Runs a file's first graph on ARM, and here twice, on the same inputs.

    Args:
        model: a ``.tflite`` file.
        inputs: by the names of its first signature (of its tensors where it has none), in their types and shapes.
        root: where the ARM Python lies.
        cpu: which core of `arm_root.CPUS` is emulated.
        timeout_seconds: each of the three runs may take this long.

    Raises:
        DelegateError: a run ended without an answer, or took too long, or its answer is not the file's.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        named = {TENSOR + name: array for name, array in inputs.items()}
        np.savez(folder / "inputs.npz", **named)  # type: ignore[arg-type]
        prefix = folder / "root"
        prefix.mkdir()

        def run(what: str, kernels: str, arm: bool) -> _Answer:
            outputs = folder / f"{what.replace(' ', '-')}.npz"
            arguments = [str(_PROBE), str(model.absolute()), str(folder / "inputs.npz"), str(outputs), kernels]
            command = root.command(prefix, cpu, arguments) if arm else [sys.executable, *arguments]
            return _answer(command, outputs, what, model, folder, timeout_seconds)

        reference = run("the reference kernels", "reference", False)
        host = run("XNNPACK here", "xnnpack", False)
        found = run(f"the ARM kernels on {cpu}", "xnnpack", True)
    if found.machine not in _ARM:
        raise _failed(f"what ran as ARM calls itself {found.machine}", model, "make the folder again")
    _check_same(reference, host, model)
    _check_same(reference, found, model)
    return ArmRun(
        cpu=cpu,
        delegated=found.delegated,
        outputs={
            name: ArmOutput(
                against_reference=compare_tensor(wanted, found.outputs[name]),
                against_host=compare_tensor(host.outputs[name], found.outputs[name]),
                host_against_reference=compare_tensor(wanted, host.outputs[name]),
                integer=not np.issubdtype(wanted.dtype, np.floating),
            )
            for name, wanted in reference.outputs.items()
        },
    )


def _answer(command: Sequence[str], outputs: Path, what: str, model: Path, folder: Path, seconds: float) -> _Answer:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LD_", "QEMU_"))}
    with (folder / "said").open("w+b") as said:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise _failed(f"{what} gave no answer in {seconds:.0f} s", model, "a smaller file takes less") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        said.seek(0)
        words = last_words(said.read().decode("utf-8", "replace"))
    if code != 0 or not outputs.exists():
        ended = f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
        raise _failed(f"{what} {ended}: {words}", model, "toolkit inspect shows what is in the file")
    try:
        with np.load(outputs, allow_pickle=False) as stored:
            arrays = {name.removeprefix(TENSOR): stored[name] for name in stored.files if name.startswith(TENSOR)}
            delegated, machine = int(stored[DELEGATED]), str(stored[MACHINE])
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise _failed(f"{what} gave an answer that cannot be read: {error}", model, "make the folder again") from error
    return _Answer(outputs=arrays, delegated=delegated, machine=machine)


def _check_same(reference: _Answer, other: _Answer, model: Path) -> None:
    """The same outputs in the same shapes, or nothing can be compared."""
    wanted = {name: (array.shape, str(array.dtype)) for name, array in reference.outputs.items()}
    found = {name: (array.shape, str(array.dtype)) for name, array in other.outputs.items()}
    if wanted != found or not wanted:
        raise _failed(f"two runs gave different outputs: {wanted} and {found}", model, "make the folder again")


def _failed(message: str, model: Path, hint: str) -> DelegateError:
    return DelegateError(message, code="delegate/arm-failed", where=str(model), hint=hint)
