"""A model card: what whoever ships or meets the converted model must know, from the result alone.

Sections after Mitchell et al., "Model Cards for Model Reporting" (2019), and the front matter that model hubs read.
What the result does not know is said to be unknown; nothing is inferred, a licence least of all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from toolkit.report import selection as pick
from toolkit.report.format import count, milliseconds, percent, quantity, sig3, signed, size
from toolkit.results import RunResult

FILE = "model_card.md"
_OBJECTIONS = 3


def card(result: RunResult) -> str:
    """The card as markdown."""
    sections = (
        ("Intended use", _use(result)),
        ("Training data and licence", _origin(result)),
        ("Precision", _precision(result)),
        ("Delegates", _delegates(result)),
        ("Quality", _quality(result)),
        ("Speed and size", _speed(result)),
        ("Limits", _limits(result)),
        ("Files and checksums", _files(result)),
        ("How it was made", _making(result)),
    )
    lines = [
        "---",
        "library_name: litert",
        "tags: [tflite, litert, on-device]",
        "---",
        f"# {_flat(result.run.model)}",
        "",
    ]
    for title, body in sections:
        lines += [f"## {title}", "", *body, ""]
    return "\n".join(lines).rstrip() + "\n"


def _use(result: RunResult) -> Iterator[str]:
    asked = result.environment.delegate or "xnnpack"
    target = pick.DELEGATE_TITLES.get("gpu_litert" if asked == "gpu" else asked, asked)
    level = f" ({result.environment.delegate_version})" if result.environment.delegate_version else ""
    yield f"The model it was made from, restated for {target}{level}."
    yield "Meant for what that model is meant for: the conversion adds no ability, and takes away what is said below."
    yield "If it speaks with the voice of a person, use it only as that person has agreed to."


def _origin(result: RunResult) -> Iterator[str]:
    if result.origin is None:
        yield "**Not stated.** The files that were converted say nothing of their training data or licence. The"
        yield "conversion changes neither: find out from whoever published the model before you ship it."
        return
    yield f"Said by {_flat(result.origin.said_by)}, quoted; not checked by the toolkit:"
    yield ""
    yield from (f"> {line}".rstrip() for line in result.origin.statement.splitlines())


def _precision(result: RunResult) -> Iterator[str]:
    if not result.precision:
        yield _unknown(result, "precision", "nothing was read back from a file")
        return
    operators: dict[str, Counter[str]] = defaultdict(Counter)
    work: dict[str, Counter[str]] = defaultdict(Counter)
    for row in result.precision:
        operators[row.part][row.realised] += 1
        work[row.part][row.realised] += row.macs or 0
    rows = []
    for part, counted in operators.items():
        whole = sum(work[part].values())
        for precision, number in counted.most_common():
            share = percent(work[part][precision] / whole) if whole else "–"
            rows.append((part, precision, count(number), share))
    yield from _table(("part", "precision, as realised", "operators", "multiply-adds"), rows)
    differing = sum(row.asked != row.realised for row in result.precision)
    yield f"Read back from the files, operator by operator; {differing} differ from what was asked."
    yield "A `conversion` is an operator between two precisions."
    if result.overrides:
        yield ""
    for rule in result.overrides:
        layers = "1 layer" if len(rule.matched) == 1 else f"{len(rule.matched)} layers"
        yield f"- {layers} `{rule.pattern}` {rule.precision}: {_flat(rule.because)}"


def _delegates(result: RunResult) -> Iterator[str]:
    if not result.delegation:
        yield _unknown(result, "delegation", "no placement was worked out")
        return
    rows = [
        (
            placement.part,
            pick.DELEGATE_TITLES[placement.delegate] + (f", {placement.level}" if placement.level else ""),
            f"{placement.delegated_ops} of {placement.total_ops}",
            count(placement.partitions),
            placement.method,
        )
        for placement in result.delegation
    ]
    yield from _table(("part", "delegate", "operators delegated", "partitions", "known how"), rows)


def _quality(result: RunResult) -> Iterator[str]:
    floats = [row for row in result.parity if row.to == "tflite float32"] or list(result.parity)
    worst = min((row.snr_db for row in floats if row.snr_db is not None), default=None)
    if worst is not None:
        yield f"Before anything was rounded, the files agreed with the original model to {sig3(worst)} dB or better."
    elif floats:
        yield "Before anything was rounded, the files agreed with the original model bit for bit."
    else:
        yield _unknown(result, "parity", "nothing was compared with the original model")
    yield ""
    if result.quality is None:
        yield _unknown(result, "quality", "nothing was listened to")
        return
    held = "held-out" if result.quality.held_out else "calibration"
    sentences = f"{len(result.quality.utterances)} {held} sentences"
    yield f"{result.quality.candidate} against {result.quality.reference}, {sentences}:"
    yield ""
    rows = [
        (f"{metric.title} [{metric.unit}]" if metric.unit else metric.title, signed(metric.mean), signed(metric.worst))
        for metric in result.quality.metrics
    ]
    yield from _table(("metric", "mean", "worst"), rows)
    yield "Of metrics that the original has a value of its own for, the difference. Predicted; no person listened."


def _speed(result: RunResult) -> Iterator[str]:
    shipped = [entry for entry in result.latency if entry.variant == "result"]
    if shipped:
        rows = [
            (
                entry.part,
                count(entry.threads),
                milliseconds(entry.stats.p50_ms),
                entry.where,
                "yes" if entry.valid else "no",
            )
            for entry in shipped
        ]
        yield from _table(("part", "threads", "median", "measured on", "valid"), rows)
    else:
        yield _unknown(result, "latency", "nothing was timed")
    for entry in result.phone.latencies if result.phone else ():
        yield f"- {entry.part} on {entry.where}, {entry.delegate}: {milliseconds(entry.avg_ms)} on average"
    for guess in result.estimates:
        yield f"- {guess.part}, not measured: {_flat(guess.sentence)}"
    if result.size is not None:
        yield ""
        before = size(result.size.baseline_bytes)
        yield f"{size(result.size.total_bytes)} on disk, {before} in float32. {result.size.includes}".rstrip()


def _limits(result: RunResult) -> Iterator[str]:
    found = [f"- {_flat(warning.message)}" for warning in result.warnings]
    for gate in result.gates:
        if gate.status in ("fail", "error"):
            limit = f", limit {gate.comparison} {quantity(gate.limit, gate.unit)}" if gate.limit is not None else ""
            found.append(f"- **{gate.title} is out of its limit**: {quantity(gate.value, gate.unit)}{limit}")
    if not result.validity.valid:
        reasons = result.validity.reasons
        rest = f"; and {len(reasons) - _OBJECTIONS} more" if len(reasons) > _OBJECTIONS else ""
        found.append(f"- **Measurements are not valid**: {'; '.join(reasons[:_OBJECTIONS])}{rest}")
    found += [f"- not measured: {name}: {_flat(why)}" for name, why in sorted(result.not_measured.items())]
    yield from found or ["None are recorded, which does not mean that there are none."]


def _files(result: RunResult) -> Iterator[str]:
    shipped = [file for file in result.artifacts if file.path.startswith("bundle/")]
    rows = [(f"`{file.path}`", str(file.size_bytes), f"`{file.sha256}`") for file in shipped]
    if not rows:
        rows = [(f"`{name}`", "–", f"`{digest}`") for name, digest in sorted(result.run.input_sha256.items())]
        yield "Nothing was written for shipping. What was read:"
        yield ""
    yield from _table(("file", "bytes", "sha256"), rows)


def _making(result: RunResult) -> Iterator[str]:
    run = result.run
    yield f"    {' '.join(run.command.split())}"
    yield ""
    facts = [("recipe sha256", run.recipe_sha256), ("commit", run.commit), ("started", run.started)]
    facts += [("requirements.lock sha256", result.environment.lock_sha256)]
    facts += [(f"input {name} sha256", digest) for name, digest in sorted(run.input_sha256.items())]
    yield from (f"- {name}: `{value}`" for name, value in facts if value)
    yield "- all settings: `recipe.lock.yaml`; all numbers: `results.json`; all of it to look at: `index.html`"


def _unknown(result: RunResult, section: str, default: str) -> str:
    return f"{_flat(pick.why_missing(result, section, default))}"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(_flat(cell).replace('|', '∣') for cell in row)} |"
    yield ""


def _flat(text: str) -> str:
    """One line, without what markdown or HTML would take for its own."""
    return " ".join(text.split()).replace("<", "&lt;")
