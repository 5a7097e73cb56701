"""Section 2: how long it takes."""

from __future__ import annotations

from toolkit.report import charts
from toolkit.report import selection as pick
from toolkit.report.blocks import Block, Cell, Column, Figure, Grid, Legend, Note, Section, Table
from toolkit.report.format import milliseconds, seconds, sig3
from toolkit.report.sections import estimates, phone, sentence
from toolkit.results import Latency, RunResult

_SMALLEST_DIFFERENCE = 0.01
"""A ratio closer to one than this is called no difference, however well it is known."""


def build(result: RunResult) -> Section:
    """Run-order plot, box plot, the table, and each part's share."""
    measured = phone.blocks(result)
    if not result.latency:
        nothing = (pick.missing(result, "latency", "no benchmark was run"),)
        return Section(id="latency", title="Latency", blocks=(*(measured or nothing), *estimates.blocks(result)))
    wheres = sorted({x.where + (" (estimate)" if x.estimated else "") for x in result.latency})
    lead = f"Measured on the {'; '.join(wheres)}. A phone's numbers differ: compare ratios."
    parts = () if result.sentence else _parts(result)
    shown = (*_plots(result), *_ratios(result), _table(result), *parts)
    blocks = (*sentence.blocks(result), *shown, *measured, *estimates.blocks(result))
    return Section(id="latency", title="Latency", lead=lead, blocks=blocks)


def _plots(result: RunResult) -> tuple[Block, ...]:
    head = pick.headline_latency(result)
    if head is None:
        return ()
    base = pick.counterpart(result, head)
    shown = [x for x in (base, head) if x is not None]
    series = [(_title(x.variant), _css(x), x.samples_ms) for x in shown]
    legend = tuple(Legend(swatch=css, text=name) for name, css, _ in series)
    title = f"{pick.part_title(result, head.part)}, {head.threads} threads"
    order = Figure(
        chart=charts.strip(series, f"Time of every run of {title}, in run order"),
        title=f"Every run, in order: {title}",
        caption="One dot a run. A slope is drift or throttling, a lone dot is another process. Line: median.",
        legend=legend,
    )
    spread = Figure(
        chart=charts.boxes(
            [
                charts.BoxSeries(
                    name=_title(x.variant),
                    css=_css(x),
                    samples=x.samples_ms,
                    ci_low=x.stats.ci_low_ms,
                    ci_high=x.stats.ci_high_ms,
                )
                for x in shown
            ],
            f"Spread of {title}",
        ),
        title="Spread",
        caption="Box: middle half. Whiskers: 5th to 95th percentile. Bar under the box: 95 % interval of the median.",
        padded=False,
    )
    return (Grid(blocks=(order, spread)),)


def _title(variant: str) -> str:
    return pick.VARIANT_TITLES.get(variant, variant)


def _css(latency: Latency) -> str:
    return "v-base" if latency.variant == "float32" else "v-result"


def _ratios(result: RunResult) -> tuple[Block, ...]:
    if not result.comparisons:
        return ()
    rows = []
    for c in result.comparisons:
        matters = abs(c.ratio - 1) >= _SMALLEST_DIFFERENCE
        verdict = "faster" if matters and c.ci_high < 1 else "slower" if matters and c.ci_low > 1 else "no difference"
        rows.append(
            (
                Cell(text=pick.part_title(result, c.part)),
                Cell(text=str(c.threads)),
                Cell(text=f"{_title(c.candidate)} / {_title(c.baseline)}"),
                Cell(text=sig3(c.ratio)),
                Cell(text=f"{sig3(c.ci_low)} to {sig3(c.ci_high)}"),
                Cell(text=str(c.pairs)),
                Cell(text=verdict, tone={"faster": "good", "slower": "bad"}.get(verdict, "muted")),
            )
        )
    columns = (
        Column(title="Part"),
        Column(title="Threads", number=True),
        Column(title="Ratio of"),
        Column(title="Ratio", number=True),
        Column(title="95 % interval", number=True),
        Column(title="Pairs", number=True),
        Column(title=""),
    )
    return (
        Table(
            columns=columns,
            rows=tuple(rows),
            caption="Shipped against float32, run in turns in one process: ratio of each pair, median over pairs.",
        ),
    )


