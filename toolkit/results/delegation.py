"""Where each operator of a part runs under a delegate."""

from __future__ import annotations

from typing import Literal

from toolkit.results.record import Record

DelegateName = Literal["nnapi", "gpu_classic", "gpu_litert", "xnnpack", "coreml", "qnn"]


class OpPlacement(Record):
    """Where one operator runs under a delegate.

    ``accepted`` is the delegate's own answer; an accepted operator with ``partition`` None stays on the CPU because
    only the largest partitions are delegated. ``folded`` marks a DEQUANTIZE of a constant that disappears into its
    reader. ``source`` is ``file:line@commit`` of the rule that refused.
    """

    index: int
    op: str
    name: str
    accepted: bool
    partition: int | None
    folded: bool = False
    reason: str = ""
    source: str = ""
    hint: str = ""
    macs: int | None = None


class Placement(Record):
    """A part under one delegate. ``method`` says how it is known (static tables, or executed on what).

    ``total_ops`` and ``delegated_ops`` leave folded operators out. ``transitions`` counts changes of side in
    execution order; ``transition_bytes`` is what the crossing tensors hold. ``wrong_results`` lists accepted operators
    that are known to compute wrong values there.
    """

    delegate: DelegateName
    part: str
    level: str = ""
    method: str
    ops: tuple[OpPlacement, ...]
    partitions: int
    delegated_ops: int
    total_ops: int
    delegated_macs_ratio: float | None = None
    transitions: int
    transition_bytes: int | None = None
    notes: tuple[str, ...] = ()
    wrong_results: tuple[OpPlacement, ...] = ()

    @property
    def fully_delegated(self) -> bool:
        """True when every operator runs in one delegated partition."""
        return self.partitions == 1 and self.delegated_ops == self.total_ops
