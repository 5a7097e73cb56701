"""The same conversion inside an image and outside of it, and what differs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from buildah import Store, call

SMALL_VOICE = (
    "--random-voice",
    *("--set", "buckets.phonemes=[80]", "--set", "buckets.frames=[64]", "--set", "quality.utterances=0"),
    *("--set", "bench.runs=3", "--set", "bench.warmup=0", "--set", "bench.min_seconds=0", "--set", "bench.threads=[1]"),
)
"""A seeded voice of random weights, converted in about a minute."""

_COMPARED = ("bundle", "float32", "onnx")
_IMAGE_USER = 10001


def convert_inside(store: Store, image: str, arguments: Sequence[str], folder: Path) -> Path:
    """Converts in the image as its user, without a network, into ``folder``; returns the run's directory."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, _IMAGE_USER, _IMAGE_USER)
    command = ["toolkit", "convert", *arguments, "--quiet", "--out", "/work/runs/run"]
    store.run_offline(image, command, volumes=[f"{folder}:/work/runs:rw"], environment=_processor_settings())
    return folder / "run"


def convert_outside(python: str, checkout: Path, arguments: Sequence[str], folder: Path) -> Path:
    """Converts with this checkout's code and an installed environment; returns the run's directory."""
    folder.mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "PYTHONPATH": str(checkout),
        "PYTHONHASHSEED": "0",
        "TF_USE_LEGACY_KERAS": "1",
        **_processor_settings(),
    }
    out = folder / "run"
    command = [python, "-m", "toolkit", "convert", *arguments, "--quiet", "--out", str(out)]
    call(command, environment=environment, folder=checkout)
    return out


def _processor_settings() -> dict[str, str]:
    """Settings that belong to this processor and not to an environment: the same on both sides."""
    return {name: value for name, value in os.environ.items() if name.startswith(("OPENBLAS_", "OMP_"))}


def disagreements(inside: Path, outside: Path) -> list[str]:
    """What two runs of one conversion differ in: files, by their sha256 as computed here, and their manifests.

    Of the manifests the Python release may differ, and is left out.
    """
    one, other = _digests(inside), _digests(outside)
    if not one:
        return [f"{inside} holds no converted file"]
    names = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    lines = [f"{name}: {one.get(name)} | {other.get(name)}" for name in names]
    first, second = _manifest(inside), _manifest(outside)
    lines += [f"manifest.json, {key}" for key in first.keys() | second.keys() if first.get(key) != second.get(key)]
    return sorted(lines)


def _digests(run: Path) -> dict[str, str]:
    found = [path for folder in _COMPARED for path in sorted((run / folder).rglob("*")) if path.is_file()]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def _manifest(run: Path) -> Mapping[str, Any]:
    found = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    found["tools"].pop("python")
    return dict(found)


def summary(run: Path) -> str:
    """Number of files and one digest over all of them."""
    found = _digests(run)
    whole = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return f"{len(found)} files, sha256 over all {whole}"
