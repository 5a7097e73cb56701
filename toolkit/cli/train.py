"""``toolkit train``: models of the project's own, trained from packaged parts."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from toolkit.cli.render import Terminal

app = typer.Typer(help="Train the project's own small models.", no_args_is_help=True)


@app.command("t2s-small")
def t2s_small(
    out: Path = typer.Option(Path("runs/t2s-small"), help="Run directory; replaced only when the run completes."),
    sentences: int = typer.Option(1600, min=2, help="Sentences to train on, said by the default voice."),
    held_out: int = typer.Option(100, min=1, help="Generated sentences held out."),
    codes: int = typer.Option(1024, min=2, help="Entries of the codebook."),
    width: int = typer.Option(256, min=2, help="Features of a row."),
    layers: int = typer.Option(4, min=1, help="Transformer layers."),
    heads: int = typer.Option(8, min=1, help="Attention heads."),
    steps: int = typer.Option(1600, min=0, help="Training steps."),
    batch: int = typer.Option(16, min=1, help="Sentences a step."),
    rate: float = typer.Option(1e-3, min=1e-9, help="Largest learning rate."),
    seed: int = typer.Option(0, min=0, help="Of sentences, speech, codebook and training."),
    threads: int = typer.Option(1, min=1, help="Threads; another number may change the last bits."),
    as_json: bool = typer.Option(False, "--json", help="Print the results as JSON on standard output."),
    quiet: bool = typer.Option(False, help="Only warnings, errors and the verdict."),
) -> None:
    """Train a small text-to-semantic model in GPT-SoVITS's own .ckpt format; go on where a run was interrupted."""
    from toolkit.pipeline.train_semantic import NAME, SmallModel, said, train_small_model

    asked = SmallModel(sentences=sentences, held_out=held_out, codes=codes, width=width, layers=layers, heads=heads,
                       steps=steps, batch=batch, learning_rate=rate, seed=seed, threads=threads)  # fmt: skip
    with Terminal(quiet=quiet) as listener:
        result = train_small_model(asked, out, listener)
    if as_json:
        typer.echo(json.dumps(result, indent=1))
        return
    typer.echo(f"{out / NAME}.ckpt  {result['checkpoint_bytes']:,} bytes, {result['parameters']:,} weights")
    for name, found in result["quality"].items():
        typer.echo(f"  {name:<11}{said(found['cross_entropy_nats'], found['top1_ratio'])}")
