"""Text out of files that anyone may have written, on a terminal."""

from __future__ import annotations


def shown(name: str) -> str:
    """A name from a file, harmless to a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
