"""What a graph asks of a processor, operator by operator: multiply-adds and bytes, independent of any device."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["conv", "depthwise", "matmul", "other"]
"""conv: dense convolution; depthwise: one filter a channel; matmul: matrix product; other: what multiplies nothing."""

Format = Literal["float", "w8a8", "w8a16"]
"""Number format as published measurements name it; float is 16 bits on NPU and GPU, 32 on the CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpWork:
    """One operator's work.

    Attributes:
        kind: which arithmetic it is.
        macs: multiply-adds.
        weights: constant elements it reads.
        activations: elements it reads and writes at run time.
        weight_bytes: bytes of those constants where a file tells; else they follow from the number format.
    """

    kind: Kind
    macs: int = 0
    weights: int = 0
    activations: int = 0
    weight_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A graph as its operators' work.

    Attributes:
        name: of the model or part.
        ops: in execution order.
    """

    name: str
    ops: tuple[OpWork, ...]

    @property
    def macs(self) -> int:
        """Multiply-adds of the whole graph."""
        return sum(op.macs for op in self.ops)

    @property
    def weights(self) -> int:
        """Constant elements of the whole graph."""
        return sum(op.weights for op in self.ops)


def joined(name: str, parts: Iterable[Workload]) -> Workload:
    """Several graphs that run one after the other, as one."""
    return Workload(name=name, ops=tuple(op for part in parts for op in part.ops))
