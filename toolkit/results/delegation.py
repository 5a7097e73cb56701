"""Where each operator of a part runs under a delegate."""

from __future__ import annotations

from typing import Literal

from toolkit.results.record import Record

DelegateName = Literal["nnapi", "gpu_classic", "gpu_litert", "xnnpack"]


class OpPlacement(Record):
    """Where one operator runs under a delegate.

    ``accepted`` is the delegate's own answer; an accepted operator with ``partition`` None stays on the CPU because
    only the largest partitions are delegated. ``source`` is ``file:line@commit`` of the rule that refused.
    """

    index: int
    op: str
    name: str
    accepted: bool
    partition: int | None
    reason: str = ""
    source: str = ""
    hint: str = ""
    macs: int | None = None


class Placement(Record):
    """A part under one delegate. ``method`` says how it is known (static tables, or executed on what)."""

    delegate: DelegateName
    part: str
    level: str = ""
    method: str
    ops: tuple[OpPlacement, ...]
    partitions: int
    delegated_ops: int
    delegated_macs_ratio: float | None = None
    transitions: int
    transition_bytes: int | None = None
    notes: tuple[str, ...] = ()
    wrong_results: tuple[OpPlacement, ...] = ()
