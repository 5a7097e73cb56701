"""A folder like that of ``docker/arm_root.sh`` whose emulator is a script: this machine's LiteRT, or a fault."""

from __future__ import annotations

import sys
from pathlib import Path

_SCRIPT = """#!{python}
import os, runpy, signal, sys, time
mode = "{mode}"
at = next(i for i, word in enumerate(sys.argv) if word.endswith("arm_probe.py"))
prefix, outputs = sys.argv[sys.argv.index("-L") + 1], sys.argv[at + 3]
assert "CPU part" in open(prefix + "/proc/cpuinfo").read()
if mode == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
if mode == "hang":
    time.sleep(60)
if mode == "refuse":
    sys.exit("RuntimeError: Encountered unresolved custom op")
if mode in ("garbage", "empty"):
    open(outputs, "wb").write(b"no archive" if mode == "garbage" else b"")
if mode in ("right", "spoilt", "renamed", "foreign", "unlabelled"):
    if mode != "foreign":
        real = os.uname()
        os.uname = lambda: type(real)((*real[:4], "aarch64"))
    sys.argv = sys.argv[at:]
    runpy.run_path(sys.argv[0], run_name="__main__")
if mode in ("spoilt", "renamed", "unlabelled"):
    import numpy as np
    stored = dict(np.load(outputs))
    name = next(key for key in stored if key.startswith("tensor:"))
    if mode == "spoilt":
        stored[name] = stored[name] + np.float32(0.1) * np.abs(stored[name]).max()
    elif mode == "renamed":
        stored["tensor:another"] = stored.pop(name)
    else:
        del stored["delegated"]
    np.savez(outputs, **stored)
"""


def fake_root(folder: Path, mode: str) -> Path:
    """The folder; ``mode`` is what its emulator does."""
    for name in ("lib", "usr/bin", "bin", "opt/litert/ai_edge_litert", "opt/litert/numpy"):
        (folder / name).mkdir(parents=True)
    for name in ("lib/ld-linux-aarch64.so.1", "usr/bin/python3.11"):
        (folder / name).touch()
    emulator = folder / "bin/qemu-aarch64-static"
    emulator.write_text(_SCRIPT.format(python=sys.executable, mode=mode), encoding="utf-8")
    emulator.chmod(0o755)
    return folder
