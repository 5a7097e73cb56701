"""A convolutional text-to-semantic student to a bundle: text to codes, and to sound with the SoVITS half beside it."""

from __future__ import annotations

import shutil
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import CheckpointError
from toolkit.models.parallel_semantic.config import METADATA_KEY
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.gpt_sovits import convert_graph, sung_facts, sung_graphs
from toolkit.pipeline.gpt_sovits_codes import unsung_facts
from toolkit.pipeline.gpt_sovits_finish import Started, finish
from toolkit.pipeline.gpt_sovits_listening import Listening
from toolkit.pipeline.gpt_sovits_precision import GraphPrecision
from toolkit.pipeline.gpt_sovits_rules import check_parallel_recipe
from toolkit.pipeline.run import Outcome
from toolkit.pipeline.run_directory import building, refuse_foreign_directory, resume_folder
from toolkit.pipeline.sources import VOICE_SUFFIX, Source
from toolkit.pipeline.verdict import verdict_text
from toolkit.recipe.schema import GptSovits, Recipe

if TYPE_CHECKING:
    from toolkit.models.gpt_sovits.checkpoint import Checkpoint
    from toolkit.models.parallel_semantic.file import ParallelFile

_MOST_HEADER_BYTES = 1 << 20


def is_parallel(name: str) -> bool:
    """Whether a ``.safetensors`` file says that it is such a student; what cannot be read is none."""
    if Path(name).suffix != VOICE_SUFFIX:
        return False
    try:
        with Path(name).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            return METADATA_KEY.encode() in file.read(min(length, _MOST_HEADER_BYTES))
    except OSError:
        return False


def convert_parallel(
    path: Path,
    recipe: Recipe,
    out: Path,
    listener: Listener,
    *,
    sovits: Path | None = None,
    command: str = "toolkit convert",
) -> Outcome:
    """Converts both graphs, and those that make sound of the codes where they are given; measures them and reports.

    Args:
        path: ``student.safetensors`` of ``toolkit distil --student nar``.
        recipe: lengths and precisions.
        out: run directory; it appears whole or not at all.
        listener: told about every stage.
        sovits: the SoVITS ``.pth`` of the student's teacher; its graphs take the style of any enrolled voice.
        command: the command line, for the report.

    Raises:
        CheckpointError: a file is damaged, or the two do not belong together.
        ParityError: a hop diverges from torch.
        RecipeError: a glob of the recipe matches nothing, or it has settings for a part there is none of.
        AuditError: a precision was not realised.
    """
    from toolkit.models.parallel_semantic.file import read_parallel
    from toolkit.models.parallel_semantic.graphs import (
        ParallelBuckets,
        ParallelSentences,
        StudentSpeech,
        parallel_graphs,
    )

    refuse_foreign_directory(out)
    clock = StageClock(listener)
    started = Started.now(clock, command)
    with clock.stage("read student") as stage:
        read = read_parallel(path)
        singer = None if sovits is None else _singer(sovits, read)
        stage.fact = read.header.label
    check_parallel_recipe(recipe, read.model, singer)
    settings = recipe.gpt_sovits or GptSovits()
    title = f"convolutional student, text to semantic codes only, no sound ({read.header.label})"
    if singer is not None:
        title = f"convolutional student and SoVITS {singer.version} ({read.header.label}; {singer.info})"
    facts = {"label": title, **_facts(read, singer)}
    speech = ParallelSentences(read.model) if singer is None else StudentSpeech(read.model, singer, seed=recipe.seed)
    missing = "the bundle makes codes, and no sound"
    if singer is not None:
        missing = "a student of one voice is judged by `toolkit distil`, in codes; its sound is not"
    resume = resume_folder(out)
    precision = GraphPrecision(recipe, speech, clock, resume)
    repro = out.with_name(f"{out.name}-repro")
    inputs = {path.name: read.sha256} | ({} if singer is None else {singer.path.name: singer.sha256})
    source = Source(name=path.stem, label=title, kind="voice", voice=None, inputs=inputs)
    buckets = ParallelBuckets(phones=settings.nar_phones, frames=settings.nar_frames)
    with building(out) as directory:
        wanted = parallel_graphs(read.model, buckets, seed=recipe.seed)
        if singer is not None:
            wanted = chain(wanted, sung_graphs(singer, settings, None, recipe.seed))
        graphs = [convert_graph(graph, recipe, clock, repro, directory, precision) for graph in wanted]
        result = finish(graphs, facts, source, recipe, directory, started, Listening(missing=missing))
    shutil.rmtree(resume, ignore_errors=True)
    return Outcome(result=result, verdict=verdict_text(result, out), passed=result.passed)


def _singer(path: Path, student: ParallelFile) -> Checkpoint:
    """The checkpoint that makes sound of a student's codes.

    Raises:
        CheckpointError: it is damaged, no SoVITS half, or knows other phones or codes.
    """
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint

    found, config = read_checkpoint(path, "sovits"), student.model.config
    sizes = found.sovits
    if sizes is None or sizes.codes != config.codes or sizes.symbols > config.symbols:
        raise CheckpointError(
            f"the student knows {config.symbols} phones and {config.codes} codes, the SoVITS file "
            f"{None if sizes is None else (sizes.symbols, sizes.codes)}",
            code="checkpoint/pair",
            where=str(path),
            hint="give the SoVITS file of the model whose GPT the student learned from",
        )
    return found


def _facts(student: ParallelFile, singer: Checkpoint | None) -> dict[str, Any]:
    """Of ``engine.json``."""
    config = student.model.config
    return {
        **(unsung_facts(student.header.version, student.sha256) if singer is None else sung_facts(singer)),
        "style_sha256": "",
        "symbols": config.symbols,
        # The stop token is the teacher's: durations end a sentence here, and it is never said.
        "semantic": {
            "width": config.width,
            "layers": config.phone_blocks + config.frame_blocks + 1,
            "vocabulary": config.codes + 1,
            "stop_token": config.codes,
            "text_alpha": 0.0,
            "audio_alpha": 0.0,
        },
    }