def _table(result: RunResult) -> Table:
    columns = (
        Column(title="Part"),
        Column(title="Variant"),
        Column(title="Threads", number=True),
        Column(title="Load", unit="ms", number=True),
        Column(title="First", unit="ms", number=True),
        Column(title="p50", unit="ms", number=True),
        Column(title="p90", unit="ms", number=True),
        Column(title="p95", unit="ms", number=True),
        Column(title="p99", unit="ms", number=True),
        Column(title="IQR", unit="ms", number=True),
        Column(title="Outliers", number=True),
        Column(title="Real-time factor", number=True),
        Column(title="Valid"),
    )
    rows = []
    for x in result.latency:
        s = x.stats
        rows.append(
            (
                Cell(text=pick.part_title(result, x.part)),
                Cell(text=_title(x.variant), sub="estimate" if x.estimated else ""),
                Cell(text=str(x.threads)),
                *(Cell(text=sig3(v)) for v in (x.init_ms, x.first_ms)),
                Cell(
                    text=sig3(s.p50_ms),
                    hover=f"95 % interval {sig3(s.ci_low_ms)} to {sig3(s.ci_high_ms)} ms",
                    tone="strong",
                ),
                *(Cell(text=sig3(v)) for v in (s.p90_ms, s.p95_ms, s.p99_ms, s.iqr_ms)),
                Cell(text=f"{s.outliers} of {s.n}"),
                Cell(text=sig3(x.real_time_factor)),
                Cell(
                    text="✓" if x.valid else "✕",
                    tone="good" if x.valid else "bad",
                    hover="; ".join(x.reasons),
                    sub="; ".join(x.reasons),
                ),
            )
        )
    return Table(
        columns=columns,
        rows=tuple(rows),
        caption="Load: file to ready. First: first run, caches cold. Steady runs from p50 on.",
    )


def _parts(result: RunResult) -> tuple[Block, ...]:
    head = pick.headline_latency(result)
    if head is None:
        return ()
    groups = {
        variant: [x for x in result.latency if x.variant == variant and x.threads == head.threads and x.part != "total"]
        for variant in ("float32", "result")
    }
    names = {x.part for xs in groups.values() for x in xs}
    if len(names) < 2 or len({pick.base(n) for n in names}) != len(names):
        return (
            ()
            if len(names) < 2
            else (Note(text="Parts with several buckets are not added up: a sentence uses one of each."),)
        )
    top = max(sum(x.stats.p50_ms for x in xs) for xs in groups.values())
    rows = []
    for variant, xs in groups.items():
        for x in xs:
            bar = charts.share_bar(x.stats.p50_ms / top, _css(x), f"{x.part} {milliseconds(x.stats.p50_ms)}")
            rows.append(
                (
                    Cell(text=x.part),
                    Cell(text=pick.VARIANT_TITLES[variant]),
                    Cell(text=sig3(x.stats.p50_ms)),
                    Cell(chart=bar),
                )
            )
        whole = sum(x.stats.p50_ms for x in xs)
        audio = max((x.audio_seconds or 0.0 for x in xs), default=0.0)
        sub = f"real-time factor {sig3(whole / 1000 / audio)} for {seconds(audio)}" if audio else ""
        rows.append(
            (
                Cell(text="sum of the parts", tone="strong", sub=sub),
                Cell(text=pick.VARIANT_TITLES[variant]),
                Cell(text=sig3(whole), tone="strong"),
                Cell(chart=charts.share_bar(whole / top, "v-sum", f"sum {milliseconds(whole)}")),
            )
        )
    columns = (
        Column(title="Part"),
        Column(title="Variant"),
        Column(title="p50", unit="ms", number=True),
        Column(title="", wide=True),
    )
    return (
        Table(
            columns=columns,
            rows=tuple(rows),
            caption=f"Where a sentence's time goes, {head.threads} threads. The duration predictor is not in it.",
        ),
    )
