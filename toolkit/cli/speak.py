"""``toolkit speak``: a bundle says a sentence, with numpy and the LiteRT interpreter only."""

from __future__ import annotations

from pathlib import Path

import typer


def speak(
    bundle: Path = typer.Argument(help="The bundle/ folder of a run (or the run itself)."),
    text: str = typer.Option("", help="Text; needs the espeak-ng program for its phonemes."),
    phonemes: str = typer.Option("", help="Phonemes as espeak-ng writes them, instead of --text."),
    out: Path = typer.Option(Path("speech.wav"), "--out", "-o", help="WAV file to write."),
    threads: int = typer.Option(2, min=1, help="Interpreter threads."),
    seed: int = typer.Option(0, help="Seed of the voice's noise."),
) -> None:
    """Speak with a converted voice."""
    from toolkit.pipeline.speech import speak_to_file

    typer.echo(speak_to_file(bundle, text=text, phonemes=phonemes, out=out, threads=threads, seed=seed))
