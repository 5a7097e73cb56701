"""``toolkit prune``: channels and heads are taken out of a checkpoint, round by round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import typer

from toolkit.cli.render import Terminal
from toolkit.recipe.shrinking import PROTECTED, Prune, checked


def prune(
    model: Path = typer.Argument(
        None, metavar="[GPT.ckpt|SOVITS.pth]", help="What is pruned; the project's small GPT model if left out."
    ),
    data: Path | None = typer.Option(
        None,
        help="GPT: corpus.npz of `toolkit train`, or upstream's logs/NAME directory; the small model's corpus if "
        "left out.",
    ),
    mlp: float = typer.Option(0.5, help="GPT: share of the feed-forward channels to take out in the end."),
    heads: float = typer.Option(0.0, help="GPT: share of the heads to take out, the same number in every layer."),
    encoder: float = typer.Option(0.05, help="SoVITS: share of the text encoder's feed-forward channels, at most 0.3."),
    round_ratio: float = typer.Option(0.05, "--round", help="Share of the original that goes in a round."),
    importance: Literal["taylor", "magnitude"] = typer.Option("taylor", help="How channels and heads are ranked."),
    steps: int = typer.Option(40, min=0, help="Training steps after each round."),
    batch: int = typer.Option(16, min=1, help="Sentences a step."),
    rate: float = typer.Option(3e-4, help="Largest learning rate."),
    teacher: bool = typer.Option(
        True, "--teacher/--no-teacher", help="GPT: what is left learns from the model given, or from the data alone."
    ),
    temperature: float | None = typer.Option(None, help="GPT: 3 to 7: softens both models' logits (5)."),
    alpha: float | None = typer.Option(
        None, help="GPT: weight of what the model given says; the data has the rest (0.4)."
    ),
    cache: Path | None = typer.Option(None, help="Directory of teachers' outputs; .teachers beside --out if left out."),
    max_rise: float = typer.Option(0.1, help="Gate: nats above the given model on held-out sentences."),
    protect: list[str] = typer.Option(
        list(PROTECTED), help="Globs over tensor names that must stay as they are; repeat for several."
    ),
    control: bool = typer.Option(
        False, "--control", help="GPT: also train the whole model for as many steps with that loss, to compare."
    ),
    seed: int = typer.Option(0, min=0, help="Of batches and dropout."),
    threads: int = typer.Option(1, min=1, help="Threads of torch."),
    out: Path = typer.Option(Path("runs/pruned"), help="Run directory; replaced only when the run completes."),
    as_json: bool = typer.Option(False, "--json", help="Print the results as JSON on standard output."),
    quiet: bool = typer.Option(False, help="Only warnings, errors and the verdict."),
) -> int:
    """Prune a checkpoint: whole channels and heads go, and the result is an ordinary smaller checkpoint.

    A GPT checkpoint is trained after each round, on the data and on what the model given says of it, and judged on
    held-out sentences; pruning stops at the gate and the smallest model that passed is kept. A SoVITS checkpoint loses
    a few channels of its text encoder, without training; its flow and decoder are protected.
    """
    from toolkit.pipeline.shrink_semantic import DEFAULT_CORPUS, DEFAULT_MODEL, prune_checkpoint
    from toolkit.pipeline.shrink_sovits import prune_sovits

    told = {name: value for name, value in (("temperature", temperature), ("alpha", alpha)) if value is not None}
    if told and not teacher:
        raise typer.BadParameter(f"--{next(iter(told))} does nothing with --no-teacher")
    settings = checked(Prune, {
        "mlp_ratio": mlp, "heads_ratio": heads, "encoder_ratio": encoder, "round_ratio": round_ratio,
        "importance": importance, "cross_entropy_rise_max": max_rise, "protect": tuple(protect), "seed": seed,
        "teaching": told if teacher else None, "training": {"steps": steps, "batch": batch, "learning_rate": rate},
    })  # fmt: skip
    with Terminal(quiet=quiet) as listener:
        if model is not None and model.suffix == ".pth":
            done = prune_sovits(model, settings, out, listener)
        else:
            done = prune_checkpoint(
                model or DEFAULT_MODEL,
                data or DEFAULT_CORPUS,
                settings,
                out,
                listener,
                control=control,
                cache=cache,
                threads=threads,
            )
    typer.echo(json.dumps(done.result, indent=1) if as_json else done.verdict)
    return 0 if done.passed else 1
