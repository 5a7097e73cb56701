"""LiteRT's GPU accelerator (ML Drift on WebGPU), executed on a software Vulkan device, against the reference kernels.

It runs in a process of its own: a driver that crashes must not take the toolkit with it. Numbers are exact evidence of
placement and of results in float32; times on a software GPU mean nothing, and none are taken.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from ctypes.util import find_library
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from converters.errors import InputError
from converters.tflite_graph.read import read_tflite
from toolkit.delegates.last_words import last_words
from toolkit.errors import DelegateError

LABEL = "executed on a software GPU (SwiftShader), no latency"
_DRIVERS = (
    Path("/usr/lib/chromium/vk_swiftshader_icd.json"),  # Debian: chromium-common
    Path("/usr/share/vulkan/icd.d/vk_swiftshader_icd.json"),
)
_TIMEOUT_SECONDS = 600.0
_USUAL_MULTIPLY_ADDS_PER_SECOND = 20e6
"""Of both together: a vocoder of 39 billion took 32 minutes of two server cores."""
_SLOWEST_MULTIPLY_ADDS_PER_SECOND = 10e6
"""Of a software GPU and the reference kernels together, on a crowded machine."""
_LARGE_MULTIPLY_ADDS = 1_000_000_000
"""From here on the accelerator is given all the time it wants before its outputs are read."""
_LOOKED_AT_EVERY_SECONDS = 1.0
_WRONG_BELOW_DB = 40.0
_INEXACT_BELOW_DB = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuJob:
    """A file to run.

    Attributes:
        model: a ``.tflite`` file.
        signature: which of its graphs; the first when empty.
        seed: of the inputs: normal numbers for floats, ones for masks, 0 and 1 for integers (ids that always exist).
        ranges: by input, lowest and highest of uniform numbers instead.
        arrays: ``.npz`` of inputs to use instead of made ones.
        computed: whether it is run; otherwise the accelerator only takes or refuses its operators, in seconds.
    """

    model: Path
    signature: str = ""
    seed: int = 0
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    arrays: Path | None = None
    computed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputError:
    """One output against the reference kernels'.

    Attributes:
        snr_db: signal-to-noise ratio; infinite when equal.
        max_abs: largest difference, in steps where the output is an integer.
        peak: largest reference value.
        dtype: numpy's name of its type.
    """

    snr_db: float
    max_abs: float
    peak: float
    dtype: str

    @property
    def judgement(self) -> str:
        """``right``, ``inexact`` or ``wrong``.

        Floats are right from 60 dB and wrong below 40; between lie 8-bit weights and approximated functions. Integers
        may differ by one step, which is rounding.
        """
        if "float" not in self.dtype:
            return "right" if self.max_abs <= 1.0 else "wrong"
        if self.snr_db >= _INEXACT_BELOW_DB:
            return "right"
        return "wrong" if self.snr_db < _WRONG_BELOW_DB else "inexact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """What became of a file on the GPU accelerator.

    Attributes:
        accepted: whether the accelerator took every operator, and ran where it was asked to.
        reason: its last words when it did not.
        refused: kinds of refused operators, each with the accelerator's own words.
        gpu_ops: operators that run on the GPU when the CPU may take the rest.
        cpu_ops: operators that are left to the CPU then.
        outputs: by output, the error of the GPU alone; of GPU and CPU together where it refused some operators.
    """

    accepted: bool
    reason: str
    refused: tuple[tuple[str, str], ...]
    gpu_ops: int
    cpu_ops: int
    outputs: dict[str, OutputError]

    @property
    def snr_db(self) -> dict[str, float]:
        """Signal-to-noise ratio by output; empty when not accepted."""
        return {name: error.snr_db for name, error in self.outputs.items()} if self.accepted else {}

    @property
    def judgement(self) -> str:
        """The worst of the outputs'; empty when nothing ran on the GPU."""
        found = {error.judgement for error in self.outputs.values()}
        return next((word for word in ("wrong", "inexact", "right") if word in found), "")


def software_driver() -> Path | None:
    """The Vulkan driver to run on, or ``None`` where it or the loader for it is not installed."""
    if find_library("vulkan") is None:
        return None
    return next((path for path in _DRIVERS if path.exists()), None)


def execute_on_gpu(
    model: Path,
    *,
    signature: str = "",
    seed: int = 0,
    arrays: Path | None = None,
    timeout: float | None = None,
    computed: bool = True,
) -> Executed:
    """Runs a file on the accelerator and on the reference kernels, with the same inputs; see `execute_all`.

    Raises:
        DelegateError: no software GPU is installed, or its process ended without an answer, or the reference kernels
            cannot run the file.
    """
    job = GpuJob(model=model, signature=signature, seed=seed, arrays=arrays, computed=computed)
    found = execute_all([job], timeout=timeout)[0]
    if isinstance(found, str):
        raise DelegateError(
            f"it was not executed: {found}",
            code="delegate/software-gpu-failed",
            where=str(model),
            hint="the static placement needs no GPU: toolkit inspect FILE --delegate gpu",
        )
    return found


