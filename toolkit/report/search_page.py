"""A search as one HTML page that needs no network and no script: the best version, the trade-offs, every version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from toolkit.report.blocks import Block, Cell, Code, Column, Facts, Figure, Grid, Legend, Note, Section, Table
from toolkit.report.format import count, seconds, sig3, size
from toolkit.report.pareto_chart import Dot, pareto_chart
from toolkit.report.template import filled_template, write_page
from toolkit.results.search import SearchResult, Version

_MEGABYTE = 1e6
_LEGEND = (
    Legend(swatch="bubble chosen", text="best version"),
    Legend(swatch="bubble fits", text="keeps every limit"),
    Legend(swatch="bubble misses", text="breaks a limit"),
)
_WORK = (
    ("float", "Parts through all float hops"),
    ("shipped", "Parts in their precisions"),
    ("spoken", "Float renditions of the sentences"),
)
_MISS_LEGEND = (Legend(swatch="bubble chosen", text="nearest miss"), *_LEGEND[2:])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """What the template shows."""

    title: str
    subtitle: str
    found: bool
    sentence: str
    tally: str
    sections: tuple[Section, ...]


def render_search(result: SearchResult) -> str:
    """The page as text."""
    return filled_template("search.html.j2", _page(result))


def write_search(result: SearchResult, directory: Path) -> Path:
    """Writes ``index.html`` of a search, whole or not at all; returns its path."""
    return write_page(render_search(result), directory)


def _page(result: SearchResult) -> _Page:
    made = [version for version in result.versions if version.made]
    fitting = [version for version in made if version.feasible]
    shown = result.version(result.best) or result.version(result.nearest)
    return _Page(
        title=f"{result.model}: a version for {result.device}",
        subtitle=f"search · {_wish(result)}",
        found=result.found,
        sentence=_sentence(result, shown),
        tally=f"{len(result.versions)} of {result.combinations} versions tried in {seconds(result.seconds)}: "
        f"{len(fitting)} keep every limit, {len(made) - len(fitting)} break one, "
        f"{len(result.versions) - len(made)} could not be made",
        sections=(_answer(result, shown), _tradeoff(result, shown), _versions(result), _how(result)),
    )


def _wish(result: SearchResult) -> str:
    intent, words = result.intent, []
    if intent.get("max_size") is not None:
        words.append(f"at most {size(intent['max_size'])}{' to download' if intent['size_of'] == 'download' else ''}")
    if intent.get("max_latency") is not None:
        words.append(f"at most {sig3(intent['max_latency'])} ms, estimated")
    words += [f"{name} {value:g}" for name, value in intent.get("quality", {}).items()]
    return " · ".join(words)


def _sentence(result: SearchResult, shown: Version | None) -> str:
    if shown is None:
        return "No version could be made."
    if result.found:
        return f"Version {shown.number} is the best that fits: {shown.label}."
    return f"Nothing fits. Version {shown.number} misses by least: {shown.label}."


def _answer(result: SearchResult, shown: Version | None) -> Section:
    blocks: list[Block] = []
    if shown is not None:
        latency = shown.latency
        items = [
            ("Settings", shown.label),
            ("Starting from", f"recipe {result.base}"),
            ("Size", f"{size(shown.size_bytes)} ({count(shown.size_bytes)} bytes), measured"),
        ]
        if latency is not None:
            items.append(("Latency", latency.sentence))
            if latency.audio_seconds:
                items.append(("For", f"one sentence of {sig3(latency.audio_seconds)} s of audio"))
        if shown.score is not None:
            items.append(("Quality", f"{_score(shown)} {shown.score.unit}: {shown.score.title}, measured"))
        items += [(f"Over: {v.title}", f"{sig3(v.value)} of {sig3(v.limit)} {v.unit}") for v in shown.violations]
        blocks.append(Facts(items=tuple(items)))
    blocks += [Note(text=line, tone="bad") for line in result.blockers]
    blocks += [Note(text=note, tone="warn") for note in result.notes]
    if shown is not None:
        latency = shown.latency
        if latency is not None:
            blocks.append(Note(text=f"How latency is estimated: {latency.how}."))
            blocks += [Note(text=note) for note in latency.notes]
    if result.best_path is not None:
        blocks.append(Note(text="Its files and full report:", link=f"{result.best_path}/index.html"))
    title = "The best version" if result.found else "The nearest miss, and what blocks it"
    return Section(id="answer", title=title, blocks=tuple(blocks))


def _tradeoff(result: SearchResult, shown: Version | None) -> Section:
    drawn = [v for v in result.versions if v.made and v.score and v.latency and v.size_bytes is not None]
    if len(drawn) < 2:
        note = Note(text="A trade-off needs two versions or more.", tone="missing")
        return Section(id="tradeoff", title="Trade-offs", blocks=(note,))
    score = drawn[0].score
    y_title = f"{score.title}, {score.unit}" if score else ""
    limit_ms, limit_bytes = result.intent.get("max_latency"), result.intent.get("max_size")
    by_latency = [_dot(v, v.latency.ms if v.latency else 0.0, float(v.size_bytes or 0), shown) for v in drawn]
    by_size = [_dot(v, (v.size_bytes or 0) / _MEGABYTE, v.latency.ms if v.latency else 0.0, shown) for v in drawn]
    in_disk = result.intent.get("size_of") == "disk"
    legend = _LEGEND if result.found else _MISS_LEGEND
    latency = Figure(
        chart=pareto_chart(by_latency, "latency, ms, estimated", y_title, "Latency against quality", limit=limit_ms),
        title=f"Latency estimated for {result.device}",
        caption="Bubble area: size. Shaded: within the limit. Dotted: what nothing beats on both axes.",
        legend=legend,
    )
    bytes_limit = limit_bytes / _MEGABYTE if limit_bytes is not None and in_disk else None
    sizes = Figure(
        chart=pareto_chart(by_size, "size, MB, measured", y_title, "Size against quality", limit=bytes_limit),
        title="Size of the bundle",
        caption="Bubble area: estimated latency.",
        legend=legend,
    )
    return Section(
        id="tradeoff",
        title="Trade-offs",
        lead="Every version that could be made. Quality and size are measured, latency is estimated.",
        blocks=(Grid(blocks=(latency, sizes)),),
    )


def _dot(version: Version, x: float, area: float, shown: Version | None) -> Dot:
    chosen = shown is not None and version.number == shown.number
    return Dot(
        name=f"version {version.number}: {version.label}; {size(version.size_bytes)}",
        x=x,
        y=version.score.value if version.score else 0.0,
        area=area,
        css="chosen" if chosen else "fits" if version.feasible else "misses",
    )


def _versions(result: SearchResult) -> Section:
    columns = (
        Column(title="Version", number=True),
        Column(title="Settings", wide=True),
        Column(title="Size", unit="MB", number=True),
        Column(title="Latency, estimated", unit="ms", number=True),
        Column(title="Quality", number=True),
        Column(title="Limits"),
    )
    order = sorted(
        result.versions, key=lambda v: (not v.feasible, not v.made, v.excess, -(v.score.value if v.score else 0))
    )
    rows = tuple(_row(version, result) for version in order)
    table = Table(
        columns=columns,
        rows=rows,
        fold_after=30,
        caption="Those that keep every limit first, by quality. On the front: ◆.",
    )
    return Section(id="versions", title="Every version", blocks=(table,))


def _row(version: Version, result: SearchResult) -> tuple[Cell, ...]:
    number = Cell(text=f"{'◆ ' if version.number in result.front else ''}{version.number}")
    chosen = version.number == result.best
    settings = Cell(text=version.label, tone="strong" if chosen else "", sub="the best version" if chosen else "")
    if not version.made:
        return (number, settings, Cell(), Cell(), Cell(), Cell(text="cannot be made", tone="bad", sub=version.refused))
    broken = "; ".join(f"{v.title}: {sig3(v.value)} of {sig3(v.limit)} {v.unit}" for v in version.violations)
    words = "; ".join(filter(None, (broken, *version.unknown)))
    score, latency = version.score, version.latency
    return (
        number,
        settings,
        Cell(text=sig3((version.size_bytes or 0) / _MEGABYTE)),
        Cell(text=sig3(latency.ms if latency else None), sub=latency.unit if latency else ""),
        Cell(text=_score(version), sub=score.unit if score else ""),
        Cell(text="kept", tone="good") if version.feasible else Cell(text="broken", tone="bad", sub=words),
    )


def _score(version: Version) -> str:
    """Four decimals of a cosine, where all that matters is in the third; else three digits."""
    if version.score is None:
        return sig3(None)
    return f"{version.score.value:.4f}" if version.score.unit == "cosine" else sig3(version.score.value)


def _work(result: SearchResult, kind: str, words: str) -> str:
    made, reused = (result.work.get(f"{kind} {how}", 0) for how in ("made", "reused"))
    return f"{words}: {made} made in this process, {reused} times reused."


def _how(result: SearchResult) -> Section:
    knobs = Table(
        columns=(Column(title="Knob"), Column(title="Positions", wide=True), Column(title="Why")),
        rows=tuple(
            (
                Cell(text=name, mono=True),
                Cell(text=", ".join(labels)),
                Cell(text=result.why.get(name.partition(".")[0], "")),
            )
            for name, labels in result.positions.items()
        ),
    )
    lead = " ".join(_work(result, kind, words) for kind, words in _WORK)
    return Section(
        id="how",
        title="How it was searched",
        lead=f"Versions share their work. {lead}",
        blocks=(knobs, Code(title="Command", text=result.command)),
    )
