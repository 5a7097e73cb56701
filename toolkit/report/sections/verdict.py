"""Section 0: does it hold, and the six numbers that say so."""

from __future__ import annotations

from toolkit.report import charts
from toolkit.report import selection as pick
from toolkit.report.blocks import Block, Card, Cards, Note, Section
from toolkit.report.format import change, milliseconds, percent, quantity, seconds, sig3, signed, size
from toolkit.report.gate_table import WORDS, gate_bar, gate_table
from toolkit.report.sections import phone
from toolkit.report.sections import sentence as whole
from toolkit.results import Gate, Placement, RunResult
from toolkit.results.estimate import whole_of

_REASONS = 3
_NO_FAST_KERNELS = "has no fast kernels for 16-bit activations"


def build(result: RunResult) -> Section:
    """The verdict strip and every gate."""
    cards = Cards(
        cards=(_latency(result), _tail(result), _memory(result), _size(result), _quality(result), _share(result))
    )
    blocks: list[Block] = [cards, *(_invalid(result)), gate_table(result.gates)]
    return Section(id="verdict", title="Verdict", blocks=tuple(blocks))


def sentence(result: RunResult) -> str:
    """What the run came to, in one sentence made of its own numbers."""
    words = []
    total, for_an_npu = whole_of(result.estimates), pick.has_reference_kernels_only(result)
    if total is not None and for_an_npu:
        words.append(f"{total.sentence[0].upper()}{total.sentence[1:]}")
    latency = pick.headline_latency(result)
    if latency is not None:
        audio = f" for {seconds(latency.audio_seconds)} of audio" if latency.audio_seconds else ""
        part = "" if pick.base(latency.part) in ("model", "total") else f" in the {pick.base(latency.part)}"
        took = milliseconds(latency.stats.p50_ms)
        if result.sentence is not None:
            took = f"A sentence takes {seconds(latency.stats.p50_ms / 1000)}"
        slow = f", which {_NO_FAST_KERNELS}" if for_an_npu else ""
        words.append(f"{took}{part}{audio} on the {latency.where}, {latency.threads} threads{slow}")
        if result.sentence is not None:
            words.append(whole.words(result))
    measured = phone.sentence(result)
    if measured:
        words.append(measured)
    placement = pick.headline_placement(result)
    if placement is not None:
        partitions = "one partition" if placement.partitions == 1 else f"{placement.partitions} partitions"
        name = pick.DELEGATE_TITLES[placement.delegate]
        whose = f" of the {pick.base(placement.part)}" if result.sentence is not None else ""
        words.append(
            f"{name} takes {placement.delegated_ops} of {placement.total_ops} operators{whose} in {partitions}"
            + _how_known(result, placement)
        )
    if result.size is not None and result.size.baseline_bytes:
        words.append(f"{size(result.size.total_bytes)} on disk instead of {size(result.size.baseline_bytes)}")
    mos = pick.metric(result, "distillmos")
    if mos is not None:
        words.append(f"listening score {signed(mos.mean)} points against the float voice")
    return "; ".join(words) + "." if words else "Nothing was measured."


def _how_known(result: RunResult, placement: Placement) -> str:
    ran = pick.executed(result, placement)
    if (
        ran is not None
        and ran.accepted
        and ran.gpu_ops == placement.delegated_ops + sum(op.folded for op in placement.ops)
    ):
        return ", executed on a software GPU" + ("" if ran.compared else " (placed)")
    asked = next((row for row in result.npu_compilations if row.part == placement.part), None)
    if placement.delegate == "qnn" and asked is not None and asked.taken_ops == placement.delegated_ops:
        return " by its own compiler"
    return " by static rules" if placement.method.startswith("static") else ""


def tally(result: RunResult) -> str:
    """How many gates hold, fail, and were not measured."""
    states = [gate.status for gate in result.gates]
    parts = [f"{states.count('pass')} of {len(states)} gates hold"]
    for status in ("fail", "error", "skipped"):
        if status in states:
            parts.append(f"{states.count(status)} {WORDS[status] if status != 'fail' else 'fail'}")
    return ", ".join(parts) if states else "no gate was set"


def _status(gate: Gate | None) -> str:
    return "" if gate is None else gate.status


