"""Where things lie that users install beside the toolkit, when they name no place."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder of that name in the toolkit's part of the user's cache (XDG base directories)."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "flowlite-toolkit" / name
