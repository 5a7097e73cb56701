"""``toolkit convert --max-size --max-latency``: tries versions, converts the best one in full, and shows all of them.

The directory grows while the search runs and can be taken up again::

    OUT/search.sqlite3   the study         OUT/versions/0007/   report of every version
    OUT/best/            an ordinary run   OUT/index.html       the page;  OUT/search.json  its data
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from converters import frameworks
from toolkit.estimate.devices import find_device
from toolkit.pipeline.events import Listener
from toolkit.pipeline.run import Options
from toolkit.pipeline.run_directory import not_writable, refuse_foreign_directory
from toolkit.recipe import load as recipes
from toolkit.recipe.schema import Recipe
from toolkit.results import RunResult
from toolkit.results import load as load_result
from toolkit.results.search import SEARCH_FILE as DATA
from toolkit.results.search import SearchResult, Version, save_search
from toolkit.search.choose import INDIFFERENT, best, blockers, front, nearest
from toolkit.search.intent import Intent
from toolkit.search.job import GROUPS, Job
from toolkit.search.knobs import KNOBS, Subject, recipe_of, space
from toolkit.search.students import refuse_unoffered
from toolkit.search.study import Study
from toolkit.search.trial import Bench, read_version, try_version

STUDY, BEST, VERSIONS = "search.sqlite3", "best", "versions"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOutcome:
    """What a search ends with.

    Attributes:
        result: every version.
        text: a few lines for the terminal.
        found: whether one keeps every limit.
    """

    result: SearchResult
    text: str
    found: bool


def search(
    job: Job, base: Recipe, intent: Intent, out: Path, listener: Listener, *, command: str = "toolkit convert"
) -> SearchOutcome:
    """Searches for the best version of a model that keeps an intent's limits.

    Args:
        job: the model.
        base: the recipe every version starts from.
        intent: what is asked for.
        out: the search's directory; an interrupted search there goes on.
        listener: told about every stage.
        command: the command line, for the page.

    Raises:
        SearchError: ``out`` holds another search.
        DeviceError: the device is unknown.
        ExtraMissing: optuna is not installed.
        ToolError: the model cannot be converted at all.
    """
    device = find_device(intent.device)
    frameworks.load("optuna")  # before anything is written
    refuse_unoffered(job.kind, intent)
    subject = Subject(kind=job.kind, groups=GROUPS[job.kind], base=base, intent=intent, students=job.students)
    options = space(subject)
    positions = {name: tuple(option.label for option in each) for name, each in options.items()}
    _prepare(out)
    study = Study(out / STUDY, positions, _identity(job, base, intent, positions), intent.seed)
    try:
        bench = Bench(job=job, subject=subject, folder=out / VERSIONS, listener=listener)
        _try_versions(study, bench)
        versions = study.versions()
        combinations = study.combinations
    finally:
        study.close()
    chosen, versions = _convert_best(bench, versions, out, command)
    miss = None if chosen else nearest(versions)
    result = SearchResult(
        model=job.name,
        device=device.name,
        intent=intent.model_dump(mode="json"),
        command=command,
        base=base.name,
        positions=positions,
        why={knob.name: knob.because for knob in KNOBS},
        combinations=combinations,
        versions=versions,
        best=chosen.number if chosen else None,
        best_path=BEST if chosen else None,
        nearest=miss.number if miss else None,
        blockers=() if chosen else blockers(versions, intent.protect),
        front=tuple(version.number for version in front(versions)),
        notes=_notes(job, subject, versions),
        seconds=sum(version.seconds for version in versions),
        work={f"{kind} made": count for kind, count in job.reuse.made.items()}
        | {f"{kind} reused": count for kind, count in job.reuse.found.items()},
    )
    _write(result, out)
    from toolkit.search.verdict import search_text

    return SearchOutcome(result=result, text=search_text(result, out), found=result.found)


def _prepare(out: Path) -> None:
    refuse_foreign_directory(out, what="search", mark=STUDY)
    try:
        (out / VERSIONS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable(out, error) from error


def _identity(job: Job, base: Recipe, intent: Intent, positions: dict[str, tuple[str, ...]]) -> str:
    """What versions on record were tried for; ``trials`` is left out, so that a search can be made longer."""
    words = json.dumps(
        [
            job.identity(),
            recipes.sha256(base),
            intent.model_dump(mode="json", exclude={"trials"}),
            positions,
        ],
        sort_keys=True,
    )
    return hashlib.sha256(words.encode()).hexdigest()


def _try_versions(study: Study, bench: Bench) -> None:
    """Until so many versions were made as the intent allows, or none is left; refusals are short and do not count."""
    total = min(bench.subject.intent.trials, study.combinations)
    versions = study.versions()
    made, number = sum(version.made for version in versions), len(versions)
    while made < total:
        proposed = study.propose()
        if proposed is None:
            return
        trial, chosen = proposed
        number += 1
        version = try_version(bench, number, chosen)
        study.record(trial, version)
        made += version.made
        bench.listener.progress("search", made, total, f"{version.label}: {_fact(version)}")


def _fact(version: Version) -> str:
    if not version.made:
        return f"cannot be made ({version.refused})"
    words = "fits" if version.feasible else f"misses by {version.excess:.0%}"
    latency = f", {version.latency.ms:.3g} ms estimated" if version.latency else ""
    return f"{words}; {version.size_bytes or 0:,} bytes{latency}"


def _convert_best(
    bench: Bench, versions: tuple[Version, ...], out: Path, command: str
) -> tuple[Version | None, tuple[Version, ...]]:
    """Converts the best version in full: all sentences, timed on the host. One that fails then is out."""
    known = {version.number: version for version in versions}
    while (chosen := best(known.values())) is not None:
        recipe = recipe_of(bench.subject, chosen.chosen)
        done = _already(out / BEST, recipe, bench.job, chosen.chosen)
        if done is not None and done.passed:
            return chosen, tuple(known.values())
        outcome = bench.job.convert(recipe, out / BEST, Options(command=command), chosen.chosen)
        score = bench.job.score(outcome, out / BEST)
        full = read_version(outcome, score, chosen.number, chosen.chosen, chosen.seconds)
        known[chosen.number] = full
        if outcome.passed:
            return full, tuple(known.values())
        # It kept the limits on the search's few sentences and breaks one on all of them.
        if full.feasible:
            known[chosen.number] = full.model_copy(update={"unknown": ("a gate failed on the full run",)})
    shutil.rmtree(out / BEST, ignore_errors=True)
    return None, tuple(known.values())


def _already(folder: Path, recipe: Recipe, job: Job, chosen: Mapping[str, str]) -> RunResult | None:
    """The result of this very recipe and form of the model where an earlier search left it."""
    path = folder / "results.json"
    if not path.is_file():
        return None
    result = load_result(path)
    same = job.is_of(set(result.run.input_sha256.values()), chosen)
    return result if same and result.run.recipe_sha256 == recipes.sha256(recipe) else None


def _notes(job: Job, subject: Subject, versions: tuple[Version, ...]) -> tuple[str, ...]:
    notes = [*([job.sharing] if job.sharing else []), *job.notes(subject.intent)]
    judged = {version.score.metric: version.score for version in versions if version.score}
    if len(judged) == 1:
        ((metric, score),) = judged.items()
        notes.append(
            f"Best means: the smallest and fastest of those within {INDIFFERENT[metric]:g} {score.unit} of the highest "
            f"value that fits ({score.title}); smaller differences are not paid for."
        )
    if subject.kind == "voice" and min(subject.base.quality.utterances, subject.intent.utterances):
        some, everything = subject.intent.utterances, subject.base.quality.utterances
        notes.append(
            f"Versions were judged on {min(some, everything)} held-out sentences, the best one on {everything}."
        )
    if subject.intent.size_of == "disk":
        notes.append(
            "Pruning by magnitude was not tried: it makes no file smaller on disk (size_of: download counts it)."
        )
    if any(version.score and version.score.metric == "output_snr_db" for version in versions):
        notes.append(
            "Quality here is the parts' agreement with torch in dB: nothing judged the sound (random weights, a model "
            "that is no voice, a GPT-SoVITS pair, or no sentences asked for)."
        )
    best_version = best(versions)
    if best_version and best_version.latency and subject.intent.max_latency and best_version.latency.high_ms:
        high = best_version.latency.high_ms
        if high > subject.intent.max_latency:
            notes.append(
                f"The best version's latency is an estimate: it may reach {high:.3g} ms, which is over the limit. "
                "Measure it on the phone."
            )
    return tuple(notes)


def _write(result: SearchResult, out: Path) -> None:
    from toolkit.report.search_page import write_search

    save_search(result, out / DATA)
    write_search(result, out)
