"""What a conversion says of its own gates: which did not hold, and which of them were timed on a crowded machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_RESULTS = "results.json"
_BROKEN = ("fail", "error")
_TIMED = frozenset({"latency_ratio"})
"""Gates on times measured on this machine; estimated latencies are computed and have no noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGates:
    """The gates of a run that did not hold, a line each: its title, what was found and the limit.

    Attributes:
        failed: those that count.
        noise: what was measured but does not count, since the run says that its times are not valid, and why not.
    """

    failed: tuple[str, ...]
    noise: tuple[str, ...]


def read_gates(run: Path) -> RunGates:
    """The gates of a finished run.

    A gate on a measured time is no verdict where the run itself calls its times INVALID: the machine was crowded. Every
    other gate depends on the model and the recipe alone.

    Raises:
        OSError: the run has no results.
        ValueError: its results are damaged.
    """
    results = json.loads((run / _RESULTS).read_text(encoding="utf-8"))
    try:
        valid = bool(results["validity"]["valid"])
        broken = [gate for gate in results["gates"] if gate["status"] in _BROKEN]
        uncertain = [] if valid else [gate for gate in broken if gate["id"] in _TIMED]
        noise = [] if valid else [f"its times are INVALID: {'; '.join(results['validity']['reasons'])}"]
        return RunGates(
            failed=tuple(_line(gate) for gate in broken if gate not in uncertain),
            noise=(*(f"{_line(gate)}: does not count" for gate in uncertain), *noise),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{run / _RESULTS} is no result of a conversion: {type(error).__name__}: {error}") from error


def _line(gate: Mapping[str, Any]) -> str:
    unit = "" if gate["unit"] == "ratio" else f" {gate['unit']}"
    return f"{gate['title']} ({gate['id']}): {_number(gate['value'])}{unit}, limit {gate['comparison']} " + _number(
        gate["limit"]
    )


def _number(value: float | None) -> str:
    if value is None:
        return "not measured"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
