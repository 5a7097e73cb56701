"""Places a .tflite file under a delegate: which operators it takes, in how many pieces, and why not the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from converters.tflite_graph.read import TfliteGraph, TfliteOp, read_tflite
from toolkit.delegates import coreml, gpu, nnapi, qnn, xnnpack
from toolkit.delegates.hints import hint
from toolkit.delegates.levels import DEFAULT_LEVEL, DEPRECATION_NOTE, level_title
from toolkit.delegates.op_view import OpView, float16_constants, view
from toolkit.delegates.partition import Epoch, Keeping, partition, runs, transitions
from toolkit.delegates.tables import commit, coreml_table, gpu_table, nnapi_table
from toolkit.delegates.unsized import SOURCE as UNSIZED_SOURCE
from toolkit.delegates.unsized import STATIC_SIZES_ONLY, first_unsized
from toolkit.delegates.verdict import Refusal, Verdict
from toolkit.errors import DelegateError
from toolkit.results import DelegateName, OpPlacement, Placement

_METHOD = "static: rules read from LiteRT's source"
ANDROID: tuple[DelegateName, ...] = ("nnapi", "gpu_classic", "gpu_litert", "xnnpack")
"""The delegates a conversion is reported on."""
_NNAPI_LIMITS_LINE = 6752
_NOT_KEPT = "accepted, but in a smaller partition than the delegate keeps"
_NOT_STARTED = "accepted, but the delegate fails to start"
_NOT_SIZED = "accepted, but the delegate takes no graph with a size that is known only when it runs"
_LOOPS = ("IF", "WHILE")
"""Their tensors have no size before they run; LiteRT's GPU accelerator then fails to start (executed: Failed to modify
graph with delegate)."""
_FOLDED = "float16 constant: the delegate reads it directly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Why accepted operators are left on the CPU, by which line, and the kind of rule for the advice."""

    reason: str
    source: str
    rule: str


def place(
    tflite: bytes | Path,
    part: str,
    delegate: DelegateName,
    *,
    level: int = DEFAULT_LEVEL,
    signature: str | None = None,
) -> Placement:
    """Places a file under one delegate.

    Args:
        tflite: the file, or its bytes.
        part: name of the part, for the report.
        delegate: ``nnapi``, ``gpu_classic``, ``gpu_litert``, ``xnnpack`` or ``coreml``.
        level: NNAPI feature level; the other delegates ignore it.
        signature: which graph of the file; its first when left out.

    Raises:
        DelegateError: the delegate is unknown, or a rule cannot be interpreted.
        InputError: the file is damaged.
    """
    return place_graph(read_tflite(tflite, signature=signature), part, delegate, level=level)


def place_all(
    tflite: bytes | Path,
    part: str,
    *,
    level: int = DEFAULT_LEVEL,
    signature: str | None = None,
    asked: DelegateName = "nnapi",
) -> tuple[Placement, ...]:
    """Places a file under every delegate of Android, NNAPI first, and the asked one where it is none of them."""
    graph = read_tflite(tflite, signature=signature)
    delegates = dict.fromkeys((*ANDROID, asked))
    return tuple(place_graph(graph, part, delegate, level=level) for delegate in delegates)


def place_graph(graph: TfliteGraph, part: str, delegate: DelegateName, *, level: int = DEFAULT_LEVEL) -> Placement:
    """Places a graph under one delegate; see `place`."""
    judge, keeping = _rules(delegate, level)
    constants = float16_constants(graph)
    if delegate == "xnnpack":
        left = xnnpack.left_packed(graph)
        folded = xnnpack.unpacking(graph) - set(left)
        return _placement(graph, part, delegate, level, lambda v: left.get(v.op.index) or judge(v), keeping, {}, folded)
    if delegate == "qnn":  # its compiler reads no float16 constant in place of the operator that widens it
        return _placement(graph, part, delegate, level, judge, keeping, {}, set())
    folded = {op for _, op in constants.values()}
    return _placement(graph, part, delegate, level, judge, keeping, constants, folded)


