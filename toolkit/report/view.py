"""A result as the twelve sections of the page."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.report.blocks import Player, Section
from toolkit.report.sections import (
    closing,
    delegation,
    fidelity,
    history,
    latency,
    operators,
    precision,
    run,
    size,
    tradeoff,
    verdict,
)
from toolkit.results import RunResult, Trend


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Everything the template shows.

    Attributes:
        title: name of the model.
        subtitle: run and delegate.
        passed: no gate failed, and there are gates.
        valid: the measurements may be quoted.
        sentence: what the run came to.
        tally: how many gates hold.
        sections: in reading order; the first is the verdict.
    """

    title: str
    subtitle: str
    passed: bool
    judged: bool
    valid: bool
    sentence: str
    tally: str
    sections: tuple[Section, ...]


def page(result: RunResult, players: tuple[Player, ...] = (), trends: tuple[Trend, ...] = ()) -> Page:
    """Builds the page; ``players`` are the clips whose files were found, ``trends`` earlier results of the model."""
    sections = (
        verdict.build(result),
        run.build(result),
        latency.build(result),
        delegation.build(result),
        operators.build(result),
        fidelity.build(result, players),
        precision.build(result),
        size.build(result),
        tradeoff.build(result),
        history.build(result, trends),
        closing.warnings(result),
        closing.reproduce(result),
    )
    delegate = result.environment.delegate
    subtitle = f"run {result.run.id}" + (f" · for {delegate.upper()}" if delegate else "")
    return Page(
        title=result.run.model,
        subtitle=subtitle,
        passed=result.passed,
        judged=bool(result.gates),
        valid=result.validity.valid,
        sentence=verdict.sentence(result),
        tally=verdict.tally(result),
        sections=sections,
    )
