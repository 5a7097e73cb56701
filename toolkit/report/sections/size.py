"""Section 7: bytes on disk and in memory."""

from __future__ import annotations

from markupsafe import Markup

from toolkit.report import charts
from toolkit.report import selection as pick
from toolkit.report.blocks import Block, Cell, Column, Figure, Grid, Heading, Legend, Section, Table
from toolkit.report.format import change, count, percent, size
from toolkit.report.sections.precision import DTYPES, dtype_class
from toolkit.results import PartSize, RunResult, Size


def build(result: RunResult) -> Section:
    """Stacked bars by part and type, memory, sparsity and the files."""
    blocks: list[Block] = []
    if result.size is None:
        blocks.append(pick.missing(result, "size", "no file was written"))
    else:
        blocks += _bars(result.size)
    blocks += _memory(result)
    blocks += _sparsity(result)
    blocks += _runtimes(result)
    blocks += _files(result)
    counted = result.size.includes.rstrip(".") if result.size is not None else ""
    lead = f"Counted in the total: {counted}." if counted else ""
    return Section(id="size", title="Size and memory", lead=lead, blocks=tuple(blocks))


def _bars(sizes: Size) -> list[Block]:
    top = max(p.total_bytes for p in sizes.parts) if sizes.parts else 1
    used: dict[str, str] = {}
    rows = []
    for p in sizes.parts:
        segments = _segments(p)
        used.update({css: name for _, css, name in segments})
        base = next((b for b in sizes.parts if b.part == p.part and b.variant == "float32"), None)
        ratio = "" if base is None or base is p else change(p.total_bytes / base.total_bytes)
        bar = charts.stacked(
            [(v, css, f"{name}: {size(v)}") for v, css, name in segments],
            top,
            f"{p.part} {p.variant} by type",
            height=14,
        )
        rows.append(
            (
                Cell(text=p.part),
                Cell(text=pick.VARIANT_TITLES.get(p.variant, p.variant)),
                Cell(chart=bar),
                Cell(text=size(p.total_bytes)),
                Cell(text=ratio),
                Cell(text=size(p.compressed_bytes)),
            )
        )
    total = (
        Cell(text="whole", tone="strong"),
        Cell(text="shipped"),
        Cell(chart=_total(sizes)),
        Cell(text=size(sizes.total_bytes), tone="strong"),
        Cell(text=change(sizes.total_bytes / sizes.baseline_bytes) if sizes.baseline_bytes else ""),
        Cell(text="–"),
    )
    columns = (
        Column(title="Part"),
        Column(title="Variant"),
        Column(title="Bytes by type", wide=True),
        Column(title="On disk", number=True),
        Column(title="Change", number=True),
        Column(title="Compressed", number=True),
    )
    order = [dtype_class(d) for d in DTYPES] + ["d-other", "d-graph"]
    legend = tuple(Legend(swatch=css, text=used[css]) for css in order if css in used)
    key = Figure(chart=charts.stacked([], 1, "legend", height=0), legend=legend, padded=False)
    caption = "Bars share one scale; the last row is the whole bundle against its limit (tick) and float32 (thin mark)."
    return [Table(columns=columns, rows=(*rows, total), caption=caption), key]


def _total(sizes: Size) -> Markup:
    return charts.bullet(
        sizes.total_bytes,
        sizes.limit_bytes,
        baseline=sizes.baseline_bytes or None,
        status="pass" if sizes.limit_bytes is None or sizes.total_bytes <= sizes.limit_bytes else "fail",
        label=f"Whole: {size(sizes.total_bytes)}",
    )


def _segments(p: PartSize) -> list[tuple[float, str, str]]:
    named = [(float(p.by_dtype[d]), dtype_class(d), d) for d in DTYPES if p.by_dtype.get(d)]
    other = sum(v for d, v in p.by_dtype.items() if d not in DTYPES)
    if other:
        named.append((float(other), "d-other", "integers"))
    graph = p.total_bytes - sum(p.by_dtype.values())
    if graph > 0:
        named.append((float(graph), "d-graph", "graph and metadata"))
    return named


