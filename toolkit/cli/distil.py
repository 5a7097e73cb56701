"""``toolkit distil``: a narrower and shallower text-to-semantic model learns from a larger one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import typer

from toolkit.cli.render import Terminal
from toolkit.recipe.shrinking import Distil, checked


def distil(
    model: Path = typer.Argument(None, metavar="[GPT.ckpt]", help="The teacher; the project's small one if left out."),
    data: Path | None = typer.Option(
        None,
        help="corpus.npz of `toolkit train`, or upstream's logs/NAME directory (2-name2text.txt and "
        "6-name2semantic.tsv); the small model's corpus if left out.",
    ),
    width: int | None = typer.Option(None, min=2, help="Features of a row; 3/4 of the teacher's if left out."),
    layers: int | None = typer.Option(None, min=1, help="Layers; half of the teacher's if left out."),
    heads: int | None = typer.Option(None, min=1, help="Heads; as wide as the teacher's if left out."),
    inner: int | None = typer.Option(None, min=1, help="Features inside a feed-forward block."),
    temperature: float = typer.Option(5.0, help="3 to 7: softens both models' logits."),
    alpha: float = typer.Option(0.4, help="Weight of what the teacher says; the data has the rest."),
    start: Literal["inherit", "random"] = typer.Option(
        "inherit", help="First weights: cut from the teacher, or random."
    ),
    steps: int = typer.Option(600, min=0, help="Training steps."),
    batch: int = typer.Option(16, min=1, help="Sentences a step."),
    rate: float = typer.Option(1e-3, help="Largest learning rate."),
    max_rise: float | None = typer.Option(None, help="Gate: nats above the teacher on held-out sentences."),
    cache: Path | None = typer.Option(None, help="Directory of teachers' outputs; .teachers beside --out if left out."),
    seed: int = typer.Option(0, min=0, help="Of batches, dropout and random weights."),
    threads: int = typer.Option(1, min=1, help="Threads of torch."),
    out: Path = typer.Option(Path("runs/distilled"), help="Run directory; replaced only when the run completes."),
    as_json: bool = typer.Option(False, "--json", help="Print the results as JSON on standard output."),
    quiet: bool = typer.Option(False, help="Only warnings, errors and the verdict."),
) -> int:
    """Distil a GPT checkpoint into a smaller one: alpha * T^2 * KL to the teacher, the rest cross-entropy of the data.

    Text features (BERT) count as zeros in training: a student of a Chinese model works without BERT. An interrupted run
    goes on where it was.
    """
    from toolkit.pipeline.shrink_semantic import DEFAULT_CORPUS, DEFAULT_MODEL, distil_checkpoint

    settings = checked(Distil, {
        "temperature": temperature, "alpha": alpha, "width": width, "layers": layers, "heads": heads, "inner": inner,
        "start": start, "cross_entropy_rise_max": max_rise, "seed": seed,
        "training": {"steps": steps, "batch": batch, "learning_rate": rate},
    })  # fmt: skip
    with Terminal(quiet=quiet) as listener:
        done = distil_checkpoint(
            model or DEFAULT_MODEL, data or DEFAULT_CORPUS, settings, out, listener, cache=cache, threads=threads
        )
    typer.echo(json.dumps(done.result, indent=1) if as_json else done.verdict)
    return 0 if done.passed else 1
