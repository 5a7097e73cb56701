"""``toolkit convert``: builds a recipe and a source, runs the pipeline, prints the verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from converters.errors import InputError
from toolkit.cli.command_line import command_line
from toolkit.cli.render import Terminal
from toolkit.recipe import load as recipes

if TYPE_CHECKING:
    from toolkit.pipeline.gpt_sovits_listeners import ListenerPaths
    from toolkit.recipe.schema import Recipe
    from toolkit.search.intent import Intent
    from toolkit.search.job import Job

Asked = tuple[Path | None, dict[str, Any]]
"""An intent's file and what the command line adds to it."""

_CHECKPOINTS = (".ckpt", ".pth")
_SEARCHED_MODEL = "gates={output_snr_db_min: 20}"
"""A float model is held to 90 dB; a search may quantise it, and is held to what ``any-model-int8`` is."""
_LATEST, _SEARCHED = Path("runs/latest"), Path("runs/search")
DEFAULT_RECIPE = {"voice": "vits-voice", "model": "any-model", "gpt-sovits": "gpt-sovits",
                  "student": "gpt-sovits-nar"}  # fmt: skip
NPU_RECIPE = {**DEFAULT_RECIPE, "voice": "vits-voice-npu", "model": "any-model-npu", "gpt-sovits": "gpt-sovits-npu"}
"""For NPUs with integers only: what makes sound is whole in 16-bit activations and 8-bit weights."""


