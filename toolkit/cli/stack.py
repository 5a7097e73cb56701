"""``toolkit stack``: one compression after the other, with gates between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from toolkit.cli.command_line import command_line
from toolkit.cli.render import Terminal
from toolkit.recipe import load as recipes
from toolkit.recipe.stacking import Stack, VoiceStack

if TYPE_CHECKING:
    from toolkit.pipeline.stack import Stages

_DEFAULT_STACK = {"t2s": "stacked-t2s", "voice": "stacked-voice"}


def stack(
    model: str = typer.Argument(
        "",
        metavar="[GPT.ckpt|VOICE]",
        help="What is stacked: a GPT checkpoint (the project's small one if left out), or a VITS voice: a Piper .onnx, "
        "a voice file, or joe, the default voice.",
    ),
    data: Path | None = typer.Option(
        None,
        help="corpus.npz of `toolkit train`, or upstream's logs/NAME directory; the small model's corpus if left out. "
        "Voice: a text file of IPA to teach with, a sentence a line.",
    ),
    recipe: str = typer.Option(
        "", help="Built-in stack or YAML file; stacked-t2s or stacked-voice if left out, by the kind of model."
    ),
    change: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Change a field, e.g. distil.width=128."),
    teacher: Path | None = typer.Option(
        None, help="Of a student that is stacked again: the voice it was made of, where it is not found by itself."
    ),
    cache: Path | None = typer.Option(None, help="Finished stages by content; .stages beside --out if left out."),
    threads: int = typer.Option(1, min=1, help="Threads of torch; another number may change the last bits."),
    out: Path = typer.Option(Path("runs/stacked"), help="Run directory; replaced only when the run completes."),
    dry_run: bool = typer.Option(False, help="Print the complete recipe and stop."),
    as_json: bool = typer.Option(False, "--json", help="Print stack.json on standard output."),
    quiet: bool = typer.Option(False, help="Only warnings, errors and the verdict."),
) -> int:
    """Compress a model by one recipe, stage by stage; stop at the first gate that does not hold.

    A GPT checkpoint is distilled, pruned and quantised; a VITS voice likewise, as by `toolkit distil`, `toolkit prune`
    and `toolkit convert`. Every stage is kept by content: a stage asked again of the same model, data and settings is
    not made again, and one that was interrupted goes on.
    """
    from toolkit.pipeline.shrink_voice import is_voice

    family = "voice" if is_voice(model) else "t2s"
    settings = recipes.load_stack(recipe or _DEFAULT_STACK[family], tuple(change), family=family)
    if teacher is not None and family != "voice":
        raise typer.BadParameter("--teacher does nothing for a GPT checkpoint")
    if dry_run:
        typer.echo(recipes.dump(settings), nl=False)
        return 0
    from toolkit.pipeline.stack import run_stack
    from toolkit.pipeline.stack_verdict import stack_verdict

    place = cache or out.absolute().with_name(".stages")
    with Terminal(quiet=quiet) as listener:
        stages = _stages(settings, model, data, teacher, place, listener, threads)
        result = run_stack(stages, settings, out, command=command_line(), threads=threads)
    if as_json:
        typer.echo(json.dumps(result.model_dump(mode="json", by_alias=True)))
    else:
        typer.echo(stack_verdict(result, out))
    return 0 if result.passed else 1


def _stages(
    settings: Stack | VoiceStack,
    model: str,
    data: Path | None,
    teacher: Path | None,
    cache: Path,
    listener: Terminal,
    threads: int,
) -> Stages:
    """The kind of model's own stages."""
    if isinstance(settings, VoiceStack):
        from toolkit.pipeline.stack_voice import VoiceStages

        return VoiceStages(
            model, data, settings, cache, listener, teacher=teacher, threads=threads, command=command_line()
        )
    from toolkit.pipeline.shrink_semantic import DEFAULT_CORPUS, DEFAULT_MODEL
    from toolkit.pipeline.stack_semantic import SemanticStages

    given = Path(model) if model else DEFAULT_MODEL
    return SemanticStages(
        given, data or DEFAULT_CORPUS, settings, cache, listener, threads=threads, command=command_line()
    )
