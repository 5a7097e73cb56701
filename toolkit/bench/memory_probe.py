"""Child process of `toolkit.bench.memory`: loads a .tflite file, runs it, writes its peak memory as JSON."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path


def high_water_bytes() -> int:
    """Peak resident memory of this process so far (the kernel resets it when a program starts)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not report VmHWM")


def main(arguments: list[str]) -> None:
    """Arguments: file, threads, runs."""
    import_module("ai_edge_litert.interpreter")  # loaded first, so that the runtime is not charged to the model

    from toolkit.bench.session import Session

    path, threads, runs = Path(arguments[0]).absolute(), int(arguments[1]), int(arguments[2])
    before = high_water_bytes()
    session = Session(path, threads)
    for _run in range(runs):
        session.invoke_ms()
    sys.stdout.write(json.dumps({"runtime_bytes": before, "peak_bytes": high_water_bytes()}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
