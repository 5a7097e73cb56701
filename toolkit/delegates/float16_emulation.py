"""What float16 costs a graph on a phone's GPU, emulated on the host operator by operator.

A phone GPU computes in float16 by default; the software GPU has no float16 arithmetic. Here the graph runs twice side
by side: once in float32 and once with every float tensor, constants included, rounded to float16 after each operator,
sums of products made as `float16_arithmetic` says. An emulation, not a measurement: real kernels add in another order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters.parity import compare_tensor
from converters.tflite_graph.flatbuffer import content_of, dump, load
from converters.tflite_graph.read import TfliteGraph, TfliteOp, read_tflite
from toolkit.delegates.float16_arithmetic import ACCUMULATED, accumulate, rounded
from toolkit.errors import DelegateError

Accumulator = Literal["float16", "float32"]
MODEL = {
    "float16": "float16 emulated on the host: every tensor and constant rounded, sums of four products rounded, "
    "accumulators float16 (ML Drift's F16, the default on phones)",
    "float32": "float16 emulated on the host: every tensor and constant rounded, accumulators float32 "
    "(close to ML Drift's F32_F16)",
}
_LARGEST = 65504.0
_NOTICED_RATIO = 0.01
"""Share of a tensor's values that must vanish before it counts as underflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpError:
    """The error of one operator's first output.

    Attributes:
        index: position in execution order.
        kind: the operator.
        name: of its first output.
        snr_db: against float32, what came from before included.
        peak: largest float32 magnitude.
        overflowed: values that float16 makes infinite.
        vanished_ratio: share of the values that float16 makes zero.
    """

    index: int
    kind: str
    name: str
    snr_db: float
    peak: float
    overflowed: int
    vanished_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Float16Error:
    """What float16 costs a graph.

    Attributes:
        accumulator: type of the sums of products.
        snr_db: by output, against the same graph in float32.
        ops: every operator with a float output, in execution order.
        not_modelled: operators whose sums were made in float32 although the accumulator is float16.
    """

    accumulator: Accumulator
    snr_db: dict[str, float]
    ops: tuple[OpError, ...]
    not_modelled: tuple[str, ...]

    @property
    def model(self) -> str:
        """How the figures were made."""
        return MODEL[self.accumulator]

    @property
    def first_overflow(self) -> OpError | None:
        """The first operator with a value beyond 65504, float16's largest."""
        return next((op for op in self.ops if op.overflowed), None)

    @property
    def first_underflow(self) -> OpError | None:
        """The first operator of whose values 1 % or more become zero."""
        return next((op for op in self.ops if op.vanished_ratio >= _NOTICED_RATIO), None)


def emulate_float16(
    tflite: bytes | Path,
    inputs: Mapping[str, np.ndarray],
    *,
    signature: str | None = None,
    accumulator: Accumulator = "float16",
) -> Float16Error:
    """Runs a graph in float32 and in emulated float16.

    Args:
        tflite: the file.
        inputs: by signature name (or tensor name, in a file without signatures), in the file's layout and types.
        signature: which graph of the file; its first when left out.
        accumulator: type of the sums of products.

    Raises:
        DelegateError: an input is missing, or an operator cannot be run by itself.
        InputError: the file is damaged.
    """
    content = content_of(tflite)
    graph = read_tflite(content, signature=signature)
    model = load(content)
    feeds, outputs = _names(graph, signature)
    missing = [name for name in feeds if name not in inputs]
    if missing:
        raise DelegateError(f"no value for input {', '.join(missing)}", where="float16 emulation")
    subgraph = model.subgraphs[_subgraph(graph, signature)]
    exact: dict[int, np.ndarray] = {index: np.asarray(inputs[name]) for name, index in feeds.items()}
    half = {index: rounded(value) for index, value in exact.items()}
    last_use = {tensor: op.index for op in graph.ops for tensor in op.inputs}
    kept = set(outputs.values())
    rows, unmodelled = [], []
    for op in graph.ops:
        single = _Single(model, subgraph, graph, op)
        wanted = single.run(exact)
        made = _accumulated(graph, op, half) if accumulator == "float16" else None
        if made is None and accumulator == "float16" and op.kind in ACCUMULATED:
            unmodelled.append(f"{op.kind} {op.name}")
        found = single.run(half, rounding=True) if made is None else {op.outputs[0]: made}
        for tensor, value in wanted.items():
            exact[tensor], half[tensor] = value, rounded(found[tensor])
        first = op.outputs[0] if op.outputs else -1
        if first >= 0 and exact[first].dtype == np.float32:
            rows.append(_error(op, exact[first], half[first]))
        for tensor in {*op.inputs, *op.outputs}:
            if last_use.get(tensor, -1) <= op.index and tensor not in kept:
                exact.pop(tensor, None)
                half.pop(tensor, None)
    return Float16Error(
        accumulator=accumulator,
        snr_db={name: _level(exact[index], half[index]) for name, index in outputs.items()},
        ops=tuple(rows),
        not_modelled=tuple(unmodelled),
    )


