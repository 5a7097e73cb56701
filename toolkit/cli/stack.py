"""``toolkit stack``: distil, prune and quantise one after the other, with a gate after each."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from toolkit.cli.command_line import command_line
from toolkit.cli.render import Terminal
from toolkit.recipe import load as recipes


def stack(
    model: Path = typer.Argument(
        None, metavar="[GPT.ckpt]", help="What is stacked; the project's small GPT model if left out."
    ),
    data: Path | None = typer.Option(
        None,
        help="corpus.npz of `toolkit train`, or upstream's logs/NAME directory; the small model's corpus if left out.",
    ),
    recipe: str = typer.Option("stacked-t2s", help="Built-in stack or YAML file."),
    change: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Change a field, e.g. distil.width=128."),
    cache: Path | None = typer.Option(None, help="Finished stages by content; .stages beside --out if left out."),
    threads: int = typer.Option(1, min=1, help="Threads of torch; another number may change the last bits."),
    out: Path = typer.Option(Path("runs/stacked"), help="Run directory; replaced only when the run completes."),
    dry_run: bool = typer.Option(False, help="Print the complete recipe and stop."),
    as_json: bool = typer.Option(False, "--json", help="Print stack.json on standard output."),
    quiet: bool = typer.Option(False, help="Only warnings, errors and the verdict."),
) -> int:
    """Distil, prune and quantise a GPT checkpoint by one recipe; stop at the first gate that does not hold.

    Every stage is kept by content: a stage asked again of the same model, data and settings is not made again, and one
    that was interrupted goes on.
    """
    settings = recipes.load_stack(recipe, tuple(change))
    if dry_run:
        typer.echo(recipes.dump(settings), nl=False)
        return 0
    from toolkit.pipeline.shrink_semantic import DEFAULT_CORPUS, DEFAULT_MODEL
    from toolkit.pipeline.stack_directory import stack_verdict
    from toolkit.pipeline.stack_semantic import SemanticStack, StackPlaces

    places = StackPlaces(
        model=model or DEFAULT_MODEL,
        data=data or DEFAULT_CORPUS,
        out=out,
        cache=cache or out.absolute().with_name(".stages"),
    )
    with Terminal(quiet=quiet) as listener:
        result = SemanticStack(places, settings, listener, threads=threads, command=command_line()).run()
    if as_json:
        typer.echo(json.dumps(result.model_dump(mode="json", by_alias=True)))
    else:
        typer.echo(stack_verdict(result, out))
    return 0 if result.passed else 1