def _memory(result: RunResult) -> list[Block]:
    if not result.memory:
        return [Heading(text="Memory"), pick.missing(result, "memory", "no memory probe was run")]
    top = max(m.over_runtime_bytes for m in result.memory)
    rows = tuple(
        (
            Cell(text=pick.part_title(result, m.part)),
            Cell(text=pick.VARIANT_TITLES.get(m.variant, m.variant)),
            Cell(text=str(m.threads)),
            Cell(
                chart=charts.share_bar(
                    m.over_runtime_bytes / top if top else 0,
                    "v-base" if m.variant == "float32" else "v-result",
                    size(m.over_runtime_bytes),
                )
            ),
            Cell(text=size(m.over_runtime_bytes)),
            Cell(text=size(m.peak_rss_bytes)),
        )
        for m in result.memory
    )
    columns = (
        Column(title="Part"),
        Column(title="Variant"),
        Column(title="Threads", number=True),
        Column(title="", wide=True),
        Column(title="Over the runtime", number=True),
        Column(title="Whole process", number=True),
    )
    how = "; ".join(dict.fromkeys(m.how for m in result.memory))
    return [Heading(text="Memory"), Table(columns=columns, rows=rows, caption=f"How: {how}.")]


def _sparsity(result: RunResult) -> list[Block]:
    if not result.sparsity:
        return []
    rows = tuple(
        (
            Cell(text=s.part),
            Cell(text=s.op, mono=True),
            Cell(text=s.pattern),
            Cell(chart=charts.share_bar(s.zero_ratio, "v-result", percent(s.zero_ratio))),
            Cell(text=percent(s.zero_ratio)),
        )
        for s in result.sparsity
    )
    columns = (
        Column(title="Part"),
        Column(title="Weight"),
        Column(title="Pattern"),
        Column(title="", wide=True),
        Column(title="Zeros", number=True),
    )
    caption = "Zeros make the compressed download smaller. Unstructured zeros make no delegate faster."
    return [Heading(text="Sparsity"), Table(columns=columns, rows=rows, caption=caption, fold_after=12)]


def _runtimes(result: RunResult) -> list[Block]:
    if not result.runtimes:
        return []
    rows = tuple(
        (
            Cell(text=need.file, mono=True),
            Cell(text=need.release or "unknown", tone="" if need.release else "bad"),
            Cell(text=", ".join(f"{age.op} version {age.version}" for age in need.newest) or "–"),
            Cell(text=", ".join(need.unknown) or "–", tone="bad" if need.unknown else "muted"),
        )
        for need in result.runtimes
    )
    columns = (
        Column(title="File"),
        Column(title="Oldest TFLite runtime", number=True),
        Column(title="Because of"),
        Column(title="In no release known here"),
    )
    caption = (
        "An app with an older runtime cannot load the file, whatever the delegate. Releases are TensorFlow's numbers, "
        f"which LiteRT goes on counting. Read from {result.runtimes[0].source}; no phone was asked."
    )
    return [Heading(text="Runtime"), Table(columns=columns, rows=rows, caption=caption)]


def _files(result: RunResult) -> list[Block]:
    if not result.artifacts:
        return []
    rows = tuple(
        (
            Cell(text=a.path, mono=True),
            Cell(text=count(a.size_bytes)),
            Cell(text=a.sha256[:16], mono=True, hover=a.sha256),
        )
        for a in sorted(result.artifacts, key=lambda a: not a.path.startswith("bundle/"))
    )
    columns = (Column(title="File"), Column(title="Bytes", number=True), Column(title="sha256 (start)"))
    return [Heading(text="Files"), Grid(blocks=(Table(columns=columns, rows=rows, fold_after=14),), columns=1)]
