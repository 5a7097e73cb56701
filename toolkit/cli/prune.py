"""``toolkit prune``: channels and heads are taken out of a checkpoint or a voice, round by round."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import typer

from toolkit.cli.render import Terminal
from toolkit.cli.unused_options import refuse_unused
from toolkit.recipe.shrinking import PROTECTED, PROTECTED_PARTS, Prune, checked, pruning_of_voice


def prune(
    model: Path = typer.Argument(
        None,
        metavar="[GPT.ckpt|SOVITS.pth|VOICE]",
        help="What is pruned: a checkpoint of GPT-SoVITS (the project's small GPT model if left out), or a VITS voice: "
        "a Piper .onnx, a voice file, or joe, the default voice.",
    ),
    data: Path | None = typer.Option(
        None,
        help="GPT: corpus.npz of `toolkit train`, or upstream's logs/NAME directory; the small model's corpus if "
        "left out. Voice: a text file of IPA, a sentence a line.",
    ),
    mlp: float | None = typer.Option(
        None, help="GPT, voice: share of the feed-forward channels to take out in the end (0.5; voice: 0.3)."
    ),
    heads: float = typer.Option(
        0.0, help="GPT, voice: share of the heads to take out, the same number in every layer."
    ),
    encoder: float | None = typer.Option(
        None, help="SoVITS: share of the text encoder's feed-forward channels, at most 0.3 (0.05)."
    ),
    flow: float | None = typer.Option(
        None,
        help="Voice: share of the gates of the flow's WaveNets to take out, after the encoder's rounds (0); with "
        "--unprotect flow. With --mlp 0 the encoder stays as it is.",
    ),
    decoder: float | None = typer.Option(
        None,
        help="Voice: share of the channels of its HiFi-GAN decoder to take out, after encoder and flow (0); with "
        "--unprotect decoder. Most come from before its stages; --set decoder_spread=even takes them from each.",
    ),
    round_ratio: float = typer.Option(0.05, "--round", help="Share of the original that goes in a round."),
    importance: Literal["taylor", "magnitude"] = typer.Option("taylor", help="How channels and heads are ranked."),
    steps: int | None = typer.Option(
        None, min=0, help="Training steps after each round (40; voice: encoder 60, flow 120, decoder 240)."
    ),
    batch: int | None = typer.Option(None, min=1, help="Sentences a step (16; voice: 12)."),
    rate: float | None = typer.Option(None, help="Largest learning rate (3e-4; voice: 2e-4)."),
    teacher: bool | None = typer.Option(
        None,
        "--teacher/--no-teacher",
        help="GPT: what is left learns from the model given, or from the data alone (the model given).",
    ),
    temperature: float | None = typer.Option(None, help="GPT: 3 to 7: softens both models' logits (5)."),
    alpha: float | None = typer.Option(
        None, help="GPT: weight of what the model given says; the data has the rest (0.4)."
    ),
    cache: Path | None = typer.Option(None, help="Directory of teachers' outputs; .teachers beside --out if left out."),
    max_rise: float | None = typer.Option(
        None, help="Gate of a GPT: nats above the given model on held-out sentences (0.1)."
    ),
    change: list[str] = typer.Option(
        [],
        "--set",
        metavar="KEY=VALUE",
        help="Voice: change a setting, gates among them: mos_drop_max, speaker_cosine_loss_max, prior_snr_db_min, "
        "frames_error_max, latent_snr_db_min, mel_distance_max; flow_training.learning_rate=1e-5; utterances=0 listens "
        "to no round.",
    ),
    teacher_voice: Path | None = typer.Option(
        None, help="Of a student that is pruned: the voice it was made of, where it is not found by itself."
    ),
    protect: list[str] = typer.Option(
        list(PROTECTED), help="Globs over tensor names that must stay as they are; repeat for several."
    ),
    unprotect: list[str] = typer.Option(
        [], metavar="flow|decoder", help="Voice: a part that may be pruned although it is protected otherwise."
    ),
    control: bool = typer.Option(
        False, "--control", help="GPT: also train the whole model for as many steps with that loss, to compare."
    ),
    seed: int = typer.Option(0, min=0, help="Of batches and dropout."),
    threads: int = typer.Option(1, min=1, help="Threads of torch."),
    out: Path = typer.Option(Path("runs/pruned"), help="Run directory; replaced only when the run completes."),
    as_json: bool = typer.Option(False, "--json", help="Print the results as JSON on standard output."),
    quiet: bool = typer.Option(False, help="Only warnings, errors and the verdict."),
) -> int:
    """Prune a checkpoint or a voice: whole channels and heads go, and the result is an ordinary smaller one.

    A GPT checkpoint is trained after each round, on the data and on what the model given says of it, and judged on
    held-out sentences; pruning stops at the gate and the smallest model that passed is kept. A VITS voice's text
    encoder is pruned in the same way: it learns what the voice given says of sentences, and every round is held to that
    voice by its prior, its durations and its sound. A SoVITS checkpoint loses a few channels of its text encoder,
    without training. Flow and decoder are protected in all of them; with --unprotect, a voice's flow is pruned after
    its encoder, and its decoder after that, each held to what the one given makes of the same input. An interrupted run
    goes on where it was.
    """
    from toolkit.pipeline.prune_voice import prune_voice_file
    from toolkit.pipeline.shrink_semantic import DEFAULT_CORPUS, DEFAULT_MODEL, prune_checkpoint
    from toolkit.pipeline.shrink_sovits import prune_sovits
    from toolkit.pipeline.shrink_voice import is_voice

    voice, sovits = model is not None and is_voice(str(model)), model is not None and model.suffix == ".pth"
    told = _given(temperature=temperature, alpha=alpha)
    training = _given(steps=steps, batch=batch, learning_rate=rate)
    shared: dict[str, Any] = {
        **_given(mlp_ratio=mlp), "heads_ratio": heads, "round_ratio": round_ratio, "importance": importance,
        "protect": _protected(protect, unprotect), "seed": seed,
    }  # fmt: skip
    if voice:
        refuse_unused({"encoder": encoder, "teacher": teacher, "temperature": temperature, "alpha": alpha,
                       "max-rise": max_rise, "control": control or None}, "a voice")  # fmt: skip
        asked = pruning_of_voice(tuple(change), shared | _given(flow_ratio=flow, decoder_ratio=decoder), training)
        with Terminal(quiet=quiet) as listener:
            done = prune_voice_file(
                str(model), asked, out, listener, data=data, teacher=teacher_voice, cache=cache, threads=threads
            )
    else:
        refuse_unused({"set": change or None, "teacher-voice": teacher_voice, "flow": flow, "decoder": decoder,
                       "unprotect": unprotect or None}, "a checkpoint of GPT-SoVITS")  # fmt: skip
        if not sovits:
            refuse_unused({"encoder": encoder}, "a GPT checkpoint")
        if told and teacher is False:
            raise typer.BadParameter(f"--{next(iter(told))} does nothing with --no-teacher")
        settings = checked(Prune, {
            **shared, **_given(encoder_ratio=encoder, cross_entropy_rise_max=max_rise),
            "teaching": None if teacher is False else told,
            "training": Prune().training.model_dump() | training,
        })  # fmt: skip
        with Terminal(quiet=quiet) as listener:
            if sovits:
                done = prune_sovits(model, settings, out, listener)
            else:
                done = prune_checkpoint(
                    model or DEFAULT_MODEL,
                    data or DEFAULT_CORPUS,
                    settings,
                    out,
                    listener,
                    control=control,
                    cache=cache,
                    threads=threads,
                )
    typer.echo(json.dumps(done.result, indent=1) if as_json else done.verdict)
    return 0 if done.passed else 1


def _protected(protect: list[str], unprotect: list[str]) -> list[str]:
    """The globs without those of the parts that may be pruned."""
    for part in unprotect:
        if PROTECTED_PARTS.get(part) not in protect:
            known = [name for name, glob in PROTECTED_PARTS.items() if glob in protect]
            raise typer.BadParameter(f"--unprotect {part}: protected are {', '.join(known) or 'no parts'}")
    lifted = {PROTECTED_PARTS[part] for part in unprotect}
    return [glob for glob in protect if glob not in lifted]


def _given(**values: Any) -> dict[str, Any]:
    """What was given on the command line; the rest keeps its default."""
    return {name: value for name, value in values.items() if value is not None}
