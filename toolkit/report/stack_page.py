"""A stack as one HTML page that needs no network and no script: what each stage took away, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.report import charts
from toolkit.report.blocks import Block, Cell, Code, Column, Facts, Note, Section, Table, Take, Takes
from toolkit.report.format import count, milliseconds, percent, seconds, sig3, size
from toolkit.report.gate_table import gate_table
from toolkit.report.stack_quality import RANDOM, WORDS
from toolkit.report.template import filled_template, write_page
from toolkit.results import Latency
from toolkit.results.stack import StackResult, StackStage


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What the template shows."""

    title: str
    subtitle: str
    passed: bool
    trained: bool
    valid: bool
    sentence: str
    tally: str
    sections: tuple[Section, ...]


def render_stack(result: StackResult) -> str:
    """The page as text."""
    return filled_template("stack.html.j2", _page(result))


def write_stack_page(result: StackResult, directory: Path) -> Path:
    """Writes ``index.html`` of a stack, whole or not at all; returns its path."""
    return write_page(render_stack(result), directory)


def _page(result: StackResult) -> _Page:
    gates = result.all_gates
    held = sum(gate.status == "pass" for gate in gates)
    return _Page(
        title=f"{result.model}, stacked",
        subtitle=f"{result.recipe} · {result.description}",
        passed=result.passed,
        trained=result.trained,
        valid=all(entry.valid for entry in result.latency),
        sentence=_sentence(result),
        tally=f"{held} of {len(gates)} gates hold; {len(result.stages)} stages in {seconds(result.seconds)}, "
        f"{sum(stage.reused for stage in result.stages)} of them from the cache",
        sections=(_stages(result), *_listening(result), _latency(result), _gates(result), _how(result)),
    )


def _ratio(result: StackResult, stage: StackStage) -> float | None:
    if stage.name == result.stages[0].name:
        return 1.0 if result.comparisons else None
    return next((one.ratio for one in result.comparisons if one.candidate == stage.name), None)


def _sentence(result: StackResult) -> str:
    first, last = result.stages[0], result.stages[-1]
    words = [
        f"{size(first.bundle_bytes)} in float32 became {size(last.bundle_bytes)}, "
        f"{sig3(first.bundle_bytes / last.bundle_bytes)} times smaller"
    ]
    ratio, about = _ratio(result, last), WORDS[result.family]
    if ratio is not None and last is not first:
        words.append(about.faster(sig3(ratio)))
    lost = about.lost(first, last)
    return "; ".join([*words, lost] if lost else words) + "." + _stop(result)


def _stop(result: StackResult) -> str:
    return f" Stopped after stage {result.stopped_at}: its gate does not hold." if result.stopped_at else ""


def _stages(result: StackResult) -> Section:
    about = WORDS[result.family]
    columns = (
        Column(title="Stage"),
        Column(title="Model"),
        Column(title="Bundle", number=True),
        Column(title="", wide=True),
        *about.columns,
        Column(title=about.timed, unit="of float32", number=True),
    )
    first = result.stages[0]
    rows = []
    for stage in result.stages:
        share = stage.bundle_bytes / first.bundle_bytes
        rows.append(
            (
                Cell(text=stage.title, tone="strong", sub=_took(stage, first)),
                Cell(text=f"{count(stage.parameters)} weights", sub=stage.shape),
                Cell(text=size(stage.bundle_bytes), sub=f"{sig3(1 / share)} x smaller" if stage is not first else ""),
                Cell(chart=charts.share_bar(share, "v-result", f"{percent(share)} of the float32 bundle")),
                *about.cells(result, stage),
                Cell(text=sig3(_ratio(result, stage))),
            )
        )
    blocks: list[Block] = [Table(columns=columns, rows=tuple(rows), form="stacking")]
    lead = about.judged(result) if result.trained else RANDOM
    blocks += [Note(text=note) for note in result.notes]
    return Section(id="stages", title="Stage by stage", lead=lead, blocks=tuple(blocks))


def _took(stage: StackStage, first: StackStage) -> str:
    if stage is first:
        return ""
    return "from the cache" if stage.reused else seconds(stage.seconds)


def _listening(result: StackResult) -> tuple[Section, ...]:
    """The sentences by every stage; nothing where there is no sound, or where it is noise."""
    if not result.clips or not result.trained:
        return ()
    titles = {stage.name: stage.title for stage in result.stages}
    takes = tuple(
        Take(
            title=clip.id,
            text=clip.text,
            voices=tuple((titles.get(name, "its teacher"), path) for name, path in clip.paths.items()),
        )
        for clip in result.clips
    )
    lead = "Held-out sentences by every stage. Noise and durations are the same, so that only the stages differ."
    return (Section(id="listen", title="Listen", lead=lead, blocks=(Takes(takes=takes),)),)


def _latency(result: StackResult) -> Section:
    about = WORDS[result.family]
    if not result.latency:
        note = Note(text="No race was run.", tone="missing")
        return Section(id="latency", title=about.race, blocks=(note,))
    top = max(entry.stats.p50_ms for entry in result.latency)
    titles = {stage.name: stage.title for stage in result.stages}
    spread = {one.candidate: f"{sig3(one.ci_low)} to {sig3(one.ci_high)}" for one in result.comparisons}
    ratios = {one.candidate: one.ratio for one in result.comparisons}
    rows = tuple(
        (
            Cell(text=titles.get(entry.variant, entry.variant), tone="strong"),
            Cell(text=milliseconds(entry.stats.p50_ms)),
            Cell(text=milliseconds(entry.stats.p95_ms)),
            Cell(chart=charts.share_bar(entry.stats.p50_ms / top, "v-result", milliseconds(entry.stats.p50_ms))),
            Cell(text=sig3(ratios.get(entry.variant)), sub=spread.get(entry.variant, "")),
            _valid(entry),
        )
        for entry in result.latency
    )
    columns = (
        Column(title="Stage"),
        Column(title="Median", number=True),
        Column(title="95 %", number=True),
        Column(title="", wide=True),
        Column(title="Over float32", number=True),
        Column(title="Measurement"),
    )
    entry = result.latency[0]
    return Section(
        id="latency",
        title=about.race,
        lead=about.raced(entry),
        blocks=(Table(columns=columns, rows=rows, form="stacking"),),
    )


def _valid(entry: Latency) -> Cell:
    if entry.valid:
        return Cell(text="valid", tone="good")
    return Cell(text="INVALID", tone="bad", sub="; ".join(entry.reasons))


def _gates(result: StackResult) -> Section:
    return Section(id="gates", title="Gates", blocks=(gate_table(result.all_gates),))


def _how(result: StackResult) -> Section:
    inputs = Facts(items=tuple((name, digest) for name, digest in result.inputs.items()), mono=True)
    asked = tuple(
        Facts(items=(("Stage", stage.title), *((key, _said(value)) for key, value in stage.settings.items())))
        for stage in result.stages
        if stage.settings
    )
    return Section(
        id="how", title="How to make it again", blocks=(Code(title="Command", text=result.command), inputs, *asked)
    )


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(inner) for inner in value) or "–"
    return "–" if value is None else str(value)
