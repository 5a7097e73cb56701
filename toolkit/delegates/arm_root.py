"""Where an ARM Python with LiteRT lies, and how a program of it is run here: qemu's user emulation."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from toolkit.cache_folder import cache_folder
from toolkit.errors import DelegateError

ROOT_VARIABLE: Final = "TOOLKIT_ARM_ROOT"
_EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
_LOADER, _PYTHON = Path("lib/ld-linux-aarch64.so.1"), Path("usr/bin/python3.11")
_PACKAGES = Path("opt/litert")
_NEEDED = (_LOADER, _PYTHON, _PACKAGES / "ai_edge_litert", _PACKAGES / "numpy")
_BASE = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCpu:
    """A core that is emulated.

    Attributes:
        part: its number in ``/proc/cpuinfo``, by which XNNPACK knows it.
        features: what it has beside Armv8.0, as Linux names it; XNNPACK chooses its kernels by that.
    """

    part: str
    features: str = ""


CPUS: Final[dict[str, ArmCpu]] = {
    "cortex-a53": ArmCpu(part="0xd03"),
    "cortex-a76": ArmCpu(part="0xd0b", features="atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"),
}
"""Cores by qemu's name: one without and one with dot products and float16 arithmetic, on which phones divide."""
DEFAULT_CPU: Final = "cortex-a76"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRoot:
    """An ARM Python and the program that runs it.

    Attributes:
        folder: what `docker/arm_root.sh` made.
        emulator: qemu's user emulation.
    """

    folder: Path
    emulator: Path

    def command(self, prefix: Path, cpu: str, arguments: Sequence[str]) -> list[str]:
        """The command that runs the ARM Python with ``arguments``, on a core of `CPUS`.

        Args:
            prefix: an empty folder. It becomes what the program takes for the root of the system: the links to this
                one, and descriptions of the core in place of this machine's, which LiteRT would read and fall over.
            cpu: which core.
            arguments: of Python.
        """
        for name in ("lib", "usr", "opt"):
            (prefix / name).symlink_to(self.folder / name)
        described = [_described(number, CPUS[cpu]) for number in range(2)]
        _write(prefix / "proc/cpuinfo", "\n".join(described))
        for name in ("possible", "present", "online"):
            _write(prefix / "sys/devices/system/cpu" / name, "0-1\n")
        settings = {
            "PYTHONHOME": self.folder / "usr",
            "PYTHONPATH": self.folder / _PACKAGES,
            "PYTHONDONTWRITEBYTECODE": 1,
        }
        handed = [word for name, value in settings.items() for word in ("-E", f"{name}={value}")]
        return [str(self.emulator), "-cpu", cpu, "-L", str(prefix), *handed, str(self.folder / _PYTHON), *arguments]


def _described(number: int, cpu: ArmCpu) -> str:
    return (
        f"processor\t: {number}\nBogoMIPS\t: 38.40\nFeatures\t: {' '.join(f'{_BASE} {cpu.features}'.split())}\n"
        f"CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {cpu.part}\nCPU revision\t: 1\n"
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


def default_folder() -> Path:
    """Where it is looked for when no folder is named."""
    named = os.environ.get(ROOT_VARIABLE)
    if named:
        return Path(named)
    return cache_folder("arm")


def install_command(folder: Path) -> str:
    """The command that makes it, on Debian, from a checkout of this project."""
    return f"docker/arm_root.sh .venv/bin/python {folder}"


def find_arm_root(folder: Path | None = None) -> ArmRoot:
    """The ARM Python in a folder.

    Args:
        folder: made by `docker/arm_root.sh`; the default one when ``None``.

    Raises:
        DelegateError: something of it is missing, or there is no emulator.
    """
    folder = (folder or default_folder()).absolute()
    missing = next((name for name in _NEEDED if not (folder / name).exists()), None)
    if missing is not None:
        raise DelegateError(
            f"no ARM Python with LiteRT: {missing} is not there",
            code="delegate/no-arm-root",
            where=str(folder),
            hint=install_command(folder),
        )
    own = [folder / "bin" / name for name in _EMULATORS]
    found = [Path(path) for name in _EMULATORS if (path := shutil.which(name))]
    emulator = next((path for path in (*own, *found) if os.access(path, os.X_OK)), None)
    if emulator is None:
        raise DelegateError(
            "no qemu user emulation of 64-bit ARM",
            code="delegate/no-arm-root",
            where=f"{folder / 'bin'} and PATH",
            hint=f"apt-get install qemu-user-static, or {install_command(folder)}",
        )
    return ArmRoot(folder=folder, emulator=emulator)
