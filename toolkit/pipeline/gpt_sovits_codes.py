"""A GPT checkpoint alone: a bundle that turns text into semantic codes and makes no sound of them.

SoVITS v3 and v4 do not convert, but their text-to-semantic half does; whoever has another decoder for the codes needs
no more. The bundle says so in ``engine.json`` (``contents: codes``), and ``toolkit speak`` refuses it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from toolkit.errors import CheckpointError
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.gpt_sovits import SAMPLE_RATE_HZ, convert_graph, semantic_facts, semantic_model
from toolkit.pipeline.gpt_sovits_finish import Started, finish
from toolkit.pipeline.gpt_sovits_listening import Listening
from toolkit.pipeline.gpt_sovits_precision import GraphPrecision
from toolkit.pipeline.gpt_sovits_rules import check_recipe
from toolkit.pipeline.run import Outcome
from toolkit.pipeline.run_directory import building, refuse_foreign_directory, resume_folder
from toolkit.pipeline.sources import Source
from toolkit.pipeline.verdict import verdict_text
from toolkit.recipe.schema import GptSovits, Recipe

SAMPLES_PER_FRAME = 640
"""At 32 kHz; two frames are one code."""


def unsung_facts(version: str, model_sha256: str) -> dict[str, Any]:
    """What ``engine.json`` says of a bundle that makes no sound of its codes."""
    return {
        "contents": "codes",
        "version": version,
        "model_sha256": model_sha256,
        # What the codes mean to any decoder: two frames of 20 ms each. No graph of this bundle uses the numbers.
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "samples_per_frame": SAMPLES_PER_FRAME,
        "overlap_frames": 0,
        "noise_scale": 0.0,
    }


def convert_codes(
    path: Path, recipe: Recipe, out: Path, listener: Listener, *, command: str = "toolkit convert"
) -> Outcome:
    """Converts the text-to-semantic graphs, measures them and reports.

    Args:
        path: the GPT ``.ckpt``.
        recipe: lengths and precisions.
        out: run directory; it appears whole or not at all.
        listener: told about every stage.
        command: the command line, for the report.

    Raises:
        CheckpointError: the file is damaged, foreign, or a SoVITS checkpoint.
        ParityError: a hop diverges from torch.
        RecipeError: a glob of the recipe matches nothing, or it has settings for a part there is none of.
        AuditError: a precision was not realised.
    """
    from toolkit.models.gpt_sovits.calibration import SpokenSentences
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
    from toolkit.models.gpt_sovits.semantic_graphs import SemanticBuckets, semantic_graphs

    refuse_foreign_directory(out)
    clock = StageClock(listener)
    started = Started.now(clock, command)
    with clock.stage("read checkpoint") as stage:
        gpt = read_checkpoint(path)
        if gpt.kind != "gpt":
            raise CheckpointError(
                "it is the SoVITS half of a model, which says nothing without its GPT half",
                code="checkpoint/pair",
                where=str(path),
                hint="toolkit convert GPT.ckpt SOVITS.pth",
            )
        stage.fact = gpt.info or path.name
    settings, model = recipe.gpt_sovits or GptSovits(), semantic_model(gpt, share=True)
    check_recipe(recipe, model)
    lengths = SemanticBuckets(prefill=settings.prefill, cache_rows=settings.cache_rows)
    title = f"GPT-SoVITS {gpt.version} GPT half: text to semantic codes only, no sound" + (
        f" ({gpt.info})" if gpt.info else ""
    )
    facts: dict[str, Any] = {
        "label": title,
        **unsung_facts(gpt.version, gpt.sha256),
        "style_sha256": "",
        "symbols": model.config.symbols,
        "semantic": semantic_facts(model),
    }
    resume = resume_folder(out)
    precision = GraphPrecision(recipe, SpokenSentences(model, None, seed=recipe.seed), clock, resume)
    repro = out.with_name(f"{out.name}-repro")
    source = Source(name=path.stem, label=title, kind="voice", voice=None, inputs={path.name: gpt.sha256})
    with building(out) as directory:
        wanted = semantic_graphs(model, lengths, features=settings.text_features, seed=recipe.seed)
        graphs = [convert_graph(graph, recipe, clock, repro, directory, precision) for graph in wanted]
        result = finish(
            graphs, facts, source, recipe, directory, started, Listening(missing="the bundle makes codes, and no sound")
        )
    shutil.rmtree(resume, ignore_errors=True)
    return Outcome(result=result, verdict=verdict_text(result, out), passed=result.passed)
