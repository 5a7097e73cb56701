"""``toolkit bench``: latency and memory of TFLite files, or of whole sentences with bundles, here or on a phone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from toolkit.cli.command_line import command_line
from toolkit.cli.render import Terminal
from toolkit.errors import BenchError

if TYPE_CHECKING:
    from toolkit.pipeline.phone_bench import PhoneOutcome
    from toolkit.pipeline.sentence_bench import SentenceBench


_OF_SENTENCES = ("codes", "phones", "rounds", "voices", "memory_mib")


def bench(
    context: typer.Context,
    models: list[Path] = typer.Argument(
        help=".tflite files, or GPT-SoVITS bundles, which say a whole sentence, or a code where they make codes only; "
        "several take turns and are compared."
    ),
    threads: list[int] = typer.Option(
        [], "--threads", help="Thread counts; repeat the flag. [default: 1 and 2 here, 4 on a phone]"
    ),
    runs: int = typer.Option(30, min=1, help="Files, codes: measured runs per thread count (on a phone: a process)."),
    warmup: int = typer.Option(3, min=0, help="Files, codes: runs before measuring."),
    patience: float | None = typer.Option(
        None, min=0.1, help="Seconds that loading and running all once may take; by their size when left out."
    ),
    codes: int = typer.Option(75, min=1, help="Bundles: length of the sentence in semantic codes, 25 a second."),
    phones: int = typer.Option(40, min=1, help="Bundles: phones of the sentence."),
    rounds: int = typer.Option(5, min=1, help="Bundles: sentences that count."),
    voices: int = typer.Option(1, min=1, help="Bundles: voices that speak while memory is measured."),
    memory_mib: int = typer.Option(300, "--memory", min=1, help="Bundles: memory bound in MiB."),
    device: str = typer.Option("", help="adb serial of a phone: measure there, with your benchmark_model."),
    delegate: str = typer.Option("", help="Phone: nnapi, gpu, xnnpack or qnn."),
    benchmark_model: Path | None = typer.Option(
        None, envvar="TOOLKIT_BENCHMARK_MODEL", help="Phone: benchmark_model built for it."
    ),
    adb: Path | None = typer.Option(None, help="Phone: adb, when it is not on PATH."),
    qnn_libraries: Path | None = typer.Option(None, help="Phone: folder of Qualcomm's Android libraries, for qnn."),
    repeats: int = typer.Option(3, min=1, help="Phone: processes that are timed; their spread gives the interval."),
    profile: str = typer.Option("stdout", help="Phone: form of the profile: stdout, csv or proto (newer tools)."),
    full_delegation: bool = typer.Option(False, "--full-delegation", help="Phone: fail when the CPU would run a part."),
    timeout: float = typer.Option(600.0, min=1.0, help="Phone: seconds one process may take."),
    out: Path | None = typer.Option(
        None, help="Run directory to write: a phone's result, or one for each file raced here. [phone: runs/phone]"
    ),
    as_json: bool = typer.Option(False, "--json", help="JSON instead of text."),
) -> int:
    """Measure latency (init, first, p50, p95; or phases of a sentence) and peak memory, here or on a phone.

    A bundle of codes alone (`toolkit convert GPT.ckpt`) is timed by its token step.
    """
    outcome: Any
    if device:
        outcome = _phone(
            models,
            device,
            delegate,
            benchmark_model,
            adb,
            out or Path("runs/phone"),
            quiet=as_json,
            threads=tuple(threads or [4]),
            runs=runs,
            warmup=max(1, warmup),
            repeats=repeats,
            profile=profile,
            full_delegation=full_delegation,
            timeout_seconds=timeout,
            qnn_libraries=_libraries(qnn_libraries),
        )
        typer.echo(json.dumps(outcome.as_json(), indent=1) if as_json else outcome.as_text())
        return 0
    _refuse_phone_options({"--delegate": delegate, "--adb": adb, "--qnn-libraries": qnn_libraries})
    threads = threads or [1, 2]
    folders = [path for path in models if path.is_dir()]
    if folders and len(folders) != len(models):
        raise BenchError(
            "files and bundles cannot be compared",
            code="bench/mixed",
            where=", ".join(str(path) for path in models),
            hint="give .tflite files only, or bundle directories only",
        )
    if folders and out is not None:
        raise typer.BadParameter("--out does nothing for bundles")
    if folders and _make_codes_only(folders):
        from toolkit.bench.plan import Plan
        from toolkit.engine.bundle import bundle_folder
        from toolkit.pipeline.step_bench import bench_steps

        _refuse_of_sentences(context)
        plan = Plan(warmup_runs=warmup, min_runs=runs, max_runs=3 * runs, threads=tuple(threads))
        outcome = bench_steps([bundle_folder(path) for path in folders], plan, patience_seconds=patience)
    elif folders:
        outcome = _bundles(
            folders, max(threads), codes, phones, rounds, voices, memory_mib << 20, patience, quiet=as_json
        )
    else:
        from toolkit.pipeline.benchmark import bench_files

        outcome = bench_files(models, tuple(threads), runs, warmup, patience, out=out, command=command_line())
    typer.echo(json.dumps(outcome.as_json(), indent=1) if as_json else outcome.as_text())
    return 0


def _phone(
    models: list[Path],
    serial: str,
    delegate: str,
    tool: Path | None,
    adb: Path | None,
    out: Path,
    *,
    quiet: bool,
    **settings: Any,
) -> PhoneOutcome:
    from typing import get_args

    from toolkit.bench.phone.command import PhonePlan
    from toolkit.pipeline.events import StageClock
    from toolkit.pipeline.phone_bench import bench_phone
    from toolkit.results import PhoneDelegate

    known = get_args(PhoneDelegate)
    if delegate not in known:
        raise typer.BadParameter(f"--device needs --delegate, one of {', '.join(known)}; got {delegate or 'none'}")
    if tool is None:
        raise BenchError(
            "measuring on a phone needs benchmark_model, which has no binary release for all phones",
            code="bench/no-benchmark-model",
            hint="--benchmark-model PATH, or TOOLKIT_BENCHMARK_MODEL; toolkit explain bench/no-benchmark-model",
        )
    stage = f"phone {serial}"
    plan = PhonePlan(delegate=delegate, **settings)  # type: ignore[arg-type]
    with Terminal(quiet=quiet) as terminal, StageClock(terminal).stage(stage):
        return bench_phone(
            models,
            serial=serial,
            tool=tool,
            plan=plan,
            out=out,
            command=command_line(),
            adb=adb,
            on_progress=lambda done, total, note: terminal.progress(stage, done, total, note),
        )


def _libraries(folder: Path | None) -> tuple[Path, ...]:
    return tuple(sorted(folder.glob("*.so"))) if folder is not None else ()


def _refuse_phone_options(given: dict[str, object]) -> None:
    """An option that would be ignored is an error."""
    for option, value in given.items():
        if value:
            raise typer.BadParameter(f"{option} does nothing without --device")


def _make_codes_only(folders: list[Path]) -> bool:
    """Whether there is no bundle that makes sound; of both kinds, the first without sound is refused later."""
    from toolkit.engine.bundle import bundle_folder, read_bundle

    return all(read_bundle(bundle_folder(folder)).contents == "codes" for folder in folders)


def _refuse_of_sentences(context: typer.Context) -> None:
    for name in _OF_SENTENCES:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "memory" if name == "memory_mib" else name
            raise typer.BadParameter(f"--{option} does nothing for bundles of codes: their token step is timed")


def _bundles(
    folders: list[Path],
    threads: int,
    codes: int,
    phones: int,
    rounds: int,
    voices: int,
    bound_bytes: int,
    patience_seconds: float | None,
    *,
    quiet: bool,
) -> SentenceBench:
    from toolkit.engine.bundle import bundle_folder
    from toolkit.pipeline.events import StageClock
    from toolkit.pipeline.sentence_bench import bench_bundles

    stage = "sentences"
    inside = [bundle_folder(folder) for folder in folders]
    with Terminal(quiet=quiet) as terminal, StageClock(terminal).stage(stage):
        return bench_bundles(
            inside,
            codes=codes,
            phones=phones,
            threads=threads,
            rounds=rounds,
            voices=voices,
            bound_bytes=bound_bytes,
            patience_seconds=patience_seconds,
            on_progress=lambda done, total, note: terminal.progress(stage, done, total, note),
        )
