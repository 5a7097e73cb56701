"""The run directory of a stack: the last stage's bundle and checkpoint, ``stack.json``, the page, a manifest."""

from __future__ import annotations

import shutil
from pathlib import Path

import toolkit
from toolkit.bench.machine import tool_versions
from toolkit.pipeline.run_directory import MANIFEST, building
from toolkit.pipeline.verdict import gate_line
from toolkit.recipe import load as recipes
from toolkit.recipe.stacking import Stack
from toolkit.report.stack_page import write_stack_page
from toolkit.results.stack import STACK_FILE, StackResult, save_stack

_SHIPPED = ("bundle", "checkpoint")


def write_stack(out: Path, result: StackResult, stack: Stack, bundle: Path, checkpoint: Path) -> None:
    """Writes the run directory of a stack, whole or not at all.

    Args:
        out: its place.
        result: everything that was measured.
        stack: the recipe, with every default.
        bundle: run directory of the last stage's bundle.
        checkpoint: the last stage's model as an ordinary ``.ckpt``.
    """
    with building(out) as directory:
        shutil.copytree(bundle / "bundle", directory.path / "bundle")
        (directory.path / "checkpoint").mkdir()
        shutil.copyfile(checkpoint, directory.path / "checkpoint" / checkpoint.name)
        directory.write_text("stack.lock.yaml", recipes.dump(stack))
        directory.write_json(
            MANIFEST,
            {
                "schema": 1,
                "inputs": result.inputs,
                "outputs": directory.digests(_SHIPPED),
                "stages": {stage.name: stage.key for stage in result.stages},
                "tools": {"toolkit": toolkit.__version__, **tool_versions()},
            },
        )
        save_stack(result, directory.path / STACK_FILE)
        write_stack_page(result, directory.path)


def stack_verdict(result: StackResult, out: Path) -> str:
    """The few lines a stack ends with: a row for each stage, every gate, where the report lies."""
    ratios = {one.candidate: one.ratio for one in result.comparisons}
    lines = [
        "",
        f"{'PASS' if result.passed else 'FAIL'}  {result.recipe} of {result.model}",
        f"  {'stage':<12}{'bytes':>12}{'smaller':>9}{'weights':>12}{'step':>7}{'nats':>8}{'top-1':>8}{'agrees':>8}",
    ]
    first = result.stages[0]
    for stage in result.stages:
        nats, right, agrees = stage.cross_entropy_nats, stage.top1_ratio, stage.agreement_ratio
        lines.append(
            f"  {stage.title:<12}{stage.bundle_bytes:>12,}{first.bundle_bytes / stage.bundle_bytes:>8.2f}x"
            f"{stage.parameters:>12,}{ratios.get(stage.name, 1.0):>7.2f}"
            + (" " * 24 if nats is None else f"{nats:>8.3f}{100 * (right or 0):>7.1f}%")
            + ("" if agrees is None else f"{100 * agrees:>7.1f}%")
            + ("  (from the cache)" if stage.reused else "")
        )
    gates = [stage.gate for stage in result.stages if stage.gate is not None]
    lines += [gate_line(gate) for gate in (*gates, *result.gates)]
    if result.stopped_at:
        lines.append(f"  stopped: the gate of stage {result.stopped_at} does not hold; what follows was not made")
    lines.append(f"  report: {out / 'index.html'}")
    return "\n".join(lines)
