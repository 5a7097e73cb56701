"""Section 1: what ran, and where."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from toolkit.report.blocks import Cell, Column, Facts, Grid, Section, Table
from toolkit.report.format import seconds, size
from toolkit.results import RunResult, Stage

_MOST_STEPS = 24


def build(result: RunResult) -> Section:
    """Identity of the run and its surroundings."""
    run, env = result.run, result.environment
    commit = "not known" if run.commit is None else run.commit[:12] + (" with uncommitted changes" if run.dirty else "")
    identity = [("model", run.model), ("run", run.id), ("started", run.started or "not recorded"), ("commit", commit)]
    identity.append(("recipe sha256", run.recipe_sha256 or "not recorded"))
    if run.wall_seconds is not None:
        identity.append(("wall time", seconds(run.wall_seconds)))
    if run.peak_rss_bytes is not None:
        identity.append(("peak memory of the run", size(run.peak_rss_bytes)))
    identity += [(f"seed: {name}", str(seed)) for name, seed in sorted(run.seeds.items())]
    memory = f", {size(env.host.memory_bytes)} memory" if env.host.memory_bytes else ""
    here = "measured on" if result.phone is None else "measured from"
    place = [
        (here, f"{env.host.cpu}, {env.host.logical_cores} logical cores{memory}"),
        ("system", env.host.os or "not recorded"),
        ("frequency governor", env.host.governor or "not readable here"),
        ("delegate asked for", env.delegate or "none"),
        ("phone", _phone(result)),
    ]
    if result.phone is not None:
        place = [("measured on", _phone(result)), *place[:2], place[3]]
    if env.lock_sha256:
        place.append(("lock sha256", env.lock_sha256))
    if env.container_digest:
        place.append(("container", env.container_digest))
    versions = Table(
        columns=(Column(title="Tool"), Column(title="Version")),
        rows=tuple((Cell(text=name), Cell(text=version, mono=True)) for name, version in sorted(env.tools.items())),
        caption="Tool versions",
    )
    stages = Table(
        columns=(Column(title="Step"), Column(title="Time", number=True), Column(title="Facts")),
        rows=_steps(result.stages),
        caption="Steps of the run",
    )
    tables = tuple(t for t in (stages, versions) if t.rows)
    blocks = (Grid(blocks=(Facts(items=tuple(identity)), Facts(items=tuple(place)))), Grid(blocks=tables))
    return Section(id="run", title="What ran", blocks=blocks[: 2 if tables else 1])


def _steps(stages: Sequence[Stage]) -> tuple[tuple[Cell, ...], ...]:
    """One row a step; where there are many graphs, one for steps in a row of one graph, with the last one's fact."""
    if len(stages) <= _MOST_STEPS:
        return tuple(_row(s.name, s.seconds, s, "from the cache" if s.cached else "") for s in stages)
    rows = []
    for graph, steps in groupby(stages, key=lambda s: s.name.partition(": ")[0]):
        of_graph = tuple(steps)
        sub = ", ".join(name for s in of_graph if (name := s.name.partition(": ")[2]))
        rows.append(_row(graph, sum(s.seconds for s in of_graph), of_graph[-1], sub))
    return tuple(rows)


def _row(name: str, took: float, step: Stage, sub: str) -> tuple[Cell, ...]:
    facts = ", ".join(str(v) if k == "fact" else f"{k} {v}" for k, v in step.facts.items())
    return Cell(text=name, sub=sub), Cell(text=seconds(took)), Cell(text=facts, tone="muted")


def _phone(result: RunResult) -> str:
    device = result.environment.device
    if device is None:
        return "none: every time below is the host's"
    android = device.android and f"Android {device.android}"
    api = device.api_level and f"API {device.api_level}"
    serial = device.serial and f"serial {device.serial}"
    return ", ".join(x for x in (device.name, device.soc, android, api, device.abi, serial) if x)
