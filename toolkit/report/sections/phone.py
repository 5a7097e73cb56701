"""What a phone measured: part of the latency section, and of the verdict where nothing else was timed."""

from __future__ import annotations

from toolkit.report.blocks import Block, Card, Cell, Column, Facts, Folded, Grid, Heading, Note, Table
from toolkit.report.format import MISSING, count, milliseconds, percent, sig3, size
from toolkit.results import PhoneBench, PhoneLatency, PhoneState, RunResult
from toolkit.results.phone import THERMAL_NAMES

TITLES = {"nnapi": "NNAPI", "gpu": "GPU", "xnnpack": "CPU (XNNPACK)", "qnn": "Qualcomm NPU (QNN)"}
_EXTENTS = {"all": "whole graph", "part": "part of the graph", "none": "nothing"}
_TOP = 15


def headline(result: RunResult) -> PhoneLatency | None:
    """The slowest part a phone measured."""
    return max(result.phone.latencies, key=lambda each: each.avg_ms, default=None) if result.phone else None


def sentence(result: RunResult) -> str:
    """The headline in words; empty without a phone."""
    found = headline(result)
    if found is None:
        return ""
    return f"{milliseconds(found.avg_ms)} in {found.part} on {found.where} ({TITLES[found.delegate]})"


def latency_card(result: RunResult) -> Card | None:
    """The headline as a card; None without a phone."""
    found = headline(result)
    if found is None:
        return None
    return Card(
        title=f"Latency on the phone, mean ({found.part})",
        value=sig3(found.avg_ms),
        unit="ms",
        href="#latency",
        status="" if found.valid else "skipped",
        lines=(found.where, f"95 % interval {sig3(found.ci_low_ms)} to {sig3(found.ci_high_ms)} ms"),
    )


def tail_card(result: RunResult) -> Card | None:
    """The 95th percentile as a card; None without a phone, or where the tool printed none."""
    found = headline(result)
    if found is None or found.timings[0].p95_ms is None:
        return None
    first = found.timings[0]
    return Card(
        title="Slowest twentieth on the phone (p95)",
        value=sig3(first.p95_ms),
        unit="ms",
        href="#latency",
        status="" if found.valid else "skipped",
        lines=(f"median {milliseconds(first.median_ms)}", "of the first process"),
    )


def memory_card(result: RunResult) -> Card | None:
    """Memory of benchmark_model with the largest part; None without a phone, or where it did not say."""
    found = result.phone.latencies if result.phone else ()
    most = max((_memory(each) for each in found), default=0)
    if most <= 0:
        return None
    value, _, unit = size(most).rpartition("\u202f")
    return Card(
        title="Memory on the phone",
        value=value,
        unit=unit,
        href="#latency",
        lines=("growth of benchmark_model from its start, as it says itself: approximate",),
    )


def _memory(latency: PhoneLatency) -> int:
    return max((t.peak_memory_bytes or t.overall_memory_bytes or 0 for t in latency.timings), default=0)


def share_card(result: RunResult) -> Card | None:
    """What the phone's delegate took; None without a phone, or where it did not say."""
    found = headline(result)
    if found is None or not found.applied:
        return None
    told = found.applied[-1]
    lines = [f"{told.name}: {_EXTENTS[told.extent]}, {count(told.kernels)} kernel{'s' if told.kernels != 1 else ''}"]
    if found.delegated_time_ratio is not None:
        lines.append(f"{percent(found.delegated_time_ratio)} of the profiled time")
    known = found.replaced_ops is not None and found.total_ops
    value, _, unit = percent(found.replaced_ops / found.total_ops if known else None).rpartition("\u202f")
    return Card(
        title="On the delegate (operators)",
        value=value or MISSING,
        unit=unit if value else "",
        href="#latency",
        lines=tuple(lines),
    )


def blocks(result: RunResult) -> tuple[Block, ...]:
    """Times, state of the phone before and after, and the slowest operators; nothing without a phone."""
    phone = result.phone
    if phone is None:
        return ()
    found: list[Block] = [Heading(text=f"On the phone: {phone.latencies[0].where}"), _times(phone)]
    found += [
        Note(text=f"{each.part}, {each.threads} threads: INVALID: {'; '.join(each.reasons)}", tone="bad")
        for each in phone.latencies
        if not each.valid
    ]
    found += [Note(text=note) for note in phone.notes]
    found.append(Grid(blocks=(_state("Before", phone.before), _state("After", phone.after))))
    found += [
        Folded(
            summary=f"Slowest operators of {each.part} on the phone, {each.threads} threads", blocks=(_operators(each),)
        )
        for each in phone.latencies
        if each.ops
    ]
    return tuple(found)


