"""The run directory of a stack: the last stage's bundle and model, ``stack.json``, the page, a manifest."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import toolkit
from toolkit.bench.machine import tool_versions
from toolkit.pipeline.run_directory import MANIFEST, RunDirectory, building
from toolkit.recipe import load as recipes
from toolkit.recipe.stacking import Stack, VoiceStack
from toolkit.report.stack_page import write_stack_page
from toolkit.results.stack import STACK_FILE, StackClip, StackResult, save_stack

_SHIPPED = ("bundle", "checkpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class LastStage:
    """What is shipped.

    Attributes:
        run: run directory of its bundle.
        model: its float model as an ordinary file.
    """

    run: Path
    model: Path


def write_stack(
    out: Path,
    result: StackResult,
    stack: Stack | VoiceStack,
    last: LastStage,
    audio: Mapping[str, Mapping[str, Path]],
    texts: Mapping[str, str],
) -> StackResult:
    """Writes the run directory of a stack, whole or not at all; returns the result with its clips.

    Args:
        out: its place.
        result: everything that was measured.
        stack: the recipe, with every default.
        last: of the stages that were made.
        audio: stage to sentence to file.
        texts: sentence to what it says.
    """
    with building(out) as directory:
        shutil.copytree(last.run / "bundle", directory.path / "bundle")
        (directory.path / "checkpoint").mkdir()
        shutil.copyfile(last.model, directory.path / "checkpoint" / last.model.name)
        directory.write_text("stack.lock.yaml", recipes.dump(stack))
        directory.write_json(
            MANIFEST,
            {
                "schema": 1,
                "inputs": result.inputs,
                "outputs": directory.digests(_SHIPPED),
                "stages": {stage.name: stage.key for stage in result.stages},
                "tools": {"toolkit": toolkit.__version__, **tool_versions()},
            },
        )
        # As of any run, audio is not in the manifest: its last bits depend on the processor.
        result = result.model_copy(update={"clips": _clips(directory, audio, texts)})
        save_stack(result, directory.path / STACK_FILE)
        write_stack_page(result, directory.path)
    return result


def _clips(
    directory: RunDirectory, audio: Mapping[str, Mapping[str, Path]], texts: Mapping[str, str]
) -> tuple[StackClip, ...]:
    clips = []
    for name, text in texts.items():
        paths = {}
        for stage, files in audio.items():
            if name in files:
                target = f"audio/{name}-{stage}{files[name].suffix}"
                directory.write_bytes(target, files[name].read_bytes())
                paths[stage] = target
        if len(paths) > 1:
            clips.append(StackClip(id=name, text=text, paths=paths))
    return tuple(clips)
