"""LiteRT's ahead-of-time compiler for Qualcomm NPUs, with QNN libraries the user installed; none are distributed here.

The compiler and its Qualcomm plugin are part of ai-edge-litert; the plugin loads ``libQnnHtp.so`` and its fellows from
the dynamic loader's path. It prints which operators it selects, in how many partitions, and which QNN refused.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import DelegateError

LIBRARIES_VARIABLE = "QNN_LIBRARIES"
"""Environment variable that names the folder with ``libQnnHtp.so``."""
_LIBRARY = "libQnnHtp.so"
_UNUSED, _STANDS_IN = "libQnnLpai.so", "libQnnSystem.so"
"""The plugin is linked with a library for another accelerator, which not every installation has; any that loads will do
for its name, for nothing in it is called for an HTP (measured: the same answer as with an empty library)."""
NOT_INSTALLED = f"no QNN libraries ({_LIBRARY}) are installed"
_TIMEOUT_SECONDS = 1200.0
_SELECTED = re.compile(
    r"Partitioned subgraph<(\d+)>, selected (\d+) ops, from a total of (\d+) ops\. ?resulted in (\d+) partitions"
)
_REFUSED = re.compile(r"LiteRT Op #(\d+) '([^']+)' \(code=\d+\) is not supported")
_INVALID = re.compile(r"QNN op validation failed: '([^']+)' \(type=([^)]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What the compiler made of a file.

    Attributes:
        soc: the chip it compiled for, e.g. ``SM7550``.
        selected: operators the NPU takes.
        total: operators of the file.
        partitions: pieces the NPU's operators fall into.
        refused: number and kind of the operators the plugin does not take.
        invalid: QNN's own words for operators its validation refuses: name and type.
    """

    soc: str
    selected: int
    total: int
    partitions: int
    refused: tuple[tuple[int, str], ...]
    invalid: tuple[tuple[str, str], ...]

    @property
    def ratio(self) -> float:
        """Share of the operators that the NPU takes."""
        return self.selected / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QnnInstallation:
    """Where the compiler and the user's libraries are."""

    compiler: Path
    plugins: Path
    libraries: Path


def find_qnn() -> QnnInstallation | None:
    """The compiler with the user's QNN libraries; None where the libraries (or the compiler) are not installed.

    Libraries are looked for in ``QNN_LIBRARIES`` and in an installed onnxruntime-qnn, old or new (2.7 has a package of
    its own).
    """
    litert = _package("ai_edge_litert")
    folders = [Path(os.environ[LIBRARIES_VARIABLE])] if os.environ.get(LIBRARIES_VARIABLE) else []
    own, runtime = _package("onnxruntime_qnn"), _package("onnxruntime")
    folders += [own] if own else []
    folders += [runtime / "capi"] if runtime else []
    libraries = next((folder for folder in folders if (folder / _LIBRARY).is_file()), None)
    if litert is None or libraries is None:
        return None
    compiler, plugins = litert / "tools" / "apply_plugin_main", litert / "vendors" / "qualcomm" / "compiler"
    return QnnInstallation(compiler=compiler, plugins=plugins, libraries=libraries) if compiler.is_file() else None


def _package(name: str) -> Path | None:
    found = importlib.util.find_spec(name)
    return Path(found.origin).parent if found is not None and found.origin else None


def compile_for_npu(
    model: Path, *, soc: str = "SM7550", installation: QnnInstallation | None = None, whole: bool = True
) -> Compiled:
    """Compiles a file for a chip and reads what the compiler says; the compiled file itself is thrown away.

    Args:
        model: the file.
        soc: the chip.
        installation: the compiler and the user's libraries; those of `find_qnn` when left out.
        whole: without it QNN validates every operator and partitions are made, but not compiled: seconds where a
            full-size vocoder takes more than ten minutes.

    Raises:
        DelegateError: no QNN libraries are installed, or the compiler ended without its summary.
    """
    installation = installation or find_qnn()
    if installation is None:
        raise DelegateError(
            NOT_INSTALLED,
            code="delegate/no-qnn",
            where="Qualcomm's NPU compiler",
            hint=f"install QNN yourself and name its folder in {LIBRARIES_VARIABLE}; the static placement needs none",
        )
    with tempfile.TemporaryDirectory() as folder:
        places = [str(installation.libraries), str(installation.plugins), os.environ.get("LD_LIBRARY_PATH", "")]
        path = os.pathsep.join([*filter(None, places), str(_stand_in(installation, Path(folder) / "unused"))])
        command = [
            str(installation.compiler),
            "--cmd=apply" if whole else "--cmd=partition",
            f"--model={model}",
            f"--o={Path(folder) / 'compiled.tflite'}",
            "--soc_manufacturer=Qualcomm",
            f"--soc_model={soc}",
            f"--libs={installation.plugins}",
        ]
        try:
            done = subprocess.run(
                command,
                env={**os.environ, "LD_LIBRARY_PATH": path},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _failed(model, str(error)) from error
    return read_output(done.stdout + done.stderr, model, soc)


def _stand_in(installation: QnnInstallation, folder: Path) -> Path:
    """A folder, last on the loader's path, in which the unused library's name is there."""
    folder.mkdir()
    (folder / _UNUSED).symlink_to(installation.libraries / _STANDS_IN)
    return folder


def read_output(text: str, model: Path, soc: str) -> Compiled:
    """Reads the compiler's words.

    Raises:
        DelegateError: its summary is missing.
    """
    found = _SELECTED.findall(text)
    if not found:
        last = (text.strip().splitlines() or ["no word"])[-1]
        raise _failed(model, f"no summary; last: {last[-300:]}")
    sums = [sum(int(row[column]) for row in found) for column in (1, 2, 3)]
    return Compiled(
        soc=soc,
        selected=sums[0],
        total=sums[1],
        partitions=sums[2],
        refused=tuple(dict.fromkeys((int(number), kind) for number, kind in _REFUSED.findall(text))),
        invalid=tuple(dict.fromkeys(_INVALID.findall(text))),
    )


def _failed(model: Path, what: str) -> DelegateError:
    return DelegateError(
        f"Qualcomm's compiler: {what}",
        code="delegate/qnn-compiler-failed",
        where=str(model),
        hint="run it by hand to see more: ai_edge_litert/tools/apply_plugin_main --cmd=apply …",
    )