def _rules(delegate: str, level: int) -> tuple[Callable[[OpView], Verdict], Keeping]:
    """The judge of one operator, and which partitions the delegate keeps."""
    if delegate == "nnapi":
        target = nnapi.target_for(level)
        table = nnapi_table()
        kept = table["partitioning"]["default_max_number_delegated_partitions"]
        source = f"{table['source']['file']}:{_NNAPI_LIMITS_LINE}@{commit(table)}"
        return (lambda v: nnapi.judge_op(v, target)), Keeping(most=int(kept), counts_after_folding=True, source=source)
    if delegate == "gpu_classic":
        return (lambda v: gpu.judge_op(v, "classic_v2")), _one_partition("partitioning_classic_v2")
    if delegate == "gpu_litert":
        return (lambda v: gpu.judge_op(v, "mldrift")), _one_partition("partitioning_mldrift")
    if delegate == "xnnpack":
        return xnnpack.judge_op, Keeping()
    if delegate == "qnn":
        return qnn.judge_op, Keeping()
    if delegate == "coreml":
        table, version = coreml_table(), coreml.default_version()
        rules = table["partitioning"]
        keeping = Keeping(
            most=rules["default_max_delegated_partitions"],
            fewest_nodes=int(rules["default_min_nodes_per_partition"]),
            source=f"{table['source']['directory']}/coreml_delegate.mm:{rules['lines'][1]}@{commit(table)}",
        )
        return (lambda v: coreml.judge_op(v, version)), keeping
    raise DelegateError(f"unknown delegate {delegate!r}", hint=f"one of: {', '.join(get_args(DelegateName))}")


def _one_partition(rules: str) -> Keeping:
    found = gpu_table()[rules]
    source = f"{found['source'].split(',')[0]}@{commit(gpu_table())}"
    return Keeping(most=int(found["default_max_delegated_partitions"]), source=source)


def _placement(
    graph: TfliteGraph,
    part: str,
    delegate: DelegateName,
    level: int,
    judge: Callable[[OpView], Verdict],
    keeping: Keeping,
    constants: dict[int, tuple[int, int]],
    folded: set[int],
) -> Placement:
    remap = {output: constant for output, (constant, _) in constants.items()}
    views = {op.index: view(graph, op, remap) for op in graph.ops}
    verdicts = {i: Verdict() if i in folded else judge(v) for i, v in views.items()}
    taken = {i for i, verdict in verdicts.items() if verdict.accepted or verdict.fails_at_start}
    if delegate == "xnnpack":
        parts = partition(graph, taken, keeping, {})
    elif delegate == "qnn":
        parts = runs(graph, taken)
    else:
        parts = partition(graph, taken - folded, keeping, constants)
    fatal = {i for part in parts if part.delegated for i in part.nodes if verdicts[i].fails_at_start}
    if delegate == "gpu_litert":
        fatal |= {op.index for op in graph.ops if op.kind in _LOOPS}
    unsized = first_unsized(graph) if delegate in STATIC_SIZES_ONLY else None
    if fatal or unsized:
        parts = partition(graph, set(), keeping, {})
    number = _partition_numbers(parts)
    left = Left(reason=_NOT_STARTED if fatal else _NOT_KEPT, source=keeping.source, rule="not_kept")
    if unsized:
        left = Left(reason=_NOT_SIZED, source=f"{UNSIZED_SOURCE}@{commit(gpu_table())}", rule="not_sized")
    ops = tuple(
        _op(views[op.index], verdicts[op.index], number.get(op.index), left, folded=op.index in folded)
        for op in graph.ops
    )
    wrong = tuple(_warned(views[i], warning) for i, verdict in verdicts.items() for warning in verdict.warnings)
    counted = [op for op in ops if not op.folded]
    macs = sum(op.macs or 0 for op in ops)
    return Placement(
        delegate=delegate,
        part=part,
        level=level_title(level) if delegate == "nnapi" else "",
        method=_METHOD,
        ops=ops,
        partitions=sum(p.delegated for p in parts),
        delegated_ops=sum(op.partition is not None for op in counted),
        total_ops=len(counted),
        delegated_macs_ratio=sum(op.macs or 0 for op in ops if op.partition is not None) / macs if macs else None,
        transitions=max(0, len(parts) - 1),
        transition_bytes=transitions(graph, parts)[1],
        notes=(
            *_fails_to_start(views, sorted(fatal)),
            *_not_sized(unsized),
            *_notes(delegate, bool(constants), parts, counted),
        ),
        wrong_results=wrong,
    )


