"""What is said when the folder of temporary files is full."""

from __future__ import annotations

import tempfile

from converters.errors import InputError


def no_room(what: str, error: OSError) -> InputError:
    """The error for something that was to wait in a temporary file, e.g. ``a graph of 1,234 bytes has``."""
    return InputError(
        f"{what} no room in the folder of temporary files: {error.strerror}",
        code="output/not-writable",
        where=tempfile.gettempdir(),
        hint="make room there, or name another folder in TMPDIR",
    )
