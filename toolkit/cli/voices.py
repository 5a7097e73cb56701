"""``toolkit voices``: enrol, list, show, remove and export the voices of users."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer

app = typer.Typer(help="The voice database: enrol, list, show, remove and export voices.", no_args_is_help=True)

_DATABASE = Path("voices.sqlite3")


@app.command()
def add(
    user_id: str = typer.Argument(metavar="ID", help="Who: 1 to 64 of A-Z a-z 0-9 . _ -"),
    features: Path | None = typer.Option(None, help="Features of the speaker, a .npz file (as export writes it)."),
    audio: Path | None = typer.Option(
        None, help="The reference recording, 3 to 10 s; with --features, for the d-vector if they lack it."
    ),
    text: str = typer.Option("", help="What is said in the recording."),
    sovits: Path | None = typer.Option(None, help="SoVITS .pth of the model the voice is for; with --ssl."),
    ssl: Path | None = typer.Option(None, help="HuBERT: directory of chinese-hubert-base, or its weights file."),
    bert: Path | None = typer.Option(None, help="BERT for Chinese: directory of chinese-roberta-wwm-ext-large."),
    sv: Path | None = typer.Option(None, help="Speaker encoder for v2Pro: ERes2NetV2's .ckpt."),
    bundle: Path | None = typer.Option(None, help="A bundle with enrolment graphs, instead of --sovits and --ssl."),
    threads: int = typer.Option(2, min=1, help="Threads of the networks."),
    consent: str = typer.Option("", help="Who allowed the use of this voice; taken from an exported file if left out."),
    language: str = typer.Option("", help="Language of the reference's text, where the file names none."),
    replace: bool = typer.Option(False, "--replace", help="Overwrite another voice of that id."),
    database: Path = typer.Option(_DATABASE, help="The database; made if it is not there."),
) -> None:
    """Enrol a voice from its features or from a recording; the same voice again changes nothing."""
    from toolkit.cli.render import Terminal
    from toolkit.pipeline.enrolment import enrol_features
    from toolkit.pipeline.enrolment_sources import Recording, enrol_with

    recording = Recording(
        audio=audio, text=text, language=language, sovits=sovits, ssl=ssl, bert=bert, sv=sv, bundle=bundle
    )
    if features is not None:
        recording.refuse_beside_features()
        done = enrol_features(
            database, user_id, features, audio=audio, consent=consent, language=language, replace=replace
        )
        notes: list[str] = []
    else:
        with Terminal(quiet=True):  # LiteRT logs what it finds on descriptor 2
            done, notes = enrol_with(recording, database, user_id, consent=consent, replace=replace, threads=threads)
    typer.echo("\n".join([f"{user_id}  {done}  {database}", *(f"  note: {note}" for note in notes)]))


@app.command("list")
def list_voices(
    database: Path = typer.Option(_DATABASE, help="The database."),
    as_json: bool = typer.Option(False, "--json", help="JSON instead of text."),
) -> None:
    """List every voice."""
    from toolkit.voices.database import VoiceDatabase

    with VoiceDatabase(database) as voices:
        found = voices.list()
    if as_json:
        typer.echo(json.dumps([asdict(voice) for voice in found], ensure_ascii=False, indent=1))
        return
    for voice in found:
        typer.echo(f"{voice.user_id:<24}{voice.language:<5}{voice.enrolled_at:<27}{voice.features_sha256[:12]}")
    typer.echo(f"{len(found)} voice(s) in {database}")


@app.command()
def show(
    user_id: str = typer.Argument(metavar="ID", help="Whose voice."),
    database: Path = typer.Option(_DATABASE, help="The database."),
    as_json: bool = typer.Option(False, "--json", help="JSON instead of text."),
) -> None:
    """Show a voice's consent note, provenance and arrays; reads and checks all of it."""
    from toolkit.voices.database import VoiceDatabase
    from toolkit.voices.features import RULES

    with VoiceDatabase(database) as voices:
        voice, features = voices.show(user_id), voices.read(user_id)
    shapes = {name: list(array.shape) for name, array in features.arrays.items()}
    if as_json:
        typer.echo(json.dumps({**asdict(voice), "arrays": shapes}, ensure_ascii=False, indent=1))
        return
    typer.echo(f"{voice.user_id}  {voice.language}  enrolled {voice.enrolled_at}")
    typer.echo(f"  consent     {voice.consent}")
    typer.echo(f"  model       {voice.model_sha256 or 'not recorded'}")
    typer.echo(f"  features    sha256 {voice.features_sha256}, intact")
    for source, digest in voice.provenance.get("sources", {}).items():
        typer.echo(f"  source      {source}  sha256 {digest}")
    typer.echo(f"  written by  {voice.provenance.get('tool', 'not recorded')}")
    for name, reason in voice.provenance.get("absent", {}).items():
        typer.echo(f"  absent      {name}: {reason}")
    for name, shape in shapes.items():
        typer.echo(f"  {name:<15}{shape!s:<16}{RULES[name].meaning}")


@app.command()
def remove(
    user_id: str = typer.Argument(metavar="ID", help="Whose voice."),
    database: Path = typer.Option(_DATABASE, help="The database."),
) -> None:
    """Remove a voice; where it stood is overwritten."""
    from toolkit.voices.database import VoiceDatabase

    with VoiceDatabase(database) as voices:
        voices.remove(user_id)
    typer.echo(f"{user_id}  removed  {database}")


@app.command()
def export(
    user_id: str = typer.Argument(metavar="ID", help="Whose voice."),
    out: Path = typer.Option(help="The .npz file to write; `voices add --features` reads it."),
    database: Path = typer.Option(_DATABASE, help="The database."),
) -> None:
    """Write a voice with its consent note and provenance to one file, whole or not at all."""
    from toolkit.pipeline.enrolment import export_features

    export_features(database, user_id, out)
    typer.echo(f"{user_id}  exported  {out}")
