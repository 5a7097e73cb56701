"""Sections 10 and 11: what to mind, what to do next, and how to get the same again."""

from __future__ import annotations

from toolkit.report import card, overlays, trace
from toolkit.report import selection as pick
from toolkit.report.blocks import Block, Cell, Code, Column, Facts, Heading, Note, Section, Table
from toolkit.results import RunResult


def warnings(result: RunResult) -> Section:
    """Warnings, then recommendations by expected gain."""
    blocks: list[Block] = [
        Note(text=w.message, tone="warn", hover=w.code, link=_place(w.section)) for w in result.warnings
    ]
    if not blocks:
        blocks.append(Note(text="No warnings."))
    if result.recommendations:
        rows = tuple(
            (Cell(text=r.title, sub=r.because, link=_place(r.section)), Cell(text=r.expected_gain))
            for r in result.recommendations
        )
        blocks += [
            Heading(text="What to do next"),
            Table(columns=(Column(title="Step"), Column(title="Expected gain")), rows=rows),
        ]
    return Section(id="warnings", title="Warnings and recommendations", blocks=tuple(blocks))


def _place(section: str) -> str:
    return f"#{section}" if section in pick.SECTIONS else ""


def reproduce(result: RunResult) -> Section:
    """The command and everything that fixes its outcome."""
    run, env = result.run, result.environment
    blocks: list[Block] = [Code(text=run.command, title="Command")]
    facts = [("recipe", run.recipe_path or "not written"), ("recipe sha256", run.recipe_sha256 or "not recorded")]
    facts += [(f"input {name}", digest) for name, digest in sorted(run.input_sha256.items())]
    if env.lock_sha256:
        facts.append(("requirements.lock sha256", env.lock_sha256))
    facts.append(("container", env.container_digest or "not run in one"))
    facts.append(("raw samples and every number of this page", "results.json, beside it"))
    facts.append(("model card", card.FILE))
    if result.op_runs or result.stages or result.phone:
        facts.append(("operators (or stages, where none was timed) as a trace for ui.perfetto.dev", trace.FILE))
    if names := overlays.overlays(result):
        facts.append(("node data for Model Explorer", f"{overlays.FOLDER}/: {', '.join(names)}"))
    blocks.append(Facts(items=tuple(facts), mono=True))
    if result.not_measured:
        rows = tuple((Cell(text=name), Cell(text=why)) for name, why in sorted(result.not_measured.items()))
        blocks += [
            Heading(text="What was not measured"),
            Table(columns=(Column(title="What"), Column(title="Why")), rows=rows),
        ]
    return Section(id="reproduce", title="Reproduce", blocks=tuple(blocks))
