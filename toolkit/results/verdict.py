"""What follows from the measurements: gates, validity, warnings, advice."""

from __future__ import annotations

from typing import Literal

from converters.errors import InputError
from toolkit.results.record import Record

Status = Literal["pass", "fail", "skipped", "error"]
Comparison = Literal["<=", ">=", "=="]


class Gate(Record):
    """One requirement. Its status is never inferred from absence: what was not measured is ``skipped`` and says why."""

    id: str
    title: str
    value: float | None
    unit: str
    limit: float | None
    comparison: Comparison = "<="
    status: Status
    explanation: str


class Validity(Record):
    """Whether the measurements may be quoted."""

    valid: bool
    reasons: tuple[str, ...] = ()


class Warn(Record):
    """Something the reader must know; ``section`` is the id of the report section it belongs to."""

    code: str
    message: str
    section: str = ""


class Recommendation(Record):
    """What to do next, ordered by expected gain; ``section`` is the id of the report section that shows why."""

    title: str
    because: str
    section: str
    expected_gain: str = ""


def judge(
    gate_id: str,
    title: str,
    value: float | None,
    unit: str,
    limit: float,
    comparison: Comparison,
    explanation: str,
    *,
    skipped_because: str = "",
) -> Gate:
    """A gate with its status worked out from the value; without a value it is skipped and must say why.

    Raises:
        InputError: no value and no reason for its absence.
    """
    if value is None:
        if not skipped_because:
            raise InputError(f"gate {gate_id!r} has neither a value nor a reason", code="results/gate-without-value")
        return Gate(
            id=gate_id,
            title=title,
            value=None,
            unit=unit,
            limit=limit,
            comparison=comparison,
            status="skipped",
            explanation=f"{explanation} Not measured: {skipped_because}",
        )
    held = {"<=": value <= limit, ">=": value >= limit, "==": value == limit}[comparison]
    return Gate(
        id=gate_id,
        title=title,
        value=value,
        unit=unit,
        limit=limit,
        comparison=comparison,
        status="pass" if held else "fail",
        explanation=explanation,
    )
