"""``toolkit codes``: what a convolutional student's bundle makes of phones, or how well it does on data."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer

from toolkit.cli.render import Terminal


def codes(
    bundle: Path = typer.Argument(help="The bundle/ folder of a run (or the run itself) of a convolutional student."),
    text: str = typer.Option("", help="Text; needs the text extra."),
    phones: str = typer.Option("", help="Phone symbols or ids, sentences separated by |, instead of --text."),
    language: str = typer.Option("en", help="Of --text: zh, en or ja."),
    length: float = typer.Option(1.0, min=0.25, max=4.0, help="Times the student's durations; above 1 is slower."),
    judge: Path | None = typer.Option(
        None, help="corpus.npz of `toolkit train`, or upstream's logs/NAME directory: judge on its held-out sentences."
    ),
    threads: int = typer.Option(1, min=1, help="Interpreter threads."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON on standard output."),
) -> None:
    """Semantic codes of a text, 25 a second, by a converted convolutional student; or, with --judge, how good they are.

    Judging gives each phone the duration the data has, or alignment finds, and asks for the codes; durations the
    student would give are judged beside it.
    """
    if sum(bool(given) for given in (text, phones, judge)) != 1:
        raise typer.BadParameter("give one of --text, --phones and --judge")
    from toolkit.engine.bundle import bundle_folder, read_bundle

    with Terminal(quiet=True):  # LiteRT logs what it finds on descriptor 2
        if judge is not None:
            from toolkit.pipeline.parallel_judgement import judge_data

            found = judge_data(bundle, judge, threads=threads)
            lines = [
                f"{found.codes:,} codes of {found.sentences} held-out sentences, durations from {found.durations}:",
                f"  cross-entropy {found.cross_entropy_nats:.3f} nats, top-1 {100 * found.top1_ratio:.1f} %",
                f"  own durations {found.duration_error_ms:.1f} ms a phone off, all together ×{found.length_ratio:.3f}",
            ]
            typer.echo(json.dumps(asdict(found), indent=1) if as_json else "\n".join(lines))
            return
        from toolkit.engine.loading import GraphLoader
        from toolkit.engine.parallel_codes import ParallelDecoder
        from toolkit.engine.residency import UNBOUNDED_BYTES, Residency
        from toolkit.pipeline.engine_speech import written_sentences
        from toolkit.text.front_end import unread_note

        opened = read_bundle(bundle_folder(bundle))
        written = written_sentences(opened, text, phones, language, "cut5")
        with GraphLoader(Residency(UNBOUNDED_BYTES), threads=threads).using(opened) as graphs:
            decoder = ParallelDecoder(opened, graphs)
            said = [(part, decoder.codes(ids.ids, length).tolist()) for part, ids in written if ids.spoken]
    if as_json:
        typer.echo(json.dumps([{"text": part, "codes": made} for part, made in said], ensure_ascii=False))
        return
    for part, made in said:
        typer.echo(f"{part}  {len(made)} codes, {len(made) / 25:.2f} s\n  {' '.join(map(str, made))}")
    for note in filter(None, (unread_note(part, ids) for part, ids in written)):
        typer.echo(f"  note: {note}")
