"""What a pass is and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from converters.onnx_graph.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """A place a pass looked at and left alone.

    Attributes:
        node: node name.
        reason: why the rewrite would not have been exact or useful.
    """

    node: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassResult:
    """What one pass did.

    Attributes:
        name: pass name.
        changed: number of rewrites.
        skipped: places left alone, with reasons.
        facts: figures worth reporting, e.g. multiply-adds added.
        seconds: wall time of the pass, parity check excluded.
    """

    name: str
    changed: int
    skipped: tuple[Skip, ...] = ()
    facts: Mapping[str, float] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)


def added_macs(before: int, after: int) -> dict[str, float]:
    """What a pass that rewrote convolutions reports of their multiply-adds; nothing where it rewrote none."""
    if not before:
        return {}
    return {"macs_before": float(before), "macs_after": float(after), "added_macs_ratio": after / before - 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteOptions:
    """Choices of one pipeline run.

    Attributes:
        transposed_conv: ``polyphase`` (one convolution and a reshape) or ``native`` (ConvTranspose).
        accelerator: ``gpu`` and ``nnapi`` add the rewrites that they alone need; ``any`` leaves them out.
        without: names of passes to leave out; for tests that show what each pass is for.
    """

    transposed_conv: str = "polyphase"
    accelerator: str = "any"
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxPass:
    """One rewrite of the graph that keeps its function.

    Attributes:
        name: stable identifier, the file's name.
        apply: edits the graph in place and reports.
        after: passes that must have run before.
    """

    name: str
    apply: Callable[[Graph, RewriteOptions], PassResult]
    after: tuple[str, ...] = ()
