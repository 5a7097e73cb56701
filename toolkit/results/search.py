"""A search for a version of a model that fits a device: every version that was tried, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from toolkit.results.estimate import LatencyEstimate
from toolkit.results.record import Record, load_record, save_record

SEARCH_FILE = "search.json"
FORMS = ("student", "channels")
"""Families of knobs that put another form of the model in its place."""


class Score(Record):
    """How good a version sounds or computes, measured; higher is better."""

    metric: str
    title: str
    unit: str
    value: float


class Violation(Record):
    """A limit a version does not keep. ``excess_ratio`` is how far beyond, relative to the limit."""

    gate: str
    title: str
    value: float
    limit: float
    unit: str
    excess_ratio: float


class Version(Record):
    """A tried version.

    ``refused`` says why it could not be made, then nothing else of it is known, and ``refused_part`` which part's
    settings cannot be had.
    """

    number: int
    chosen: dict[str, str]
    size_bytes: int | None = None
    part_bytes: dict[str, int] = Field(default_factory=dict)
    score: Score | None = None
    latency: LatencyEstimate | None = None
    part_ms: dict[str, float] = Field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    unknown: tuple[str, ...] = ()
    refused: str = ""
    refused_part: str = ""
    seconds: float = 0.0

    @property
    def made(self) -> bool:
        """Whether it could be converted."""
        return not self.refused

    @property
    def feasible(self) -> bool:
        """Whether it keeps every limit; a limit that was not measured is not kept."""
        return self.made and not self.violations and not self.unknown

    def rules_out(self, chosen: dict[str, str]) -> bool:
        """Whether settings cannot be had because this version's could not: parts are compressed by themselves."""
        mine = {name: label for name, label in self.chosen.items() if name.partition(".")[2] == self.refused_part}
        if not self.refused or not mine:
            return False
        # What one form of the model cannot have, another may.
        mine |= {name: label for name, label in self.chosen.items() if name.partition(".")[0] in FORMS}
        return all(chosen.get(name) == label for name, label in mine.items())

    @property
    def excess(self) -> float:
        """How far beyond the limits it is in all, relative to each."""
        return sum(violation.excess_ratio for violation in self.violations)

    @property
    def label(self) -> str:
        """Its settings in few words."""
        return ", ".join(f"{_said(name)} {value}" for name, value in self.chosen.items()) or "recipe"


def _said(knob: str) -> str:
    """The part a knob turns; of one that puts another form of the model in its place, what form."""
    family, _, part = knob.partition(".")
    return family if family in FORMS else part


class SearchResult(Record):
    """Everything a search found, schema version 1. Sizes and scores are measured, latencies are estimated.

    ``base`` is the recipe every version starts from; ``positions`` are the knobs with what each was turned to;
    ``combinations`` how many versions they make. ``best`` and ``nearest`` are version numbers: the best one that fits,
    or the one that misses least when none fits, with ``blockers`` saying what stands in the way.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    model: str
    device: str
    intent: dict[str, Any]
    command: str
    base: str
    positions: dict[str, tuple[str, ...]]
    why: dict[str, str]
    combinations: int
    versions: tuple[Version, ...]
    best: int | None = None
    best_path: str | None = None
    nearest: int | None = None
    blockers: tuple[str, ...] = ()
    front: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    work: dict[str, int] = Field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether a version keeps every limit."""
        return self.best is not None

    def version(self, number: int | None) -> Version | None:
        """The version of a number."""
        return next((version for version in self.versions if version.number == number), None)


def save_search(result: SearchResult, path: Path) -> None:
    """Writes ``search.json`` whole or not at all."""
    save_record(result, path)


def load_search(path: Path) -> SearchResult:
    """Reads a ``search.json``.

    Raises:
        InputError: the file is missing, damaged, or of another schema version.
    """
    return load_record(SearchResult, path, "a search of schema 1", "search again with this version of the toolkit")
