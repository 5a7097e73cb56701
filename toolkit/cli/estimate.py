"""``toolkit estimate``: how long a file or bundle would take on a device that is not at hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from toolkit.estimate.estimator import Target


def estimate(
    path: Path = typer.Argument(help=".tflite file, run directory or bundle."),
    device: str = typer.Option("snapdragon-7-gen-3", help="Device id, part number or name."),
    delegate: Literal["nnapi", "gpu", "xnnpack", "qnn"] | None = typer.Option(
        None, help="What runs it beside the CPU (qnn: Snapdragon's NPU); a run's own, or nnapi, when left out."
    ),
    android: str = typer.Option("12", help="Android version, API level or NNAPI feature level."),
    seconds: float = typer.Option(3.0, min=0.1, help="GPT-SoVITS bundles: seconds of speech."),
    as_json: bool = typer.Option(False, "--json", help="JSON instead of text."),
) -> int:
    """Estimate latency on a device from public figures; nothing is measured, and every number says so."""
    from toolkit.delegates.levels import parse_level
    from toolkit.estimate.calibrate import calibration
    from toolkit.estimate.devices import find_device
    from toolkit.pipeline.device_latency import estimate_path

    target = delegate or _converted_for(path)
    found = estimate_path(path, find_device(device), target, parse_level(android), seconds=seconds)
    if as_json:
        rows = [
            {**part.model_dump(mode="json"), "runs": runs} for part, runs in zip(found.parts, found.runs, strict=True)
        ]
        typer.echo(json.dumps({"total": found.total.model_dump(mode="json"), "parts": rows}, indent=1))
        return 0
    for part, runs in zip(found.parts, found.runs, strict=True):
        typer.echo(f"  {part.part:<24}{f'{runs} × ' if runs > 1 else ''}{part.sentence}")
        for note in part.notes:
            typer.echo(f"    {note}")
    heard = f" for {found.total.audio_seconds:.2f} s of audio" if found.total.audio_seconds else ""
    typer.echo(f"total{heard}: {found.total.sentence}")
    said = {note for part in found.parts for note in part.notes}
    for note in found.total.notes:
        if note not in said:
            typer.echo(f"  {note}")
    errors = calibration()
    for unit, error in (("NPU", errors.npu_error), ("CPU", errors.cpu_error)):
        typer.echo(
            f"  {unit}: median error {error.device_out:.0%} on devices left out, {error.model_out:.0%} on networks "
            f"left out, {error.both_out:.0%} where both are new ({error.measurements} published measurements)"
        )
    typer.echo(f"  how: {found.total.how}")
    return 0


def _converted_for(path: Path) -> Target:
    """The delegate a run was converted for; NNAPI where nothing beside the file or bundle tells."""
    from toolkit.pipeline.manifest import RECIPE_FILE
    from toolkit.recipe.load import load

    found = next((folder / RECIPE_FILE for folder in (path, path.parent) if (folder / RECIPE_FILE).is_file()), None)
    return "nnapi" if found is None else load(str(found)).delegate.name
