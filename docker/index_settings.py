"""The builder's own pip settings, handed on to the build: an index's certificates, wheels that lie on the disk."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from buildah import call

_HANDED_ON = {"find-links": "PIP_FIND_LINKS", "extra-index-url": "PIP_EXTRA_INDEX_URL", "cert": "PIP_CERT"}


def pip_settings() -> dict[str, str]:
    """pip's settings on this machine by option name; what the environment sets goes before files."""
    listed = call([sys.executable, "-m", "pip", "config", "list"])
    found = {name: value for _, name, value in re.findall(r"^(global|install)\.([a-z-]+)='(.*)'$", listed, re.M)}
    return {**found, **dict(re.findall(r"^:env:\.([a-z-]+)='(.*)'$", listed, re.M))}


def build_arguments(settings: Mapping[str, str]) -> dict[str, str]:
    """Build arguments of the Dockerfiles. A builder with wheels of its own has torch among them."""
    found = {argument: settings[name] for name, argument in _HANDED_ON.items() if name in settings}
    return {**found, "TORCH_INDEX": ""} if "find-links" in settings else found


def volumes(settings: Mapping[str, str]) -> tuple[str, ...]:
    """The folders on this disk that the settings name, mounted where they are, read-only."""
    return tuple(
        sorted({f"{folder}:{folder}:ro" for name in _HANDED_ON for folder in _folders(settings.get(name, ""))})
    )


def _folders(value: str) -> Iterator[Path]:
    for word in value.split():
        path = Path(word.removeprefix("file://"))
        if path.is_absolute() and path.exists():
            # An index's pages name files beside the index.
            yield path.parent if path.is_file() or path.name == "simple" else path
