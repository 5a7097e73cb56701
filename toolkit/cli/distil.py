"""``toolkit distil``: a smaller text-to-semantic model, or a smaller voice, learns from a larger one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import typer

from toolkit.cli.render import Terminal
from toolkit.cli.unused_options import refuse_unused
from toolkit.recipe.shrinking import Distil, checked, parallel_student, student_of_voice


def distil(
    model: str = typer.Argument(
        "",
        metavar="[GPT.ckpt|VOICE]",
        help="The teacher: a GPT checkpoint (the project's small one if left out), or a VITS voice: a Piper .onnx, a "
        "voice file, or joe, the default voice.",
    ),
    student: Literal["small", "moderate", "durations", "decoder", "nar"] | None = typer.Option(
        None,
        help="GPT: nar is convolutional and not autoregressive, with durations; narrower and shallower if left out. "
        "Voice: small is a tenth of a medium Piper voice's bytes, moderate a fifth (recipes vits-voice-small and "
        "vits-voice-moderate); durations replaces only the stochastic duration predictor, decoder only "
        "the decoder. Small if left out.",
    ),
    decoder: Literal["istft", "wavenet", "narrow"] | None = typer.Option(
        None,
        help="Voice: a light decoder in place of HiFi-GAN: an inverse-STFT head, a WaveNet, or HiFi-GAN "
        "with a narrow last stage (light in 8 bits: recipe vits-voice-narrow). Alone: all else stays "
        "the teacher's; with --student: beside what that replaces.",
    ),
    change: list[str] = typer.Option(
        [],
        "--set",
        metavar="KEY=VALUE",
        help="Voice, and GPT with --student nar: change a setting of the student, e.g. flow.hidden=96, frame_blocks=4.",
    ),
    data: Path | None = typer.Option(
        None,
        help="corpus.npz of `toolkit train`, or upstream's logs/NAME directory (2-name2text.txt and "
        "6-name2semantic.tsv); the small model's corpus if left out. Voice: a text file of IPA, a sentence a line.",
    ),
    teacher: Path | None = typer.Option(
        None, help="Of a student that is distilled again: the voice it was made of, where it is not found by itself."
    ),
    width: int | None = typer.Option(None, min=2, help="Features of a row; 3/4 of the teacher's if left out."),
    layers: int | None = typer.Option(None, min=1, help="Layers; half of the teacher's if left out."),
    heads: int | None = typer.Option(None, min=1, help="Heads; as wide as the teacher's if left out."),
    inner: int | None = typer.Option(None, min=1, help="Features inside a feed-forward block."),
    temperature: float | None = typer.Option(None, help="3 to 7: softens both models' logits (5)."),
    alpha: float | None = typer.Option(None, help="Weight of what the teacher says; the data has the rest (0.4)."),
    start: Literal["inherit", "random"] | None = typer.Option(
        None, help="First weights: cut from the teacher (inherit), or random."
    ),
    steps: int | None = typer.Option(None, min=0, help="Training steps (600; voice: of the student)."),
    batch: int | None = typer.Option(None, min=1, help="Sentences a step (16)."),
    rate: float | None = typer.Option(None, help="Largest learning rate (1e-3)."),
    max_rise: float | None = typer.Option(None, help="Gate: nats above the teacher on held-out sentences."),
    cache: Path | None = typer.Option(None, help="Directory of teachers' outputs; .teachers beside --out if left out."),
    seed: int = typer.Option(0, min=0, help="Of batches, dropout and random weights."),
    threads: int = typer.Option(1, min=1, help="Threads of torch."),
    out: Path = typer.Option(Path("runs/distilled"), help="Run directory; replaced only when the run completes."),
    as_json: bool = typer.Option(False, "--json", help="Print the results as JSON on standard output."),
    quiet: bool = typer.Option(False, help="Only warnings, errors and the verdict."),
) -> int:
    """Distil a GPT checkpoint (alpha * T^2 * KL to the teacher, the rest cross-entropy of the data) or a VITS voice.

    GPT: text features (BERT) count as zeros in training: a student of a Chinese model works without BERT. Voice: the
    encoder is narrowed, the flow too, and durations become deterministic; the decoder stays where --decoder asks for no
    light one. Its file (.safetensors) converts like a Piper voice and is judged against its teacher. An interrupted
    run goes on where it was.

    GPT with --student nar: inverted residual blocks over phones and over frames, all codes of a sentence at once. One
    voice, no prompt, no sampling: the run says what it cannot do. Its file (.safetensors) converts to codes.
    """
    from toolkit.pipeline.shrink_voice import distil_voice_file, is_voice

    theirs = {"width": width, "layers": layers, "heads": heads, "inner": inner, "temperature": temperature,
              "alpha": alpha, "start": start, "steps": steps, "batch": batch, "rate": rate}  # fmt: skip
    training_of = {name: theirs[name] for name in ("steps", "batch", "rate") if theirs[name] is not None}
    if "rate" in training_of:
        training_of["learning_rate"] = training_of.pop("rate")
    if student == "nar":
        from toolkit.pipeline.shrink_parallel import distil_parallel_checkpoint
        from toolkit.pipeline.shrink_semantic import DEFAULT_CORPUS, DEFAULT_MODEL

        if is_voice(model):
            raise typer.BadParameter("--student nar is a student of a GPT checkpoint, not of a voice")
        refuse_unused({"layers": layers, "heads": heads, "inner": inner, "start": start, "decoder": decoder,
                 "teacher": teacher}, "--student nar; give --set, e.g. frame_blocks=4")  # fmt: skip
        told = {"width": width, "temperature": temperature, "alpha": alpha, "cross_entropy_rise_max": max_rise}
        shape = parallel_student(tuple(change), {name: value for name, value in told.items() if value is not None},
                                 training_of, seed)  # fmt: skip
        with Terminal(quiet=quiet) as listener:
            done = distil_parallel_checkpoint(
                Path(model) if model else DEFAULT_MODEL, data or DEFAULT_CORPUS, shape, out, listener,
                cache=cache, threads=threads,
            )  # fmt: skip
    elif is_voice(model):
        refuse_unused({**theirs, "max-rise": max_rise}, "a voice; give --set, e.g. text_training.steps=400")
        asked = student_of_voice(student or ("decoder" if decoder else "small"), tuple(change), seed, decoder)
        with Terminal(quiet=quiet) as listener:
            done = distil_voice_file(
                model, asked, out, listener, data=data, teacher=teacher, cache=cache, threads=threads
            )
    else:
        from toolkit.pipeline.shrink_semantic import DEFAULT_CORPUS, DEFAULT_MODEL, distil_checkpoint

        refuse_unused(
            {"student": student, "decoder": decoder, "teacher": teacher, "set": change or None}, "a GPT checkpoint"
        )
        given = {name: value for name, value in theirs.items()
                 if value is not None and name not in ("steps", "batch", "rate")}  # fmt: skip
        settings = checked(Distil, {**given, "cross_entropy_rise_max": max_rise, "seed": seed, "training": training_of})
        with Terminal(quiet=quiet) as listener:
            done = distil_checkpoint(
                Path(model) if model else DEFAULT_MODEL, data or DEFAULT_CORPUS, settings, out, listener,
                cache=cache, threads=threads,
            )  # fmt: skip
    typer.echo(json.dumps(done.result, indent=1) if as_json else done.verdict)
    return 0 if done.passed else 1
