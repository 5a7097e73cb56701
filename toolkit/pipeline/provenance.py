"""Which tools, which host, which commit: everything that explains a result, gathered without side effects."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import toolkit
from toolkit.results import Environment, Host

TOOLS = (
    "torch", "onnx", "onnxscript", "onnxslim", "onnxruntime", "onnx2tf", "tensorflow", "tf_keras",
    "tensorflow-model-optimization", "ai-edge-litert", "numpy",
)
_ROOT = Path(toolkit.__file__).resolve().parents[1]


def tool_versions() -> dict[str, str]:
    """Versions of everything that decides the bytes of a conversion."""
    versions = {"toolkit": toolkit.__version__, "python": platform.python_version()}
    for name in TOOLS:
        try:
            versions[name] = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def lock_sha256() -> str | None:
    """Digest of the lock the checkout carries; None in an installation without it."""
    from toolkit.pipeline.run_directory import file_sha256

    lock = _ROOT / "requirements.lock"
    return file_sha256(lock) if lock.is_file() else None


def environment(delegate: str, delegate_version: str) -> Environment:
    """The host and the tools of this run."""
    return Environment(
        host=Host(
            cpu=_cpu_name(),
            logical_cores=os.cpu_count() or 1,
            memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            os=f"{platform.system()} {platform.release()}",
            governor=_governor(),
        ),
        delegate=delegate,
        delegate_version=delegate_version,
        tools=tool_versions(),
        lock_sha256=lock_sha256(),
    )


def commit() -> tuple[str | None, bool | None]:
    """Commit of the checkout and whether it has uncommitted changes; None outside a git checkout."""
    if not (_ROOT / ".git").exists():
        return None, None
    try:
        head = _git("rev-parse", "HEAD").strip()
        return head, bool(_git("status", "--porcelain", "--untracked-files=no").strip())
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=_ROOT, check=True, capture_output=True, text=True).stdout


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _governor() -> str | None:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None