def _budget(gate: Gate | None) -> tuple[str, ...]:
    if gate is None or gate.limit is None:
        return ()
    sign = {"<=": "at most", ">=": "at least", "==": "exactly"}[gate.comparison]
    return (f"budget {sign} {quantity(gate.limit, gate.unit)}",)


def _absent(title: str, why: str, href: str) -> Card:
    return Card(title=title, value="–", status="skipped", href=href, why=why)


def _latency(result: RunResult) -> Card:
    found = pick.headline_latency(result)
    if found is None:
        return phone.latency_card(result) or _absent(
            "Latency", pick.why_missing(result, "latency", "no benchmark was run"), "#latency"
        )
    gate = pick.gate(result, "latency_ratio", "latency_p50", "latency")
    ratio = pick.comparison(result, found.part, found.threads)
    base = pick.counterpart(result, found)
    chart = gate_bar(gate, 1.0)
    if chart is None and base is not None:
        chart = charts.bullet(found.stats.p50_ms, None, baseline=base.stats.p50_ms, label="median beside float32's")
    lines = []
    if found.real_time_factor is not None:
        lines.append(f"real-time factor {sig3(found.real_time_factor)}")
    if ratio is not None:
        lines.append(f"{sig3(ratio.ratio)} of float32 [{sig3(ratio.ci_low)}, {sig3(ratio.ci_high)}]")
    if pick.has_reference_kernels_only(result):
        lines.append(f"this CPU {_NO_FAST_KERNELS}")
    said = result.sentence
    if said is not None:
        lines.insert(0, f"for {seconds(said.audio_seconds)} of sound, {said.threads} threads")
    return Card(
        title=f"{whole.TITLE}, median" if said else f"Latency, median ({pick.base(found.part)})",
        value=sig3(found.stats.p50_ms / (1000 if said else 1)),
        unit="s" if said else "ms",
        href="#latency",
        status=_status(gate) if found.valid else "skipped",
        lines=(*lines, *_budget(gate)),
        chart=chart,
    )


def _tail(result: RunResult) -> Card:
    early = whole.first_audio_card(result)
    if early is not None:
        return early  # a few sentences have no slowest twentieth, and this is what is waited for
    found = pick.headline_latency(result)
    if found is None:
        return phone.tail_card(result) or _absent(
            "Slowest twentieth (p95)", pick.why_missing(result, "latency", "no benchmark was run"), "#latency"
        )
    base = pick.counterpart(result, found)
    gate = pick.gate(result, "latency_p95")
    lines = [f"{sig3(found.stats.p95_ms / found.stats.p50_ms)} of the median"]
    if base is not None:
        lines.append(f"float32 {milliseconds(base.stats.p95_ms)} ({change(found.stats.p95_ms / base.stats.p95_ms)})")
        chart = gate_bar(gate) or charts.bullet(
            found.stats.p95_ms, None, baseline=base.stats.p95_ms, label="p95 beside float32's"
        )
    else:
        chart = gate_bar(gate)
    return Card(
        title="Slowest twentieth (p95)",
        value=sig3(found.stats.p95_ms),
        unit="ms",
        href="#latency",
        status=_status(gate),
        lines=(*lines, *_budget(gate)),
        chart=chart,
    )


def _memory(result: RunResult) -> Card:
    found = pick.headline_memory(result)
    if found is None:
        return phone.memory_card(result) or _absent(
            "Peak memory", pick.why_missing(result, "size", "no memory probe was run"), "#size"
        )
    base = next((m for m in result.memory if m.part == found.part and m.variant == "float32"), None)
    gate = pick.gate(result, "memory", "peak_memory")
    what = "a sentence, every graph loaded" if result.sentence else pick.base(found.part)
    lines = [f"{what}, {found.threads} threads; the runtime alone is not counted"]
    chart = gate_bar(gate)
    if base is not None:
        lines.append(
            f"float32 {size(base.over_runtime_bytes)} ({change(found.over_runtime_bytes / base.over_runtime_bytes)})"
        )
        chart = chart or charts.bullet(
            found.over_runtime_bytes, None, baseline=base.over_runtime_bytes, label="memory beside float32's"
        )
    value, _, unit = size(found.over_runtime_bytes).rpartition("\u202f")
    return Card(
        title="Peak memory",
        value=value,
        unit=unit,
        href="#size",
        status=_status(gate),
        lines=(*lines, *_budget(gate)),
        chart=chart,
    )


