"""The same conversion inside an image and outside of it, and what differs."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from buildah import CommandFailed, Heard, Store, follow
from run_gates import RunGates, read_gates

SMALL_VOICE = (
    "--random-voice",
    *("--set", "buckets.phonemes=[80]", "--set", "buckets.frames=[64]", "--set", "quality.utterances=0"),
    *("--set", "bench.runs=3", "--set", "bench.warmup=0", "--set", "bench.min_seconds=0", "--set", "bench.threads=[1]"),
)
"""A seeded voice of random weights, converted in about a minute."""

_MEASURED = (
    *("index.html", "report.md", "results.json", "model_card.md", "trace.json"),
    "model_explorer/*-time-*.json",
)
"""What holds times and other measurements; every other file of a run is compared byte by byte."""

_MANIFEST = "manifest.json"
_GATE_FAILED = 1
_IMAGE_USER = 10001


def convert_inside(store: Store, image: str, arguments: Sequence[str], folder: Path, heard: Heard) -> Path:
    """Converts in the image as its user, without a network, into ``folder``; returns the run's directory."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, _IMAGE_USER, _IMAGE_USER)
    command = ["toolkit", "convert", *arguments, "--out", "/work/runs/run"]
    with _failed_gates_pass(folder / "run", heard):
        store.run_offline(
            image, command, volumes=[f"{folder}:/work/runs:rw"], environment=_processor_settings(), heard=heard
        )
    return folder / "run"


def convert_outside(python: str, checkout: Path, arguments: Sequence[str], folder: Path, heard: Heard) -> Path:
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
    command = [python, "-m", "toolkit", "convert", *arguments, "--out", str(out)]
    with _failed_gates_pass(out, heard):
        follow(command, heard, environment=environment, folder=checkout)
    return out


@contextmanager
def _failed_gates_pass(run: Path, heard: Heard) -> Iterator[None]:
    """Lets a conversion pass whose gates did not hold: its files are whole, and are compared all the same.

    What did not hold is told by `gates_of`, and fails the protocol at its end. An interpreter that breaks ends with the
    same exit code: only a run that names a broken gate passes.
    """
    try:
        yield
    except CommandFailed as error:
        if error.code != _GATE_FAILED:
            raise
        try:
            found = read_gates(run)
        except (OSError, ValueError) as unread:
            raise CommandFailed(f"{error}\nand left no results: {unread}", error.code) from error
        lines = (*found.failed, *found.noise)
        if not lines:
            raise
        heard(f"a gate of the recipe did not hold; the files are compared all the same: {lines[0]}")


def gates_of(run: Path) -> RunGates:
    """What did not hold in a finished run.

    Raises:
        CommandFailed: the run has no readable results.
    """
    try:
        return read_gates(run)
    except (OSError, ValueError) as error:
        raise CommandFailed(f"the results of {run} cannot be read: {error}") from error


def _processor_settings() -> dict[str, str]:
    """Settings that belong to this processor and not to an environment: the same on both sides."""
    return {name: value for name, value in os.environ.items() if name.startswith(("OPENBLAS_", "OMP_"))}


def disagreements(inside: Path, outside: Path) -> list[str]:
    """What two runs of one conversion differ in: files, by their sha256 as computed here, and their manifests.

    Every file counts but those that hold measurements. Of the manifests the Python release may differ, and is left out.
    """
    one, other = digests(inside), digests(outside)
    if not any(name.startswith("bundle/") for name in one):
        return [f"{inside} holds no converted file"]
    names = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    lines = [f"{name}: {one.get(name)} | {other.get(name)}" for name in names]
    first, second = _manifest(inside), _manifest(outside)
    lines += [f"{_MANIFEST}, {key}" for key in first.keys() | second.keys() if first.get(key) != second.get(key)]
    return sorted(lines)


def digests(run: Path) -> dict[str, str]:
    """The sha256 of every compared file of a run, by its path in it."""
    found = {str(path.relative_to(run)): path for path in sorted(run.rglob("*")) if path.is_file()}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in found.items()
        if name != _MANIFEST and not any(fnmatch.fnmatch(name, pattern) for pattern in _MEASURED)
    }


def _manifest(run: Path) -> Mapping[str, Any]:
    found = json.loads((run / _MANIFEST).read_text(encoding="utf-8"))
    found["tools"].pop("python")
    return dict(found)


def summary(run: Path) -> str:
    """Number of files and one digest over all of them."""
    found = digests(run)
    whole = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return f"{len(found)} files, sha256 over all {whole}"
