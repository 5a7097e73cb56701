"""How old a runtime may be that loads a file."""

from __future__ import annotations

from toolkit.results.record import Record


class OperatorAge(Record):
    """One operator of a file at one version, and the release that version came with; empty where the table has none."""

    op: str
    version: int
    release: str


class RuntimeNeed(Record):
    """The oldest release of the TFLite runtime that knows every operator of a file at its version.

    ``release`` is TensorFlow's number, which LiteRT's table goes on counting; empty when no operator is in the table.
    ``newest`` are the operators that ask for it. ``unknown`` are those the table says nothing of, custom ones included.
    ``source`` is ``file@commit`` of the table.
    """

    file: str
    release: str
    newest: tuple[OperatorAge, ...] = ()
    unknown: tuple[str, ...] = ()
    source: str
