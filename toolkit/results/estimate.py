"""What was estimated and not measured."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from toolkit.results.record import Record

TOTAL: Final = "total"
"""Part of the estimate of all parts together."""


class LatencyEstimate(Record):
    """Time of one run of a part (or ``total``) on a device that was not at hand.

    ``unit_ms`` splits it by compute unit. ``median_error`` is the median relative error of such estimates on published
    measurements of other networks on other devices, None where there are too few to say; eight of ten true values are
    expected between ``low_ms`` and ``high_ms``, which are None then as well.
    """

    part: str
    device: str
    unit: str
    unit_ms: dict[str, float]
    ms: float
    low_ms: float | None
    high_ms: float | None
    median_error: float | None
    audio_seconds: float | None = None
    how: str
    notes: tuple[str, ...] = ()
    estimated: Literal[True] = True

    @property
    def sentence(self) -> str:
        """The estimate in words; it never stands without the word."""
        if self.median_error is None:
            error = "error unknown"
        else:
            error = f"median error {self.median_error:.0%}, {_ms(self.low_ms)} to {_ms(self.high_ms)}"
        return f"{_ms(self.ms)} estimated for {self.device} on {self.unit} ({error})"


def _ms(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.3g} s"


def whole_of(estimates: Iterable[LatencyEstimate]) -> LatencyEstimate | None:
    """The estimate of all parts together."""
    return next((each for each in estimates if each.part == TOTAL), None)