def execute_all(
    jobs: Sequence[GpuJob], *, timeout: float | None = None, told: Callable[[int], None] = lambda number: None
) -> list[Executed | str]:
    """Runs many files in one process; it is started again when one of them ends it.

    Args:
        jobs: the files.
        told: called with the number of each job, from 0, about when it begins.
        timeout: seconds without an answer after which a file counts as having ended the process; ten minutes and more
            for a file with much to compute, when left out.

    Returns:
        What became of each; a sentence in place of a file that gave no answer.

    Raises:
        DelegateError: no software GPU is installed.
    """
    driver = software_driver()
    if driver is None:
        raise DelegateError(
            "no software Vulkan driver, or no loader for it",
            code="delegate/no-software-gpu",
            where="LiteRT's GPU accelerator",
            hint="Debian: apt-get install chromium-common libvulkan1",
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = {path: multiply_adds(path) for path in {job.model for job in jobs if job.computed}}
        written = [_written(job, large=sizes.get(job.model, 0) > _LARGE_MULTIPLY_ADDS) for job in jobs]
        (folder / "jobs").write_text(json.dumps(written), encoding="utf-8")
        slowest = max(sizes.values(), default=0) / _SLOWEST_MULTIPLY_ADDS_PER_SECOND
        environment = {**os.environ, "VK_ICD_FILENAMES": str(driver), "XDG_RUNTIME_DIR": name}
        while any(not (folder / f"{number}.json").exists() for number in range(len(jobs))):
            ended = _process(folder, environment, timeout or _TIMEOUT_SECONDS + slowest, told)
            number = max(0, _current(folder))
            lost = folder / f"{number}.json"
            if not lost.exists():
                lost.write_text(json.dumps({"failed": ended}), encoding="utf-8")
        return [_read(folder / f"{number}.json") for number in range(len(jobs))]


def multiply_adds(model: Path) -> int:
    """Of a file's first graph; none of one that cannot be read, which is for the process to refuse."""
    try:
        graph = read_tflite(model)
    except InputError:
        return 0
    return sum(graph.multiply_adds(op) for op in graph.ops)


def expected_minutes(macs: int) -> int:
    """How long a graph of so many multiply-adds takes a software GPU and the reference kernels, roughly."""
    return math.ceil(macs / _USUAL_MULTIPLY_ADDS_PER_SECOND / 60)


def _written(job: GpuJob, *, large: bool) -> dict[str, Any]:
    return {
        "large": large,
        "computed": job.computed,
        "model": str(job.model),
        "signature": job.signature,
        "seed": job.seed,
        "ranges": {name: list(span) for name, span in job.ranges.items()},
        "arrays": str(job.arrays) if job.arrays else "",
    }


def _current(folder: Path) -> int:
    """The job that was begun last; -1 before the first, or while its number is being written."""
    current = folder / "current"
    number = current.read_text(encoding="utf-8") if current.exists() else ""
    return int(number) if number else -1


def _process(folder: Path, environment: dict[str, str], timeout: float, told: Callable[[int], None]) -> str:
    """Runs the process until it ends, or has been silent for too long; how it ended."""
    command = [sys.executable, "-m", "toolkit.delegates.software_gpu_probe", str(folder / "jobs"), str(folder)]
    with (folder / "errors").open("w+b") as errors:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            answered, begun, since = -1, -1, time.monotonic()
            while True:
                try:
                    code = process.wait(_LOOKED_AT_EVERY_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    before, answered = answered, len(list(folder.glob("*.json")))
                    if before != answered:
                        since = time.monotonic()
                    if time.monotonic() - since > timeout:
                        return f"no answer in {timeout:.0f} s"
                    before, begun = begun, _current(folder)
                    if begun > before:
                        told(begun)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        errors.seek(0)
        words = last_words(errors.read().decode("utf-8", "replace"))
    return f"it ended with code {code}: {words}"


def _read(path: Path) -> Executed | str:
    answer = json.loads(path.read_text(encoding="utf-8"))
    if "failed" in answer:
        return str(answer["failed"])
    mixed = answer["mixed"] if "failed" not in answer["mixed"] else {}
    rows = {name: OutputError(**row) for name, row in (answer["outputs"] or mixed).items()}
    return Executed(
        accepted=not answer["reason"],
        reason=str(answer["reason"] or answer["mixed"].get("failed", "")),
        refused=tuple((kind, words) for kind, words in answer["refused"]),
        gpu_ops=int(answer["gpu_ops"]),
        cpu_ops=int(answer["cpu_ops"]),
        outputs=rows,
    )