def convert(
    models: list[str] = typer.Argument(
        None,
        metavar="[MODEL]",
        help="Piper voice (.onnx with its .json), voice or convolutional student (.safetensors of `toolkit distil`), "
        "package.module:factory, TorchScript (.pt), torch.export (.pt2) or .onnx file; "
        "or the GPT .ckpt and the SoVITS .pth of a GPT-SoVITS model (.ckpt alone: text to codes; "
        "a convolutional student may stand in the .ckpt's place); "
        "leave it out for the embedded default voice.",
    ),
    delegate: Literal["nnapi", "gpu", "xnnpack", "qnn"] = typer.Option(
        "nnapi", help="Accelerator the graph is shaped for (qnn: Snapdragon's NPU)."
    ),
    android: str = typer.Option("", help="Android version (12), API level (31) or NNAPI feature level (FL6)."),
    min_runtime: str = typer.Option(
        "", help="Oldest TFLite runtime every file must load in, by TensorFlow's number, e.g. 2.16; refused above it."
    ),
    recipe: str = typer.Option("", help="Built-in recipe name or YAML file; default: by the kind of model."),
    change: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Change a recipe field, e.g. seed=7."),
    inputs: list[str] = typer.Option(
        [],
        "--input",
        metavar="NAME:SHAPE[:DTYPE[:LOW..HIGH]]",
        help="Declare an input, e.g. mel:1x80x200 or ids:1x128:int32:0..255; repeat in the order of forward().",
    ),
    spec: Path | None = typer.Option(None, help="YAML file declaring inputs instead of --input."),
    probe: Path | None = typer.Option(None, help=".npz of real inputs by name, used for parity and calibration."),
    out: Path | None = typer.Option(
        None, help="Run directory, replaced only when the run completes (runs/latest); of a search: runs/search."
    ),
    device: str = typer.Option("", help="Device to estimate latency for, e.g. snapdragon-7-gen-3."),
    max_size: str = typer.Option("", metavar="SIZE", help="Search for a version of at most, e.g. 80MB."),
    max_latency: str = typer.Option("", metavar="TIME", help="Search for a version that takes at most, e.g. 1s."),
    intent: Path | None = typer.Option(None, help="YAML file of an intent: device, max_size, max_latency, quality …"),
    trials: int | None = typer.Option(None, min=1, help="Versions a search tries at most."),
    students: list[str] = typer.Option(
        [],
        metavar="FILE",
        help="Search: a student that `toolkit distil` made of MODEL before, as an alternative to it; repeat for more.",
    ),
    prune_ratios: str = typer.Option(
        "",
        metavar="RATIOS",
        help="Search, GPT alone: shares of the feed-forward channels to take out: 0,0.25,0.5.",
    ),
    data: Path | None = typer.Option(
        None, help="Search, GPT checkpoint: corpus pruned models are trained on and all are judged on (toolkit prune)."
    ),
    random_voice: bool = typer.Option(
        False, "--random-voice", help="A small seeded voice of random weights instead of the default voice."
    ),
    voice: str = typer.Option(
        "",
        metavar="FILE|DB:ID",
        help="GPT-SoVITS: one voice to fold into the graphs: a features file (toolkit voices export), or a voice of a "
        "database, e.g. voices.sqlite3:anna.",
    ),
    ssl: Path | None = typer.Option(
        None, help="GPT-SoVITS: HuBERT (chinese-hubert-base); the bundle then enrols recordings itself."
    ),
    bert: Path | None = typer.Option(
        None, help="GPT-SoVITS: BERT (chinese-roberta-wwm-ext-large); the bundle then makes Chinese text features."
    ),
    sv: Path | None = typer.Option(None, help="GPT-SoVITS v2Pro: ERes2NetV2's .ckpt, for enrolment beside --ssl."),
    light_vocoder: bool = typer.Option(
        False,
        "--light-vocoder",
        help="GPT-SoVITS: also a vocoder whole in 8 bits, which the engine falls back to when it misses deadlines.",
    ),
    teacher: Path | None = typer.Option(
        None, help="Voice file: the voice it is a student of, to judge it against; found by itself where it can be."
    ),
    keep_keras: bool = typer.Option(False, help="Also write the trainable Keras models."),
    dry_run: bool = typer.Option(False, help="Print the complete recipe and stop."),
    as_json: bool = typer.Option(False, "--json", help="Print results.json on standard output."),
    quiet: bool = typer.Option(False, help="Only warnings, errors and the verdict."),
) -> int:
    """Convert a model to verified TFLite and report on it.

    With no MODEL the embedded default voice is converted. With --max-size or --max-latency (or --intent) the settings
    are searched for.
    """
    from toolkit.pipeline import sources
    from toolkit.pipeline.parallel_codes import is_parallel

    given = {"device": device, "max_size": max_size, "max_latency": max_latency, "trials": trials,
             "students": tuple(students), "prune_ratios": _ratios(prune_ratios), "data": str(data or "")}  # fmt: skip
    searching = any((intent, *(value for name, value in given.items() if name != "device")))
    asked = (intent, {name: value for name, value in given.items() if value}) if searching else None
    chosen = (*_delegate_changes(delegate, android, "" if searching else device, min_runtime),
              *(["gpt_sovits.light_vocoder=true"] if light_vocoder else []), *change)  # fmt: skip
    students = [name for name in models or () if is_parallel(name)]
    if students and len(models) < 3:
        others = {"--input": inputs, "--spec": spec, "--probe": probe, "--random-voice": random_voice,
                  "--keep-keras": keep_keras, "--teacher": teacher, "a search": asked, "--voice": voice,
                  "--ssl": ssl, "--bert": bert, "--sv": sv}  # fmt: skip
        sung = [Path(name) for name in models if name not in students]
        others["--light-vocoder"] = light_vocoder and not sung
        _refuse_unused([option for option, given in others.items() if given], "a convolutional student")
        return _convert_parallel(
            Path(students[0]), sung, recipe, chosen, out or _LATEST, dry_run=dry_run, quiet=quiet, as_json=as_json
        )
    if len(models or ()) > 1 or any(Path(name).suffix in _CHECKPOINTS for name in models or ()):
        others = {"--input": inputs, "--spec": spec, "--probe": probe, "--random-voice": random_voice,
                  "--keep-keras": keep_keras, "--teacher": teacher}  # fmt: skip
        _refuse_unused([option for option, given in others.items() if given], "a GPT-SoVITS model")
        listeners = {"ssl": ssl, "bert": bert, "sv": sv}
        whole = len(models) > 1 and delegate == "qnn"  # a GPT alone makes no sound
        name = recipe or (NPU_RECIPE if whole else DEFAULT_RECIPE)["gpt-sovits"]
        return _convert_pair(
            models, name, chosen, out, voice, listeners, asked, dry_run=dry_run, quiet=quiet, as_json=as_json
        )
    theirs = {"--voice": voice, "--ssl": ssl, "--bert": bert, "--sv": sv, "--light-vocoder": light_vocoder}
    _refuse_unused([option for option, given in theirs.items() if given], "anything but a GPT-SoVITS model")
    request = sources.Request(
        model="".join(models or ()), inputs=tuple(inputs), spec=spec, probe=probe, random_voice=random_voice,
        teacher=teacher,
    )  # fmt: skip
    kind = sources.kind_of(request)
    if kind == "model":
        _refuse_unused(["--teacher"] if teacher else [], "anything but a voice file")
    name = recipe or (NPU_RECIPE if delegate == "qnn" else DEFAULT_RECIPE)[kind]
    # The limits are a trained voice's; random weights are held to parity, precision and placement only.
    lenient = ["gates={}"] if random_voice and not recipe else []
    if searching and kind == "model" and not recipe:
        lenient = [_SEARCHED_MODEL]
    changes = [*lenient, *chosen]
    settings = recipes.load(name, tuple(changes))
    if dry_run:
        typer.echo(recipes.dump(settings), nl=False)
        return 0
    if asked is not None:
        from toolkit.search.job import RequestJob
        from toolkit.search.students import refuse_unoffered, voice_students

        _refuse_unused(["--keep-keras"] if keep_keras else [], "a search")
        wish = _intent(asked)
        refuse_unoffered(kind, wish)
        with Terminal(quiet=quiet) as terminal:
            others = voice_students(wish.students, request)
            job = RequestJob(request=request, listener=terminal, students=others)
            return _search(job, settings, wish, out, terminal, as_json=as_json)
    from toolkit.pipeline.run import Options, run

    with Terminal(quiet=quiet) as terminal:
        outcome = run(
            request, settings, out or _LATEST, Options(keep_keras=keep_keras, command=command_line()), terminal
        )
    if as_json:
        typer.echo(json.dumps(outcome.result.model_dump(mode="json", by_alias=True)))
    else:
        typer.echo(outcome.verdict)
    return 0 if outcome.passed else 1


