"""``toolkit speak``: a bundle says a sentence, with numpy and the LiteRT interpreter only."""

from __future__ import annotations

from pathlib import Path

import typer

from toolkit.cli.unused_options import refuse_unused


def speak(
    bundle: Path = typer.Argument(help="The bundle/ folder of a run (or the run itself)."),
    text: str = typer.Option("", help="Text; needs espeak-ng (VITS) or the text extra (GPT-SoVITS) for its phonemes."),
    phonemes: str = typer.Option("", help="VITS: phonemes as espeak-ng writes them, instead of --text."),
    phones: str = typer.Option(
        "", help="GPT-SoVITS: phone symbols or ids, sentences separated by |, instead of --text."
    ),
    user: str = typer.Option("", help="GPT-SoVITS: whose voice."),
    database: Path = typer.Option(Path("voices.sqlite3"), help="GPT-SoVITS: the voice database."),
    language: str = typer.Option("", help="GPT-SoVITS: zh, en or ja; that of the voice if left out."),
    cut: str = typer.Option("cut5", help="GPT-SoVITS: how long text is split, cut0 to cut5 as upstream."),
    speed: float = typer.Option(1.0, help="GPT-SoVITS: of speech, 0.6 to 1.65; 1.25 is a quarter faster."),
    out: Path = typer.Option(Path("speech.wav"), "--out", "-o", help="WAV file to write."),
    threads: int = typer.Option(2, min=1, help="Interpreter threads."),
    seed: int = typer.Option(0, min=0, help="Seed of the voice's noise (and of its tokens)."),
    memory_mb: int = typer.Option(300, min=1, help="GPT-SoVITS: most the process may grow, in MiB."),
    delegate: str = typer.Option("", help="GPT-SoVITS: shared library of a TFLite delegate."),
    deadline: float = typer.Option(1.0, min=0.01, help="GPT-SoVITS: real-time factor to stay below before degrading."),
) -> None:
    """Speak with a converted voice."""
    from toolkit.engine.bundle import bundle_folder, is_bundle

    folder = bundle_folder(bundle)
    if not is_bundle(folder):
        texts = {"user": user, "phones": phones, "language": language, "delegate": delegate}
        given = {name: value or None for name, value in texts.items()}
        refuse_unused({**given, "speed": None if speed == 1 else speed}, "a VITS voice")
        from toolkit.pipeline.speech import speak_to_file

        typer.echo(speak_to_file(bundle, text=text, phonemes=phonemes, out=out, threads=threads, seed=seed))
        return
    refuse_unused({"phonemes": phonemes or None}, "a GPT-SoVITS bundle; give --phones")
    from toolkit.cli.render import Terminal
    from toolkit.pipeline.engine_speech import EngineSettings, speak_as_user

    settings = EngineSettings(
        threads=threads,
        seed=seed,
        memory_bytes=memory_mb << 20,
        delegate=delegate,
        deadline_factor=deadline,
        cut=cut,
        speed=speed,
    )
    with Terminal(quiet=True):  # LiteRT logs what it finds on descriptor 2
        lines = speak_as_user(
            folder,
            user_id=user,
            database=database,
            text=text,
            phones=phones,
            language=language,
            out=out,
            settings=settings,
        )
    for line in lines:
        typer.echo(line)
