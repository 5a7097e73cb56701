"""LiteRT's GPU accelerator (ML Drift on WebGPU), executed on a software Vulkan device, against the reference kernels.

It runs in a process of its own: a driver that crashes must not take the toolkit with it. Numbers are exact evidence of
placement and of results in float32; times on a software GPU mean nothing, and none are taken.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.errors import DelegateError

LABEL = "executed on a software GPU (SwiftShader), no latency"
_DRIVERS = (
    Path("/usr/lib/chromium/vk_swiftshader_icd.json"),  # Debian: chromium-common
    Path("/usr/share/vulkan/icd.d/vk_swiftshader_icd.json"),
)
_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """What became of a file on the GPU accelerator.

    Attributes:
        accepted: whether the accelerator took every operator.
        reason: its last words when it did not.
        snr_db: output to signal-to-noise ratio against the reference kernels; empty when not accepted.
    """

    accepted: bool
    reason: str
    snr_db: dict[str, float]


def software_driver() -> Path | None:
    """The Vulkan driver to run on, or ``None`` where it or the loader for it is not installed."""
    if find_library("vulkan") is None:
        return None
    return next((path for path in _DRIVERS if path.exists()), None)


def execute_on_gpu(model: Path, *, signature: str = "", seed: int = 0) -> Executed:
    """Runs a file on the accelerator and on the reference kernels, with the same seeded inputs.

    Args:
        model: a ``.tflite`` file.
        signature: which of its graphs; the first when empty.
        seed: of the inputs: normal numbers for floats, ones for masks, 0 and 1 for integers (ids that always exist).

    Raises:
        DelegateError: no software GPU is installed, or its process ended without an answer.
    """
    driver = software_driver()
    if driver is None:
        raise DelegateError(
            "no software Vulkan driver, or no loader for it",
            code="delegate/no-software-gpu",
            where="LiteRT's GPU accelerator",
            hint="Debian: apt-get install chromium-common libvulkan1",
        )
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "VK_ICD_FILENAMES": str(driver), "XDG_RUNTIME_DIR": folder}
        answer = Path(folder) / "answer.npz"
        probe = [sys.executable, "-m", "toolkit.delegates.software_gpu_probe"]
        try:
            done = subprocess.run(
                [*probe, str(model), str(answer), signature, str(seed)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _no_answer(model, f"no answer in {_TIMEOUT_SECONDS:.0f} s") from error
        if not answer.is_file():
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            raise _no_answer(model, f"it ended with code {done.returncode}: {last[-300:]}")
        with np.load(answer) as found:
            arrays = dict(found)
    reason = str(arrays.pop("reason"))
    return Executed(accepted=not reason, reason=reason, snr_db={name: float(value) for name, value in arrays.items()})


def _no_answer(model: Path, what: str) -> DelegateError:
    return DelegateError(
        f"the process with the GPU accelerator: {what}",
        code="delegate/software-gpu-failed",
        where=str(model),
        hint="the static placement needs no GPU: toolkit inspect FILE --delegate gpu",
    )