def _ratios(text: str) -> tuple[float, ...]:
    """Numbers between commas."""
    try:
        return tuple(float(word) for word in text.split(",")) if text else ()
    except ValueError as error:
        raise InputError(
            f"--prune-ratios wants numbers, found {text!r}", code="usage/invalid", where="toolkit convert",
            hint="e.g. --prune-ratios 0,0.25,0.5",
        ) from error  # fmt: skip


def _convert_parallel(
    path: Path,
    sung: list[Path],
    recipe: str,
    changes: tuple[str, ...],
    out: Path,
    *,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    settings = recipes.load(recipe or DEFAULT_RECIPE["student"], changes)
    if dry_run:
        typer.echo(recipes.dump(settings), nl=False)
        return 0
    from toolkit.pipeline.parallel_codes import convert_parallel

    with Terminal(quiet=quiet) as terminal:
        outcome = convert_parallel(
            path, settings, out, terminal, sovits=sung[0] if sung else None, command=command_line()
        )
    typer.echo(json.dumps(outcome.result.model_dump(mode="json", by_alias=True)) if as_json else outcome.verdict)
    return 0 if outcome.passed else 1


def _intent(asked: Asked) -> Intent:
    from toolkit.search.intent import read_intent

    return read_intent(*asked)


def _search(job: Job, base: Recipe, wish: Intent, out: Path | None, terminal: Terminal, *, as_json: bool) -> int:
    from toolkit.search.run import search

    outcome = search(job, base, wish, out or _SEARCHED, terminal, command=command_line())
    typer.echo(json.dumps(outcome.result.model_dump(mode="json", by_alias=True)) if as_json else outcome.text)
    return 0 if outcome.found else 1


def _delegate_changes(delegate: str, android: str, device: str, runtime: str) -> list[str]:
    return [
        f"delegate.name={delegate}",
        # Snapdragon's compiler refuses transposed convolutions of large strides.
        *(["onnx.transposed_conv=polyphase"] if delegate == "qnn" else []),
        *([f'delegate.android="{android}"'] if android else []),
        *([f'delegate.device="{device}"'] if device else []),
        *([f'delegate.runtime="{runtime}"'] if runtime else []),
    ]


def _refuse_unused(options: list[str], what: str) -> None:
    """An option that would be ignored is an error."""
    if options:
        raise InputError(
            f"{', '.join(options)} does nothing for {what}",
            code="usage/invalid",
            where="toolkit convert",
            hint="leave it out; toolkit convert --help",
        )


def _convert_pair(
    models: list[str],
    recipe: str,
    changes: tuple[str, ...],
    out: Path | None,
    voice: str,
    listeners: dict[str, Path | None],
    asked: Asked | None,
    *,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    settings = recipes.load(recipe, changes)
    if settings.delegate.device:
        from toolkit.estimate.devices import find_device

        find_device(settings.delegate.device)  # before the work, not after it
    if len(models) > 2:
        raise InputError(
            f"a GPT-SoVITS model is two files, {len(models)} given",
            code="checkpoint/pair",
            where=", ".join(models),
            hint="toolkit convert GPT.ckpt SOVITS.pth",
        )
    if dry_run:
        typer.echo(recipes.dump(settings), nl=False)
        return 0
    from toolkit.pipeline.gpt_sovits import convert_pair
    from toolkit.pipeline.gpt_sovits_codes import convert_codes
    from toolkit.pipeline.gpt_sovits_listeners import ListenerPaths

    if len(models) == 1:
        light = settings.gpt_sovits is not None and settings.gpt_sovits.light_vocoder
        others = {"--voice": voice, "--light-vocoder": light, **{f"--{name}": path for name, path in listeners.items()}}
        _refuse_unused([option for option, given in others.items() if given], "a GPT checkpoint alone")
    paths, beside = [Path(name) for name in models], ListenerPaths(**listeners)
    if asked is not None:
        wish = _intent(asked)
        with Terminal(quiet=quiet) as terminal:
            job = _checkpoint_job(paths, voice, beside, wish, (out or _SEARCHED) / "models", terminal)
            return _search(job, settings, wish, out, terminal, as_json=as_json)
    place = out or _LATEST
    with Terminal(quiet=quiet) as terminal:
        if len(models) == 1:
            outcome = convert_codes(paths[0], settings, place, terminal, command=command_line())
        else:
            outcome = convert_pair(
                paths, settings, place, terminal, voice=voice, listeners=beside, command=command_line()
            )
    typer.echo(json.dumps(outcome.result.model_dump(mode="json", by_alias=True)) if as_json else outcome.verdict)
    return 0 if outcome.passed else 1


def _checkpoint_job(
    paths: list[Path], voice: str, beside: ListenerPaths, wish: Intent, cache: Path, terminal: Terminal
) -> Job:
    """A pair of checkpoints, or the GPT half alone."""
    from toolkit.search.students import refuse_unoffered

    refuse_unoffered("codes" if len(paths) == 1 else "gpt-sovits", wish)
    if len(paths) == 1:
        from toolkit.search.codes_job import CodesJob

        return CodesJob(paths[0], terminal, cache, wish.students, Path(wish.data) if wish.data else None)
    from toolkit.search.job import PairJob

    return PairJob(paths=tuple(paths), voice=voice, listeners=beside, listener=terminal)
