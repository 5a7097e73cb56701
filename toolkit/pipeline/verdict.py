"""The few lines a run ends with on the terminal."""

from __future__ import annotations

from pathlib import Path

from toolkit.results import Gate, RunResult

_REASONS = 3
_MARKS = {"pass": "pass", "fail": "FAIL", "skipped": "skip", "error": "ERROR"}


def verdict_text(result: RunResult, out: Path) -> str:
    """PASS or FAIL, every gate with its limit, and where the report lies."""
    lines = ["", f"{'PASS' if result.passed else 'FAIL'}  {result.run.model}"]
    lines += _sentence(result)
    lines += [gate_line(gate) for gate in result.gates]
    if not result.validity.valid:
        reasons = result.validity.reasons
        more = f"; and {len(reasons) - _REASONS} more, in the report" if len(reasons) > _REASONS else ""
        lines.append("  measurements INVALID: " + "; ".join(reasons[:_REASONS]) + more)
    lines += [f"  note: {warning.message}" for warning in result.warnings]
    lines.append(f"  report: {out / 'index.html'}")
    return "\n".join(lines)


def _sentence(result: RunResult) -> list[str]:
    """What a user of the bundle waits for; nothing where no whole sentence was said."""
    said = result.sentence
    if said is None:
        return []
    lines = []
    for one in said.phases:
        title = "shipped" if one.variant == "result" else one.variant
        lines.append(
            f"  {title}: {one.whole_ms / 1000:.2f} s for {said.audio_seconds:g} s of sound (real-time factor "
            f"{one.whole_ms / 1000 / said.audio_seconds:.2f}), first audio after {one.first_audio_ms / 1000:.2f} s, "
            f"{said.threads} threads"
        )
    return lines


def gate_line(gate: Gate) -> str:
    """One gate with its value and its limit."""
    if gate.value is None:
        return f"  {_MARKS[gate.status]:<6}{gate.title}: {gate.explanation}"
    limit = "" if gate.limit is None else f"  ({gate.comparison} {_number(gate.limit)})"
    return f"  {_MARKS[gate.status]:<6}{gate.title}: {_number(gate.value)} {gate.unit}{limit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
