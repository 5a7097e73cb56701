"""Which commit and which lock a run belongs to."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import toolkit
from toolkit.pipeline.run_directory import file_sha256

_ROOT = Path(toolkit.__file__).resolve().parents[1]


def lock_sha256() -> str | None:
    """Digest of the lock the checkout carries, or that an image names in TOOLKIT_LOCK; None where there is none."""
    lock = Path(os.environ.get("TOOLKIT_LOCK") or _ROOT / "requirements.lock")
    return file_sha256(lock) if lock.is_file() else None


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
