"""What goes into and comes out of a model part, and how each array is laid out on every side of the chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

Arrays = Mapping[str, np.ndarray]
"""Named arrays, always in the layout torch uses (``[batch, channels, time]`` for signals)."""

Runner = Callable[[Arrays], dict[str, np.ndarray]]
"""Runs one representation of a part: torch-layout arrays in, torch-layout arrays out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output of a part, as torch sees it.

    Attributes:
        name: identifier used in every representation and in the TFLite signature.
        shape: static sizes, batch included.
        dtype: ``float32`` or ``int32``.
        axes: a name for each axis, e.g. ``("batch", "channels", "frames")``; empty when unknown.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    axes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSpec:
    """The static interface of a model part.

    Attributes:
        name: part name, e.g. ``decoder``; prefix of nothing, used for files and reports.
        inputs: inputs in the order of the module's ``forward``.
        outputs: outputs in the order the module returns them.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """How an array of torch's layout is stored on another side of the chain.

    ``to_target`` reshapes to ``expanded`` (inserting axes of size 1) and then transposes by ``permutation``;
    ``to_torch`` undoes both. The identity is ``Layout.identity(shape)``.

    Attributes:
        torch_shape: shape in torch.
        expanded: torch shape with unit axes inserted.
        permutation: axis order of the target in terms of ``expanded``.
    """

    torch_shape: tuple[int, ...]
    expanded: tuple[int, ...]
    permutation: tuple[int, ...]

    @classmethod
    def identity(cls, shape: tuple[int, ...]) -> Layout:
        """The layout of a tensor both sides store alike."""
        return cls(tuple(shape), tuple(shape), tuple(range(len(shape))))

    @property
    def target_shape(self) -> tuple[int, ...]:
        """Shape on the target side."""
        return tuple(self.expanded[axis] for axis in self.permutation)

    def to_target(self, array: np.ndarray) -> np.ndarray:
        """Re-lays ``array`` of ``torch_shape`` as the target stores it."""
        return np.ascontiguousarray(array.reshape(self.expanded).transpose(self.permutation))

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """Re-lays ``array`` of ``target_shape`` as torch stores it."""
        return np.ascontiguousarray(array.transpose(np.argsort(self.permutation)).reshape(self.torch_shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A part's spec together with the layouts one representation uses.

    Attributes:
        spec: the part as torch sees it.
        layouts: tensor name to layout in this representation, for every input and output.
    """

    spec: PartSpec
    layouts: Mapping[str, Layout] = field(default_factory=dict)

    @classmethod
    def torch(cls, spec: PartSpec) -> Interface:
        """The interface of torch itself: every layout is the identity."""
        tensors = (*spec.inputs, *spec.outputs)
        return cls(spec=spec, layouts={t.name: Layout.identity(t.shape) for t in tensors})