def _size(result: RunResult) -> Card:
    if result.size is None:
        return _absent("Size on disk", pick.why_missing(result, "size", "no file was written"), "#size")
    gate = pick.gate(result, "total_bytes", "size")
    compressed = [p.compressed_bytes for p in result.size.parts if p.variant == "result"]
    lines = [
        f"float32 {size(result.size.baseline_bytes)} ({change(result.size.total_bytes / result.size.baseline_bytes)})"
    ]
    if compressed and all(c is not None for c in compressed):
        lines.append(f"{size(sum(c for c in compressed if c is not None))} of .tflite when compressed")
    value, _, unit = size(result.size.total_bytes).rpartition("\u202f")
    return Card(
        title="Size on disk",
        value=value,
        unit=unit,
        href="#size",
        status=_status(gate),
        lines=(*lines, *_budget(gate)),
        chart=gate_bar(gate, result.size.baseline_bytes),
    )


def _quality(result: RunResult) -> Card:
    mos = pick.metric(result, "distillmos")
    if mos is None:
        gate = pick.gate(result, "output_snr", "parity")
        if gate is None or gate.value is None:
            return _absent("Quality", pick.why_missing(result, "fidelity", "no quality metric was run"), "#fidelity")
        return Card(
            title="Fidelity",
            value=sig3(gate.value),
            unit=gate.unit,
            href="#fidelity",
            status=gate.status,
            lines=(gate.title, *_budget(gate)),
            chart=gate_bar(gate),
        )
    gate = pick.gate(result, "mos_drop_mean")
    lines = [f"worst sentence {signed(mos.worst)}"]
    speaker = pick.metric(result, "resemblyzer_cosine")
    if speaker is not None:
        second = pick.metric(result, "voicefilter_cosine")
        beside = "" if second is None else f", {second.mean:.4f} by a second judge"
        lines.append(f"same speaker: cosine {speaker.mean:.4f}{beside}")
    return Card(
        title="Listening score (DistillMOS)",
        value=signed(mos.mean),
        unit="points",
        href="#fidelity",
        status=_status(gate),
        lines=(*lines, *_budget(gate)),
        chart=gate_bar(gate),
    )


def _share(result: RunResult) -> Card:
    found = pick.headline_placement(result)
    if found is None:
        return phone.share_card(result) or _absent(
            "On the delegate", pick.why_missing(result, "delegation", "no delegate was asked for"), "#delegation"
        )
    gate = pick.gate(result, "partitions")
    lines = [
        f"{pick.base(found.part)} on {pick.DELEGATE_TITLES[found.delegate]}: "
        + ("1 partition" if found.partitions == 1 else f"{found.partitions} partitions")
    ]
    if (ran := pick.executed(result, found)) is not None:
        lines.append(f"executed on a software GPU: {ran.gpu_ops} of {ran.gpu_ops + ran.cpu_ops}")
    if found.delegated_macs_ratio is not None:
        lines.append(f"{percent(found.delegated_macs_ratio)} of multiply-adds; share of time needs a phone")
    ratio = found.delegated_ops / found.total_ops if found.total_ops else 0.0
    chart = charts.share_bar(ratio, unit_class(found.delegate), f"{percent(ratio)} of operators delegated")
    value, _, unit = percent(ratio).rpartition("\u202f")
    return Card(
        title="On the delegate (operators)",
        value=value,
        unit=unit,
        href="#delegation",
        status=_status(gate),
        lines=tuple(lines),
        chart=chart,
    )


def unit_class(delegate: str) -> str:
    """Colour class of the compute unit a delegate stands for."""
    return {"nnapi": "u-nnapi", "xnnpack": "u-xnnpack"}.get(delegate, "u-gpu")


def _invalid(result: RunResult) -> list[Note]:
    if result.validity.valid:
        return []
    return [Note(text=f"The measurements may not be quoted: {objections(result)}.", tone="bad", link="#latency")]


def objections(result: RunResult) -> str:
    """Why the measurement is invalid: the first reasons, and how many more there are."""
    reasons = result.validity.reasons
    more = f"; and {len(reasons) - _REASONS} more" if len(reasons) > _REASONS else ""
    return "; ".join(reasons[:_REASONS]) + more
