"""Small language for network architectures: layers in, operators' work out.

Shapes are ``channels x positions``: for costs it does not matter how the positions are arranged.
"""

from __future__ import annotations

from toolkit.estimate.workload import Kind, OpWork, Workload


class Sketch:
    """Collects the operators of a network whose activations are ``[channels, height, width]``."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        self.channels, self.height, self.width = channels, height, width
        self.ops: list[OpWork] = []

    @property
    def positions(self) -> int:
        """Positions of the current activation."""
        return self.height * self.width

    def conv(
        self, channels: int, kernel: int | tuple[int, int], stride: int | tuple[int, int] = 1, *, groups: int = 1
    ) -> Sketch:
        """A convolution with SAME padding; ``groups`` equal to the channels makes it depthwise."""
        (kh, kw), (sh, sw) = _pair(kernel), _pair(stride)
        before = self.channels * self.positions
        height, width = -(-self.height // sh), -(-self.width // sw)
        weights = self.channels // groups * kh * kw * channels
        kind: Kind = "depthwise" if groups == self.channels and groups > 1 else "conv"
        positions = height * width
        self.ops.append(
            OpWork(
                kind=kind,
                macs=weights * positions,
                weights=weights + channels,
                activations=before + channels * positions,
            )
        )
        self.channels, self.height, self.width = channels, height, width
        return self

    def elementwise(self, operands: int = 1, count: int = 1) -> Sketch:
        """``count`` operators that read ``operands`` activations of the current shape and write one."""
        size = self.channels * self.positions
        self.ops += [OpWork(kind="other", activations=(operands + 1) * size)] * count
        return self

    def pool(self) -> Sketch:
        """Global average pooling."""
        self.ops.append(OpWork(kind="other", activations=self.channels * self.positions))
        self.height = self.width = 1
        return self

    def downsample(self, stride: int) -> Sketch:
        """Max pooling."""
        before = self.channels * self.positions
        self.height, self.width = -(-self.height // stride), -(-self.width // stride)
        self.ops.append(OpWork(kind="other", activations=before + self.channels * self.positions))
        return self

    def squeeze(self, inner: int) -> Sketch:
        """Squeeze and excitation: pool, two 1x1 convolutions on one position, gate, product."""
        channels = self.channels
        self.ops.append(OpWork(kind="other", activations=channels * self.positions))
        self.ops += [linear(channels, inner, 1), linear(inner, channels, 1)]
        self.ops.append(OpWork(kind="other", activations=2 * channels))
        return self.elementwise(2)

    def dense(self, features: int) -> Sketch:
        """A linear layer on every position."""
        self.ops.append(linear(self.channels, features, self.positions))
        self.channels = features
        return self

    def workload(self, name: str) -> Workload:
        """The collected operators."""
        return Workload(name=name, ops=tuple(self.ops))


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def linear(features_in: int, features_out: int, rows: int) -> OpWork:
    """A linear layer over ``rows`` vectors."""
    return OpWork(
        kind="matmul",
        macs=features_in * features_out * rows,
        weights=(features_in + 1) * features_out,
        activations=(features_in + features_out) * rows,
    )


def attention(width: int, heads: int, queries: int, keys: int) -> list[OpWork]:
    """Scores, softmax (with its scale and mask) and weighted sum of one attention, projections left out."""
    scores = heads * queries * keys
    return [
        OpWork(kind="matmul", macs=width * queries * keys, activations=width * (queries + keys) + scores),
        *[OpWork(kind="other", activations=2 * scores)] * 3,
        OpWork(kind="matmul", macs=width * queries * keys, activations=width * (queries + keys) + scores),
    ]


def transformer_layer(
    width: int, inner: int, heads: int, queries: int, *, keys: int | None = None, cross: int = 0
) -> list[OpWork]:
    """A pre-norm transformer layer; ``cross`` adds attention over so many cached keys."""
    norm = [OpWork(kind="other", activations=2 * width * queries)] * 2
    block = [
        *norm,
        *[linear(width, width, queries)] * 3,
        *attention(width, heads, queries, keys or queries),
        linear(width, width, queries),
        OpWork(kind="other", activations=3 * width * queries),
    ]
    if cross:
        block += [
            *norm,
            linear(width, width, queries),
            *attention(width, heads, queries, cross),
            linear(width, width, queries),
        ]
    return [
        *block,
        *norm,
        linear(width, inner, queries),
        OpWork(kind="other", activations=2 * inner * queries),
        linear(inner, width, queries),
        OpWork(kind="other", activations=3 * width * queries),
    ]