def _fails_to_start(views: dict[int, OpView], fatal: list[int]) -> tuple[str, ...]:
    if not fatal:
        return ()
    names = ", ".join(f"{views[index].op.kind} {views[index].op.name}" for index in fatal[:3])
    return (f"The delegate takes {names} and then fails to start: nothing is delegated until it is rewritten.",)


def _not_sized(op: TfliteOp | None) -> tuple[str, ...]:
    if op is None:
        return ()
    where = f"{op.kind} {op.name}".strip()
    return (
        f"The size of {where} is known only when the graph runs: the delegate cannot be applied to the graph at all.",
    )


def _partition_numbers(parts: tuple[Epoch, ...]) -> dict[int, int]:
    delegated = [part for part in parts if part.delegated]
    return {index: number for number, part in enumerate(delegated) for index in part.nodes}


def _op(seen: OpView, verdict: Verdict, number: int | None, left: Left, *, folded: bool) -> OpPlacement:
    first: Refusal | None = verdict.refusals[0] if verdict.refusals else None
    reason = "; ".join(dict.fromkeys(r.message for r in verdict.refusals))
    if folded:
        reason = _FOLDED
    elif first is None and number is None:
        advice = hint(seen.op.kind, left.rule)
        return _placed(seen, reason=left.reason, source=left.source, advice=advice, accepted=True)
    advice = hint(seen.op.kind, first.kind) if first else ""
    source = first.source if first else ""
    placed = _placed(seen, reason=reason, source=source, advice=advice, accepted=first is None)
    return placed.model_copy(update={"partition": number, "folded": folded})


def _warned(seen: OpView, warning: Refusal) -> OpPlacement:
    advice = hint(seen.op.kind, warning.kind)
    placed = _placed(seen, reason=warning.message, source=warning.source, advice=advice, accepted=True)
    return placed.model_copy(update={"macs": None})


def _placed(seen: OpView, *, reason: str, source: str, advice: str, accepted: bool) -> OpPlacement:
    """An operator outside every partition."""
    return OpPlacement(
        index=seen.op.index,
        op=seen.op.kind,
        name=seen.op.name,
        accepted=accepted,
        partition=None,
        reason=reason,
        source=source,
        hint=advice,
        macs=seen.graph.multiply_adds(seen.op),
    )


def _notes(delegate: str, has_float16: bool, parts: tuple[Epoch, ...], ops: list[OpPlacement]) -> tuple[str, ...]:
    notes = []
    if delegate == "nnapi":
        notes.append(DEPRECATION_NOTE)
        notes.append("A phone's driver may refuse more than NNAPI's own validation, which is what these rules are.")
        notes.append("On a phone without an accelerator's driver the delegate does nothing, from Android 10 on.")
        if has_float16:
            notes.append("Float16 constants: if the driver rejects any operator, nothing at all is delegated.")
    elif delegate == "gpu_litert":
        notes.append("Phone GPUs compute in float16 by default.")
    elif delegate == "gpu_classic":
        notes.append("Read from source, not executed: the classic delegate needs OpenCL or OpenGL on a phone.")
    elif delegate == "qnn":
        notes.append("For Snapdragon 7 Gen 3 (SM7550), whose NPU has integers only; other chips take more.")
        notes.append(
            "Operators from the compiler's own list, refusals measured once: ask your compiler with --compile."
        )
    elif delegate == "coreml":
        notes.append("Read from source, not executed: Core ML runs on Apple devices; float models only, Core ML 3.")
    dropped = sum(op.reason == _NOT_KEPT for op in ops)
    stay = f"{dropped} accepted {'operator stays' if dropped == 1 else 'operators stay'} on the CPU"
    if dropped and delegate == "coreml":
        notes.append(f"{stay}: sets of fewer than two are not delegated.")
    elif dropped:
        kept = sum(part.delegated for part in parts)
        which = "largest partition is" if kept == 1 else f"{kept} largest partitions are"
        notes.append(f"{stay}: only the {which} delegated.")
    return tuple(notes)
