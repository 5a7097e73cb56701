"""``toolkit sensitivity``: which layers mind 8 bits, and a recipe that spares them."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from toolkit.cli.render import Terminal
from toolkit.recipe import load as recipes

_INT8 = {"voice": "vits-voice-int8", "model": "any-model-int8", "gpt-sovits": "gpt-sovits-int8"}


def sensitivity(
    model: str = typer.Argument(
        "",
        metavar="[MODEL]",
        help="Piper voice, package.module:factory, TorchScript, torch.export or .onnx file, or a GPT-SoVITS GPT .ckpt; "
        "the embedded default voice if left out.",
    ),
    recipe: str = typer.Option("", help="Recipe that says what is to be int8; default: an int8 one of the kind."),
    change: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Change a recipe field."),
    part: str = typer.Option("", help="Only this part, e.g. decoder; all that have int8 if left out."),
    target: float = typer.Option(30.0, metavar="DB", help="Signal over noise each part should keep, in dB."),
    depth: int = typer.Option(3, min=1, help="Parts of a torch path that name a group: 3 makes dec.resblocks.4 one."),
    inputs: list[str] = typer.Option([], "--input", metavar="NAME:SHAPE[:DTYPE[:LOW..HIGH]]", help="Declare an input."),
    spec: Path | None = typer.Option(None, help="YAML file declaring inputs instead of --input."),
    probe: Path | None = typer.Option(None, help=".npz of real inputs by name."),
    random_voice: bool = typer.Option(False, "--random-voice", help="A small seeded voice of random weights."),
    out: Path | None = typer.Option(None, help="Recipe to write, with rules that keep the worst groups in float."),
    as_json: bool = typer.Option(False, "--json", help="JSON instead of a table."),
    quiet: bool = typer.Option(False, help="Only warnings, errors and the table."),
) -> None:
    """Round one group of layers at a time and measure what it costs; choose what to keep in float for a target.

    Ranges are calibrated as for a conversion; rounding is simulated layer by layer as the int8 file computes, on inputs
    that no range was chosen by.
    """
    from toolkit.pipeline import sources
    from toolkit.pipeline.sensitivity import analyse, analysis_json, analysis_text, write_recipe

    if model.endswith(".ckpt"):
        request: sources.Request | Path = Path(model)
        kind = "gpt-sovits"
    else:
        request = sources.Request(model=model, inputs=tuple(inputs), spec=spec, probe=probe, random_voice=random_voice)
        kind = sources.kind_of(request)
    settings = recipes.load(recipe or _INT8[kind], tuple(change))
    with Terminal(quiet=quiet) as listener:
        found = analyse(request, settings, part, listener, target_db=target, depth=depth)
    if out is not None:
        write_recipe(settings, found, out)
    typer.echo(json.dumps(analysis_json(found), indent=1) if as_json else analysis_text(found))
    if out is not None and not as_json:
        typer.echo(f"recipe: {out}")