def _names(graph: TfliteGraph, signature: str | None) -> tuple[dict[str, int], dict[str, int]]:
    named = [s for s in graph.signatures if signature in (None, s.key)]
    if named:
        return dict(named[0].inputs), dict(named[0].outputs)
    return tuple({graph.tensors[i].name: i for i in side} for side in (graph.inputs, graph.outputs))  # type: ignore[return-value]


def _subgraph(graph: TfliteGraph, signature: str | None) -> int:
    return next((s.subgraph for s in graph.signatures if signature in (None, s.key)), 0) if signature else 0


def _level(exact: np.ndarray, half: np.ndarray) -> float:
    if not np.all(np.isfinite(half)):
        return float("-inf")
    return compare_tensor(exact, half).snr_db


def _error(op: TfliteOp, exact: np.ndarray, half: np.ndarray) -> OpError:
    size = max(1, exact.size)
    return OpError(
        index=op.index,
        kind=op.kind,
        name=op.name,
        snr_db=_level(exact, half),
        peak=float(np.max(np.abs(exact), initial=0.0)),
        overflowed=int(np.sum(~np.isfinite(half) & np.isfinite(exact))),
        vanished_ratio=float(np.sum((half == 0) & (exact != 0)) / size),
    )


def _value(graph: TfliteGraph, index: int, values: Mapping[int, np.ndarray]) -> np.ndarray | None:
    """A float operand as the GPU holds it; None where it is absent or of another type."""
    if index < 0:
        return None
    found = values.get(index)
    if found is None:
        tensor = graph.tensors[index]
        found = tensor.data if not len(tensor.scales) else None
    return None if found is None or found.dtype not in (np.float32, np.float16) else rounded(found.astype(np.float32))


def _accumulated(graph: TfliteGraph, op: TfliteOp, values: Mapping[int, np.ndarray]) -> np.ndarray | None:
    if op.kind not in ACCUMULATED:
        return None
    operands = [_value(graph, index, values) for index in op.inputs]
    made = graph.tensors[op.outputs[0]].shape
    if op.kind == "TRANSPOSE_CONV":  # its first input is the shape
        return accumulate(op, [np.empty(0, np.float32), *operands[1:]], made)
    return accumulate(op, operands, made)


class _Single:
    """One operator as a file of its own, run by TFLite's kernels."""

    def __init__(self, model: Any, subgraph: Any, graph: TfliteGraph, op: TfliteOp) -> None:
        self.model, self.subgraph, self.graph, self.op = model, subgraph, graph, op

    def run(self, values: Mapping[int, np.ndarray], *, rounding: bool = False) -> dict[int, np.ndarray]:
        """The outputs by tensor, from values by tensor; constants are rounded to float16 with ``rounding``."""
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        computed = [index for index in dict.fromkeys(self.op.inputs) if index >= 0 and self._constant(index) is None]
        try:
            interpreter = Interpreter(
                model_content=self._file(computed, rounding),
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                num_threads=2,
            )
            interpreter.allocate_tensors()
            for detail, index in zip(interpreter.get_input_details(), computed, strict=True):
                interpreter.set_tensor(detail["index"], values[index].reshape(detail["shape"]))
            interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise DelegateError(
                f"{self.op.kind} {self.op.name} cannot be run by itself: {error}", where="float16 emulation"
            ) from error
        made = interpreter.get_output_details()
        return {
            index: interpreter.get_tensor(detail["index"]) for index, detail in zip(self.op.outputs, made, strict=True)
        }

    def _constant(self, index: int) -> np.ndarray | None:
        return self.graph.tensors[index].data

    def _file(self, computed: list[int], rounding: bool) -> bytes:
        used = [index for index in dict.fromkeys((*self.op.inputs, *self.op.outputs)) if index >= 0]
        place = {index: number for number, index in enumerate(used)}
        made = schema.ModelT()
        made.version, made.buffers = 3, [schema.BufferT()]
        graph = schema.SubGraphT()
        graph.tensors = [self._tensor(made, index, rounding) for index in used]
        operator = schema.OperatorT()
        operator.__dict__.update(self.subgraph.operators[self.op.index].__dict__)
        code = self.model.operatorCodes[operator.opcodeIndex]
        made.operatorCodes, operator.opcodeIndex = [code], 0
        operator.inputs = [place.get(index, -1) for index in self.op.inputs]
        operator.outputs = [place[index] for index in self.op.outputs]
        graph.operators, graph.inputs = [operator], [place[index] for index in computed]
        graph.outputs = operator.outputs
        made.subgraphs = [graph]
        return dump(made)

    def _tensor(self, made: Any, index: int, rounding: bool) -> Any:
        original = self.subgraph.tensors[index]
        tensor = schema.TensorT()
        tensor.__dict__.update(original.__dict__)
        tensor.buffer = 0
        content = self.model.buffers[original.buffer].data
        if content is not None and len(content):
            data = np.ascontiguousarray(content, np.uint8)
            if rounding and self.graph.tensors[index].dtype == "FLOAT32":
                data = rounded(data.view(np.float32)).view(np.uint8)
            buffer = schema.BufferT()
            buffer.data = data
            made.buffers.append(buffer)
            tensor.buffer = len(made.buffers) - 1
        return tensor
