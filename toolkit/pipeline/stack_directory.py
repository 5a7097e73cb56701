"""The run directory of a stack: the last stage's bundle and model, ``stack.json``, the page, a manifest."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
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
        model: its float model as an ordinary file; ``None`` where that is what was given.
    """

    run: Path
    model: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Take:
    """One sentence, as the stages say it.

    Attributes:
        id: its name.
        text: what it says.
        files: of each stage's rendition, by the stage's name.
    """

    id: str
    text: str
    files: Mapping[str, Path]


def write_stack(
    out: Path, result: StackResult, stack: Stack | VoiceStack, last: LastStage, takes: Sequence[Take] = ()
) -> StackResult:
    """Writes the run directory of a stack, whole or not at all; returns the result with its clips.

    Args:
        out: its place.
        result: everything that was measured.
        stack: the recipe, with every default.
        last: of the stages that were made.
        takes: sentences to listen to.
    """
    with building(out) as directory:
        shutil.copytree(last.run / "bundle", directory.path / "bundle")
        if last.model is not None:
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
        result = result.model_copy(update={"clips": tuple(_clip(directory, take) for take in takes)})
        save_stack(result, directory.path / STACK_FILE)
        write_stack_page(result, directory.path)
    return result


def _clip(directory: RunDirectory, take: Take) -> StackClip:
    paths = {stage: f"audio/{take.id}-{stage}{path.suffix}" for stage, path in take.files.items()}
    for stage, path in take.files.items():
        directory.write_bytes(paths[stage], path.read_bytes())
    return StackClip(id=take.id, text=take.text, paths=paths)
