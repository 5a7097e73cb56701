"""What a process that ended badly said last."""

from __future__ import annotations

_MOST_LETTERS = 300


def last_words(text: str) -> str:
    """Its last line, cut to what a message has room for."""
    return (text.strip().splitlines() or ["no word"])[-1][-_MOST_LETTERS:]
