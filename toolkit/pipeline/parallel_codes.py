"""A convolutional text-to-semantic student to a bundle that turns text into codes, and makes no sound of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from toolkit.models.parallel_semantic.config import METADATA_KEY
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.gpt_sovits import SAMPLE_RATE_HZ, convert_graph
from toolkit.pipeline.gpt_sovits_codes import SAMPLES_PER_FRAME
from toolkit.pipeline.gpt_sovits_finish import Started, finish
from toolkit.pipeline.gpt_sovits_listening import Listening
from toolkit.pipeline.gpt_sovits_precision import GraphPrecision
from toolkit.pipeline.gpt_sovits_rules import check_parallel_recipe
from toolkit.pipeline.run import Outcome
from toolkit.pipeline.run_directory import building, refuse_foreign_directory, resume_folder
from toolkit.pipeline.sources import VOICE_SUFFIX, Source
from toolkit.pipeline.verdict import verdict_text
from toolkit.recipe.schema import GptSovits, Recipe

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
    path: Path, recipe: Recipe, out: Path, listener: Listener, *, command: str = "toolkit convert"
) -> Outcome:
    """Converts both graphs, measures them and reports.

    Args:
        path: ``student.safetensors`` of ``toolkit distil --student nar``.
        recipe: lengths and precisions.
        out: run directory; it appears whole or not at all.
        listener: told about every stage.
        command: the command line, for the report.

    Raises:
        CheckpointError: the file is damaged.
        ParityError: a hop diverges from torch.
        RecipeError: a glob of the recipe matches nothing, or it has settings for a part there is none of.
        AuditError: a precision was not realised.
    """
    from toolkit.models.parallel_semantic.file import read_parallel
    from toolkit.models.parallel_semantic.graphs import ParallelBuckets, ParallelSentences, parallel_graphs

    refuse_foreign_directory(out)
    clock = StageClock(listener)
    started = Started.now(clock, command)
    with clock.stage("read student") as stage:
        read = read_parallel(path)
        stage.fact = read.header.label
    check_parallel_recipe(recipe, read.model)
    settings, config = recipe.gpt_sovits or GptSovits(), read.model.config
    title = f"convolutional student, text to semantic codes only, no sound ({read.header.label})"
    facts: dict[str, Any] = {
        "label": title,
        "contents": "codes",
        "version": read.header.version,
        "model_sha256": read.sha256,
        "style_sha256": "",
        "symbols": config.symbols,
        # What the codes mean to any decoder: two frames of 20 ms each. No graph of this bundle uses the numbers.
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "samples_per_frame": SAMPLES_PER_FRAME,
        "overlap_frames": 0,
        "noise_scale": 0.0,
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
    resume = resume_folder(out)
    precision = GraphPrecision(recipe, ParallelSentences(read.model), clock, resume)
    repro = out.with_name(f"{out.name}-repro")
    source = Source(name=path.stem, label=title, kind="voice", voice=None, inputs={path.name: read.sha256})
    buckets = ParallelBuckets(phones=settings.nar_phones, frames=settings.nar_frames)
    with building(out) as directory:
        wanted = parallel_graphs(read.model, buckets, seed=recipe.seed)
        graphs = [convert_graph(graph, recipe, clock, repro, directory, precision) for graph in wanted]
        result = finish(
            graphs, facts, source, recipe, directory, started, Listening(missing="the bundle makes codes, and no sound")
        )
    shutil.rmtree(resume, ignore_errors=True)
    return Outcome(result=result, verdict=verdict_text(result, out), passed=result.passed)
