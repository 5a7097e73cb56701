"""``toolkit data``: the calibration sentences and clips."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Verify or regenerate calibration_data.", no_args_is_help=True)


@app.command()
def verify() -> None:
    """Check every clip and sentence against the manifest's digests."""
    from toolkit.data.manifest import verify as verify_manifest

    typer.echo(verify_manifest())


@app.command()
def regenerate(
    out: Path = typer.Option(Path("calibration_data"), help="Where to write; replaced only when complete."),
    sentences: Path | None = typer.Option(None, help="A text file with one more sentence a line."),
) -> None:
    """Make the sentences' phoneme ids and the clips again, or enlarge them with more sentences."""
    from toolkit.data.regenerate import regenerate as make

    typer.echo(make(out, sentences))
