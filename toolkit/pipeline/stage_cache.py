"""Stages of long work, kept by content: the same stage asked of the same inputs is done once, by any run.

A stage's folder is named by a digest of what decides it. It is a run directory like any other, with a manifest of its
files; one whose files are not what the manifest says is made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from toolkit.pipeline.run_directory import MANIFEST, file_sha256

_FORMAT: Final = 1
"""Raised when what a stage makes changes though its settings do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedStage:
    """Where a stage's files are.

    Attributes:
        folder: its run directory.
        key: digest of what decides it.
        reused: whether it was there already.
    """

    folder: Path
    key: str
    reused: bool


def cached_stage(
    cache: Path, name: str, inputs: Mapping[str, str], settings: Any, make: Callable[[Path], None]
) -> CachedStage:
    """The stage, made if it is not there.

    Args:
        cache: directory of all stages of all runs.
        name: what the stage does; begins the folder's name.
        inputs: sha256 of everything it reads, by what it is.
        settings: everything else that decides the result, as JSON takes it.
        make: makes the folder it is given, whole or not at all, with a manifest.
    """
    asked = {"stage": name, "format": _FORMAT, "inputs": dict(inputs), "settings": settings}
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    folder = cache.absolute() / f"{name}-{key[:16]}"
    if is_whole(folder):
        return CachedStage(folder=folder, key=key, reused=True)
    if folder.exists():
        shutil.rmtree(folder)
    make(folder)
    return CachedStage(folder=folder, key=key, reused=False)


def is_whole(folder: Path) -> bool:
    """Whether every file the folder's manifest lists is there with its digest."""
    try:
        outputs = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["outputs"]
        listed = {folder / name: fact["sha256"] for name, fact in outputs.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False  # no manifest or a damaged one: the stage is made again
    return bool(listed) and all(path.is_file() and file_sha256(path) == digest for path, digest in listed.items())
