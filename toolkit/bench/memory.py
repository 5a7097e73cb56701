"""Peak memory of a part, measured in a process that does nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from toolkit.errors import BenchError
from toolkit.results import Memory

_TIMEOUT_SECONDS = 600


def peak_memory(model: Path, part: str, variant: str, *, threads: int = 2, runs: int = 2) -> Memory:
    """Loads and runs a file in a fresh process and reads its peak resident memory.

    Args:
        model: the file.
        part: name of the part.
        variant: ``float32`` or ``result``.
        threads: thread count.
        runs: invocations after loading.

    Raises:
        BenchError: the process failed, or this system does not report peak memory.
    """
    found = in_child("toolkit.bench.memory_probe", model, threads, runs)
    return Memory(
        part=part,
        variant=variant,
        threads=threads,
        peak_rss_bytes=found["peak_bytes"],
        over_runtime_bytes=max(0, found["peak_bytes"] - found["runtime_bytes"]),
        how="peak resident memory (VmHWM) of a fresh process; the runtime's own share is measured before loading",
    )


def in_child(module: str, path: Path, *numbers: int) -> dict[str, int]:
    """Runs a probe in a fresh process and reads the JSON it prints last.

    Args:
        module: the probe.
        path: what it measures.
        numbers: its other arguments.

    Raises:
        BenchError: the process failed, or this system does not report peak memory.
    """
    command = [sys.executable, "-m", module, str(path.resolve()), *map(str, numbers)]
    root = str(Path(__file__).resolve().parents[2])
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, cwd=root, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        last = str(error.stderr or "").strip().splitlines()[-1:] or [str(error)]
        raise BenchError(f"the memory probe failed: {last[0]}", code="bench/memory", where=str(path)) from error
    return json.loads(done.stdout.strip().splitlines()[-1])