def _times(phone: PhoneBench) -> Table:
    rows = []
    for each in phone.latencies:
        first = each.timings[0]
        applied = ", ".join(f"{a.name}: {_EXTENTS[a.extent]} ({a.kernels})" for a in each.applied)
        memory = _memory(each)
        rows.append(
            (
                Cell(text=each.part),
                Cell(text=TITLES[each.delegate], sub=applied or "not said what it took"),
                Cell(text=str(each.threads)),
                Cell(text=sig3(first.init_ms)),
                Cell(text=sig3(first.first_ms)),
                Cell(text=sig3(each.avg_ms), tone="strong"),
                Cell(text=f"{sig3(each.ci_low_ms)} to {sig3(each.ci_high_ms)}", hover=each.interval),
                Cell(text=sig3(first.median_ms)),
                Cell(text=sig3(first.p95_ms)),
                Cell(text=str(sum(t.runs for t in each.timings)), sub=f"{len(each.timings)} processes"),
                Cell(text=size(memory) if memory else MISSING),
                Cell(text=percent(each.delegated_time_ratio)),
                Cell(
                    text="✓" if each.valid else "✕", tone="good" if each.valid else "bad", hover="; ".join(each.reasons)
                ),
            )
        )
    columns = (
        Column(title="Part"),
        Column(title="Delegate (kernels)"),
        Column(title="Threads", number=True),
        Column(title="Load", unit="ms", number=True),
        Column(title="First", unit="ms", number=True),
        Column(title="Mean", unit="ms", number=True),
        Column(title="95 % interval", unit="ms", number=True),
        Column(title="Median", unit="ms", number=True),
        Column(title="p95", unit="ms", number=True),
        Column(title="Runs", number=True),
        Column(title="Memory", number=True),
        Column(title="Time on it", number=True),
        Column(title="Valid"),
    )
    return Table(
        columns=columns,
        rows=tuple(rows),
        caption="benchmark_model over adb, profiling off. It prints summaries, no single runs: load, first, median and "
        "p95 are those of the first process. Interval: "
        + "; ".join(dict.fromkeys(x.interval for x in phone.latencies))
        + ".",
    )


def _state(title: str, state: PhoneState) -> Facts:
    def words(table: dict[str, str]) -> str:
        values = sorted(set(table.values()))
        return values[0] if len(values) == 1 else ", ".join(f"{k} {v}" for k, v in sorted(table.items()))

    unread = state.unreadable
    thermal = THERMAL_NAMES[state.thermal_status] if state.thermal_status is not None else "not readable"
    hottest = max(state.temperatures_c.items(), key=lambda item: item[1], default=None)
    clocks = {policy: f"{khz / 1e3:.0f} MHz" for policy, khz in state.max_khz.items()}
    battery = "not readable"
    if state.battery_percent is not None:
        charging = {True: ", charging", False: ", not charging", None: ""}[state.charging]
        battery = f"{state.battery_percent:.0f} %, {sig3(state.battery_c)} °C{charging}"
    items = [
        (f"{title}: throttling", thermal),
        ("hottest sensor", f"{hottest[0]} {sig3(hottest[1])} °C" if hottest else "not readable"),
        ("governor", words(state.governors) if state.governors else "not readable"),
        ("highest clock", words(clocks) if clocks else "not readable"),
        ("battery", battery),
    ]
    items += [(f"no {what}", why) for what, why in sorted(unread.items())]
    return Facts(items=tuple(items))


def _operators(latency: PhoneLatency) -> Table:
    total = sum(op.avg_ms * op.calls for op in latency.ops) or 1.0
    slowest = sorted(latency.ops, key=lambda op: -op.avg_ms * op.calls)[:_TOP]
    rows = tuple(
        (
            Cell(text=op.op_type, sub="on the delegate" if op.delegated else ""),
            Cell(text=op.name, mono=True),
            Cell(text=sig3(op.avg_ms * op.calls)),
            Cell(text=percent(op.avg_ms * op.calls / total)),
        )
        for op in slowest
    )
    return Table(
        columns=(
            Column(title="Operator"),
            Column(title="Name", wide=True),
            Column(title="Time", unit="ms", number=True),
            Column(title="Share", number=True),
        ),
        rows=rows,
        caption=f"From one more process with profiling, on {latency.where}; profiling costs time, so shares count more "
        "than times.",
        form="stacking",
    )
