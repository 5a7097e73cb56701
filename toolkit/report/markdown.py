"""The result in at most forty lines of markdown, for pull requests and terminals."""

from __future__ import annotations

from collections import Counter

from toolkit.report import selection as pick
from toolkit.report.format import change, milliseconds, percent, quantity, seconds, sig3, signed, size
from toolkit.report.sections import phone
from toolkit.report.sections import sentence as whole
from toolkit.report.sections.verdict import objections, sentence, tally
from toolkit.results import RunResult

MAX_LINES = 40
_MARKS = {"pass": "+", "fail": "x", "skipped": "~", "error": "!"}
_TOP = 3


def markdown(result: RunResult) -> str:
    """Verdict, six numbers, gates that need a look, fall-backs, overrides, warnings and where the rest is."""
    verdict = "PASS" if result.passed else "FAIL" if result.gates else "NOT JUDGED"
    validity = "VALID" if result.validity.valid else "INVALID"
    lines = [
        f"# {result.run.model}: {verdict}, measurements {validity}",
        "",
        sentence(result),
        "",
        f"{tally(result)}.",
        "",
    ]
    lines += ["| metric | now | budget | float32 | ratio |", "|---|--:|--:|--:|--:|", *_numbers(result), ""]
    bad = [g for g in result.gates if g.status in ("fail", "error")]
    shown = [g for g in bad if g.id not in _SHOWN][:_TOP]
    lines += [
        f"- **{_MARKS[g.status]} {g.title}**: {quantity(g.value, g.unit)}, "
        f"limit {g.comparison} {quantity(g.limit, g.unit)}"
        for g in shown
    ]
    if not result.validity.valid:
        lines.append(f"- **measurements invalid**: {objections(result)}")
    lines += _fallbacks(result)
    lines += [f"- {len(o.matched)} layers {o.precision} (`{o.pattern}`): {o.because}" for o in result.overrides[:_TOP]]
    lines += [f"- note: {w.message}" for w in result.warnings[:_TOP]]
    lines += ["", "Whole report: `index.html`; every number: `results.json`."]
    return "\n".join(lines[:MAX_LINES]) + "\n"


_SHOWN = ("mos_drop_mean", "speaker_cosine", "latency_ratio", "total_bytes", "partitions")


def _numbers(result: RunResult) -> list[str]:
    rows = []
    latency = pick.headline_latency(result)
    if latency is not None:
        said = result.sentence
        what = latency.part if said is None else f"a sentence of {seconds(said.audio_seconds)}"
        base = pick.counterpart(result, latency)
        ratio = pick.comparison(result, latency.part, latency.threads)
        rows.append(
            _row(
                result,
                f"latency p50, {what}, {latency.threads} threads, host CPU",
                milliseconds(latency.stats.p50_ms),
                "latency_ratio",
                milliseconds(base.stats.p50_ms) if base else "–",
                sig3(ratio.ratio) if ratio else "–",
            )
        )
    early = whole.shipped(result)
    if early is not None:
        before_ms = getattr(whole.shipped(result, "float32"), "first_audio_ms", None)
        ratio_text = change(early.first_audio_ms / before_ms) if before_ms else "–"
        now = milliseconds(early.first_audio_ms)
        rows.append(f"| first audio of it after | {now} | – | {milliseconds(before_ms)} | {ratio_text} |")
    there = phone.headline(result)
    if there is not None:
        rows.append(f"| latency mean, {there.part}, {there.where} | {milliseconds(there.avg_ms)} | – | – | – |")
    memory, before = pick.headline_memory(result), pick.headline_memory(result, "float32")
    if memory is not None:
        ratio_text = change(memory.over_runtime_bytes / before.over_runtime_bytes) if before else "–"
        rows.append(
            _row(
                result,
                "peak memory over the runtime",
                size(memory.over_runtime_bytes),
                "memory",
                size(before.over_runtime_bytes) if before else "–",
                ratio_text,
            )
        )
    if result.size is not None:
        rows.append(
            _row(
                result,
                "size on disk",
                size(result.size.total_bytes),
                "total_bytes",
                size(result.size.baseline_bytes),
                change(result.size.total_bytes / result.size.baseline_bytes),
            )
        )
    mos, speaker = pick.metric(result, "distillmos"), pick.metric(result, "resemblyzer_cosine")
    if mos is not None:
        rows.append(
            _row(result, f"DistillMOS, mean (worst {signed(mos.worst)})", signed(mos.mean), "mos_drop_mean", "0", "–")
        )
    if speaker is not None:
        rows.append(_row(result, "speaker cosine", f"{speaker.mean:.4f}", "speaker_cosine", "1", "–"))
    second = pick.metric(result, "voicefilter_cosine")
    if second is not None:
        rows.append(_row(result, "speaker cosine, second judge", f"{second.mean:.4f}", "voicefilter_cosine", "1", "–"))
    placement = pick.headline_placement(result)
    if placement is not None:
        share = percent(placement.delegated_ops / placement.total_ops if placement.total_ops else 0.0)
        rows.append(
            _row(
                result,
                f"{placement.part} on {pick.DELEGATE_TITLES[placement.delegate]} (static)",
                f"{share} of operators, {placement.partitions} partition(s)",
                "partitions",
                "–",
                "–",
            )
        )
    return rows


def _row(result: RunResult, title: str, now: str, gate_id: str, baseline: str, ratio: str) -> str:
    gate = pick.gate(result, gate_id)
    budget = "–" if gate is None or gate.limit is None else f"{gate.comparison} {quantity(gate.limit, gate.unit)}"
    mark = "" if gate is None else f" {_MARKS[gate.status]}"
    return f"| {title} | {now}{mark} | {budget} | {baseline} | {ratio} |"


def _fallbacks(result: RunResult) -> list[str]:
    placement = pick.headline_placement(result)
    if placement is None:
        return []
    groups = Counter((op.op, op.reason.split(";")[0]) for op in placement.ops if not op.accepted)
    return [f"- falls back: {number} × {kind}: {reason}" for (kind, reason), number in groups.most_common(_TOP)]
