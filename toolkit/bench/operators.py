"""Time of every operator of a file, each run alone.

The interpreter's Python interface reports no time per operator. So every distinct operator (kind, shapes, types,
options) is cut out into a file of its own, with its real constants, and timed with the same runtime and delegate. What
the whole graph gains by keeping data in the cache is not in these numbers: `Breakdown` holds the sum and the whole.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.tflite_graph.flatbuffer import dump, load
from converters.tflite_graph.read import TfliteGraph, TfliteOp, read_tflite
from toolkit.bench.session import Session
from toolkit.errors import BenchError
from toolkit.results import OpRun, OpTime

HOW = "each operator cut out and run alone, median"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breakdown:
    """Times by operator type, slowest first, and what they add up to.

    Attributes:
        times: one entry an operator type.
        runs: one entry an operator, in execution order.
        alone_ms: sum over all operators, each run alone.
        whole_ms: median of the whole file on the same threads.
        skipped: operator types that cannot run alone, with how many there are.
    """

    times: tuple[OpTime, ...]
    runs: tuple[OpRun, ...]
    alone_ms: float
    whole_ms: float
    skipped: dict[str, int]


def time_operators(model: bytes | Path, part: str, variant: str, *, threads: int = 2, runs: int = 7) -> Breakdown:
    """Times every distinct operator alone.

    Args:
        model: the file, or its bytes.
        part: name of the part.
        variant: ``float32`` or ``result``.
        threads: thread count.
        runs: timed runs of each operator; the median counts.

    Raises:
        BenchError: the whole file cannot be loaded.
        InputError: the file is damaged.
    """
    data = model if isinstance(model, bytes) else model.read_bytes()
    graph = read_tflite(data)
    source = load(data)
    known: dict[Any, float | None] = {}
    totals: dict[str, list[float]] = defaultdict(list)
    skipped: dict[str, int] = defaultdict(int)
    each_run: list[OpRun] = []
    for op in graph.ops:
        if _reads_constants_only(graph, op):
            continue  # folded when the file is loaded: it costs nothing per run
        key = _identity(graph, op)
        if key not in known:
            known[key] = _alone_ms(source, graph, op, threads, runs)
        found = known[key]
        if found is None:
            skipped[op.kind] += 1
        else:
            totals[op.kind].append(found)
            name = graph.tensors[op.outputs[0]].name if op.outputs else ""
            each_run.append(
                OpRun(
                    part=part,
                    variant=variant,
                    threads=threads,
                    index=op.index,
                    op_type=op.kind,
                    name=name,
                    ms=found,
                    how=HOW,
                )
            )
    times = tuple(
        OpTime(part=part, variant=variant, threads=threads, op_type=kind, count=len(each), ms=sum(each), how=HOW)
        for kind, each in sorted(totals.items(), key=lambda item: -sum(item[1]))
    )
    whole = Session(data, threads)
    return Breakdown(
        times=times,
        runs=tuple(each_run),
        alone_ms=sum(t.ms for t in times),
        whole_ms=_median(whole, runs),
        skipped=dict(skipped),
    )


def _median(session: Session, runs: int) -> float:
    samples = sorted(session.invoke_ms() for _ in range(runs))
    return samples[len(samples) // 2]


def _reads_constants_only(graph: TfliteGraph, op: TfliteOp) -> bool:
    return all(index < 0 or graph.tensors[index].data is not None for index in op.inputs)


def _identity(graph: TfliteGraph, op: TfliteOp) -> Any:
    def tensor(index: int) -> Any:
        if index < 0:
            return None
        found = graph.tensors[index]
        return found.shape, found.dtype, found.data is not None, len(found.scales)

    options = tuple(sorted((k, repr(v)) for k, v in op.options.items()))
    return op.kind, op.version, options, tuple(map(tensor, op.inputs)), tuple(map(tensor, op.outputs))


def _alone_ms(source: Any, graph: TfliteGraph, op: TfliteOp, threads: int, runs: int) -> float | None:
    """Median time of an operator in a file of its own; None when it cannot stand alone."""
    content = _cut_out(source, graph, op)
    try:
        return _median(Session(content, threads), runs)
    except BenchError:
        return None


def _cut_out(source: Any, graph: TfliteGraph, op: TfliteOp) -> bytes:
    """A file that holds one operator, its constants, and its inputs and outputs as the file's own."""
    from ai_edge_litert import schema_py_generated as schema

    old = source.subgraphs[0]
    # A constant behind a DEQUANTIZE is a constant to the delegate: the DEQUANTIZE comes along.
    before = [
        other
        for other in graph.ops
        if other.kind == "DEQUANTIZE" and other.outputs[0] in op.inputs and _reads_constants_only(graph, other)
    ]
    wanted = list(dict.fromkeys(i for each in (*before, op) for i in (*each.inputs, *each.outputs) if i >= 0))
    place = {index: position for position, index in enumerate(wanted)}
    model, sub = schema.ModelT(), schema.SubGraphT()
    model.version = source.version
    model.buffers = [schema.BufferT()]
    sub.tensors = []
    for index in wanted:
        tensor = copy.copy(old.tensors[index])
        buffer = source.buffers[tensor.buffer]
        tensor.buffer = 0
        if graph.tensors[index].data is not None:
            model.buffers.append(buffer)
            tensor.buffer = len(model.buffers) - 1
        sub.tensors.append(tensor)
    codes: dict[int, int] = {}
    model.operatorCodes, sub.operators = [], []
    for each in (*before, op):
        operator = copy.copy(old.operators[each.index])
        if operator.opcodeIndex not in codes:
            codes[operator.opcodeIndex] = len(model.operatorCodes)
            model.operatorCodes.append(source.operatorCodes[operator.opcodeIndex])
        operator.opcodeIndex = codes[operator.opcodeIndex]
        operator.inputs = [place.get(i, -1) for i in each.inputs]
        operator.outputs = [place[i] for i in each.outputs]
        sub.operators.append(operator)
    made = {i for each in before for i in each.outputs}
    runtime = dict.fromkeys(i for i in op.inputs if i >= 0 and graph.tensors[i].data is None and i not in made)
    sub.inputs = [place[i] for i in runtime]
    sub.outputs = [place[i] for i in op.outputs]
    model.subgraphs = [sub]
    return dump(model)
