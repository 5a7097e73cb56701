"""Earlier results beside this one, quantity by quantity; made from a history database."""

from __future__ import annotations

from toolkit.results.record import Record


class TrendPoint(Record):
    """One result's value; ``low`` and ``high`` are its 95 % interval, equal to it where it is exact or not known.

    ``run_sha256`` is the digest of the whole result, ``started`` when it was measured.
    """

    run_sha256: str
    run_id: str
    started: str
    value: float
    low: float | None = None
    high: float | None = None
    valid: bool = True


class Trend(Record):
    """One quantity of one part over time, oldest first. ``where`` is what it was measured on; empty when that is moot.

    Values of two places never stand in one trend: a phone's time says nothing about another's.
    """

    metric: str
    part: str
    unit: str
    where: str = ""
    higher_is_better: bool = False
    points: tuple[TrendPoint, ...]
