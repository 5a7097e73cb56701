"""``toolkit data``: the calibration sentences and clips."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Verify, regenerate or enlarge calibration_data.", no_args_is_help=True)


@app.command()
def verify(root: Path | None = typer.Option(None, help="Data folder; the project's by default.")) -> None:
    """Check every clip and sentence against the manifest's digests."""
    from toolkit.data import load_manifest

    found = load_manifest(root)
    typer.echo(
        f"ok  {found.root}  {len(found.split('calibration'))} calibration and {len(found.split('evaluation'))} "
        f"evaluation sentences, {len(found.clips)} clips  sha256 {found.sha256}"
    )


@app.command()
def regenerate(
    root: Path | None = typer.Option(None, help="Data folder; the project's by default."),
    add: Path | None = typer.Option(None, help="Text file: one more calibration sentence a line."),
    clips: bool = typer.Option(True, help="Synthesise the clips too (needs hibari-tts)."),
) -> None:
    """Make phoneme ids, lengths and clips again from the text files, or enlarge them with more sentences."""
    from toolkit.data.regenerate import regenerate as make
    from toolkit.models.piper import default_voice

    sentences = add.read_text(encoding="utf-8").splitlines() if add else ()
    found = make(default_voice(), root, add_calibration=sentences, clips=clips)
    typer.echo(f"wrote {found.root}: {len(found.sentences)} sentences, {len(found.clips)} clips  sha256 {found.sha256}")
