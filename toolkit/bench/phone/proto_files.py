"""The files benchmark_model can leave beside its log: result, profile and the graph it really ran.

A truncated protocol buffer often still parses, with fields missing; a field that is missing is an error here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from toolkit.bench.phone.lines import unreadable
from toolkit.bench.phone.messages import message
from toolkit.bench.phone.op_table import Profile, is_delegated
from toolkit.results import PhoneOp, PhoneTiming

_TFLITE_SUBGRAPH = 1
_PRINTED_DIGITS = 2e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeGraph:
    """The graph after delegates changed it.

    Attributes:
        total_ops: operators of the file's graphs, those that delegates replaced included.
        kernels: kernels in the execution plans, by delegate: XNNPACK takes what another delegate left.
        replaced: operators replaced, by delegate.
    """

    total_ops: int
    kernels: Mapping[str, int]
    replaced: Mapping[str, int]


def with_result_file(timing: PhoneTiming, content: bytes) -> PhoneTiming:
    """Adds what the result file knows and an older log does not: percentiles.

    Raises:
        BenchError: the file is damaged, or is of another run than the log.
    """
    found = _parsed("BenchmarkResult", content, "the result file")
    latency = _required(found, "latency_metrics", "the result file")
    misc = _required(found, "misc_metrics", "the result file")
    pairs = (
        ("avg_ms", timing.avg_ms),
        ("min_ms", timing.min_ms),
        ("max_ms", timing.max_ms),
        ("init_ms", timing.init_ms),
    )
    for name, printed in pairs:
        stored = _time(latency, name)
        if not math.isclose(stored, printed, rel_tol=_PRINTED_DIGITS):
            raise unreadable(f"{name} is {printed:g} in the log and {stored:g} in the result file")
    runs = _required(misc, "num_runs", "the result file")
    if runs != timing.runs:
        raise unreadable(f"the log has {timing.runs} runs, the result file {runs}")
    order = [_time(latency, name) for name in ("p5_ms", "median_ms", "p95_ms")]
    low, high = timing.min_ms * (1 - _PRINTED_DIGITS), timing.max_ms * (1 + _PRINTED_DIGITS)
    if order != sorted(order) or not all(low <= value <= high for value in order):
        raise unreadable(f"the percentiles of the result file contradict the log: {order}")
    return timing.model_copy(update={"p5_ms": order[0], "median_ms": order[1], "p95_ms": order[2]})


def parse_profile_file(content: bytes) -> Profile:
    """Reads a profile written with ``--op_profiling_output_mode=proto``.

    Raises:
        BenchError: the file is damaged or holds no operator.
    """
    what = "the profile file"
    found = _required(_parsed("BenchmarkProfilingData", content, what), "runtime_profile", what)
    ops: list[PhoneOp] = []
    for graph in found.subgraph_profiles:
        index = graph.subgraph_index
        if index < 0:
            raise unreadable(f"{what} has a subgraph {index}")
        ops += [_op(number, each, index) for number, each in enumerate(graph.per_op_profiles)]
    inner = [
        _op(number, each, 0, delegated=True)
        for group in found.delegate_profiles
        for number, each in enumerate(group.per_op_profiles)
    ]
    if not ops:
        raise unreadable(f"{what} has no operators")
    return Profile(ops=tuple(ops), delegate_ops=tuple(inner))


def parse_runtime_graph(content: bytes) -> RuntimeGraph:
    """Reads what ``--export_model_runtime_info`` wrote.

    Raises:
        BenchError: the file is damaged, or its execution plan names nodes it does not have.
    """
    what = "the runtime graph"
    total = 0
    kernels: Counter[str] = Counter()
    replaced: Counter[str] = Counter()
    for graph in _parsed("ModelRuntimeDetails", content, what).subgraphs:
        if graph.subgraph_type != _TFLITE_SUBGRAPH:
            continue
        nodes = {_required(node, "id", what): node for node in graph.nodes}
        if len(nodes) != len(graph.nodes):
            raise unreadable(f"{what} has two nodes of one number")
        missing = [number for number in graph.execution_plan if number not in nodes]
        if missing or not graph.execution_plan:
            raise unreadable(f"{what} names nodes it does not have: {missing[:3] or 'no plan at all'}")
        for number in graph.execution_plan:
            node = nodes[number]
            if node.HasField("delegate_node_details"):
                inside = node.delegate_node_details
                name, taken = _required(inside, "delegate_name", what), len(inside.tflite_node_ids_replaced)
                kernels[name] += 1
                replaced[name] += taken
                total += taken
            else:
                total += 1
    if total == 0:
        raise unreadable(f"{what} has no operators")
    return RuntimeGraph(total_ops=total, kernels=dict(kernels), replaced=dict(replaced))


def _parsed(name: str, content: bytes, what: str) -> Any:
    if not content:
        raise unreadable(f"{what} is empty")
    try:
        return message(name).FromString(content)
    except (DecodeError, UnicodeDecodeError) as error:
        raise unreadable(f"{what} is damaged") from error


def _required(owner: Any, field: str, what: str) -> Any:
    if not owner.HasField(field):
        raise unreadable(f"{what} lacks {field}")
    value = getattr(owner, field)
    if isinstance(value, bytes):  # what protobuf makes of a string that is no UTF-8
        raise unreadable(f"{field} of {what} is no text")
    return value


def _time(owner: Any, field: str) -> float:
    value = _required(owner, field, "the result file")
    if not (math.isfinite(value) and value > 0):
        raise unreadable(f"{field} is {value:g} in the result file")
    return float(value)


def _op(index: int, found: Any, subgraph: int, *, delegated: bool = False) -> PhoneOp:
    what = "the profile file"
    op_type, name = _required(found, "node_type", what), _required(found, "name", what)
    stat = _required(found, "inference_microseconds", what)
    average, calls = _required(stat, "avg", what), _required(found, "times_called", what)
    total, count = _required(stat, "sum", what), _required(stat, "count", what)
    if not op_type or average < 0 or calls < 0 or count <= 0 or not average <= total / count < average + 1:
        raise unreadable(f"{what} contradicts itself at {op_type!r}")
    return PhoneOp(
        subgraph=subgraph,
        index=index,
        op_type=op_type,
        name=name,
        avg_ms=total / count / 1e3,  # the average field is a whole number of microseconds
        calls=calls,
        delegated=delegated or is_delegated(op_type, name),
    )
