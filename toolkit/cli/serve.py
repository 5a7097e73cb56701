"""``toolkit serve``: a page on this machine that runs a bundle in the browser."""

from __future__ import annotations

from pathlib import Path

import typer


def serve(
    given: Path = typer.Argument(metavar="RUN|BUNDLE", help="A run (or its index.html), or its bundle/ folder."),
    port: int = typer.Option(0, min=0, max=65535, help="Port on 127.0.0.1; a free one if left out."),
    litertjs: Path | None = typer.Option(None, help="Where npm installed LiteRT.js (its --prefix)."),
    phonemes: str = typer.Option("", help="VITS: said at first, as espeak-ng writes it."),
    phones: str = typer.Option("", help="GPT-SoVITS: said at first; the voice's own reference if left out."),
    user: str = typer.Option("", help="GPT-SoVITS: whose voice."),
    database: Path = typer.Option(Path("voices.sqlite3"), help="GPT-SoVITS: the voice database."),
    threads: int = typer.Option(2, min=1, help="Interpreter threads on the Python side."),
    memory_mb: int = typer.Option(2048, min=1, help="GPT-SoVITS: most the process may grow, in MiB."),
    open_browser: bool = typer.Option(False, "--open", help="Open the page in the default browser."),
) -> None:
    """Serve a local page that plays a bundle in the browser with LiteRT.js, next to Python; Ctrl-C ends it."""
    from toolkit.cli.render import Terminal
    from toolkit.serve.litertjs import default_directory
    from toolkit.serve.open_page import VoiceSettings, bundle_of, open_page

    speaks_as_user = (bundle_of(given)[0] / "engine.json").is_file()
    for option, value, wanted in (
        ("--phonemes", phonemes, not speaks_as_user),
        ("--phones", phones, speaks_as_user),
        ("--user", user, speaks_as_user),
    ):
        if value and not wanted:
            raise typer.BadParameter(f"{option} does nothing for this bundle")
    settings = VoiceSettings(
        threads=threads, phones=phonemes or phones, user_id=user, database=database, memory_bytes=memory_mb << 20
    )
    with Terminal(quiet=True):  # LiteRT logs what it finds on descriptor 2
        server = open_page(given, litertjs=litertjs or default_directory(), port=port, settings=settings)
        server.report = typer.echo  # descriptor 2 is LiteRT's for now
        try:
            typer.echo(f"{server.url}  (this machine only; Ctrl-C ends it)")
            if open_browser:
                import webbrowser

                webbrowser.open(server.url)
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("stopped")
        finally:
            server.server_close()
