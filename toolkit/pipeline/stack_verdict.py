"""The few lines a stack ends with on the terminal."""

from __future__ import annotations

from pathlib import Path

from toolkit.pipeline.verdict import gate_line
from toolkit.results.stack import StackResult, StackStage


def stack_verdict(result: StackResult, out: Path) -> str:
    """A row for each stage, every gate, where the report lies."""
    ratios = {one.candidate: one.ratio for one in result.comparisons}
    voice = result.family == "voice"
    heads = f"{'points':>9}{'worst':>8}{'cosine':>8}" if voice else f"{'nats':>8}{'top-1':>8}{'agrees':>8}"
    timed = "sentence" if voice else "step"
    lines = [
        "",
        f"{'PASS' if result.passed else 'FAIL'}  {result.recipe} of {result.model}",
        f"  {'stage':<12}{'bytes':>12}{'smaller':>9}{'weights':>12}{timed:>9}{heads}",
    ]
    first = result.stages[0]
    for stage in result.stages:
        lines.append(
            f"  {stage.title:<12}{stage.bundle_bytes:>12,}{first.bundle_bytes / stage.bundle_bytes:>8.2f}x"
            f"{stage.parameters:>12,}{ratios.get(stage.name, 1.0):>9.2f}"
            + (_heard(stage) if voice else _predicted(stage))
            + ("  (from the cache)" if stage.reused else "")
        )
    if voice and result.utterances:
        lines.append(f"  DistillMOS and resemblyzer against {result.against}, {result.utterances} held-out sentences")
    lines += [gate_line(gate) for gate in result.all_gates]
    if result.stopped_at:
        lines.append(f"  stopped: the gate of stage {result.stopped_at} does not hold; what follows was not made")
    lines += [f"  note: {note}" for note in result.notes]
    lines.append(f"  report: {out / 'index.html'}")
    return "\n".join(lines)


def _predicted(stage: StackStage) -> str:
    nats, right, agrees = stage.cross_entropy_nats, stage.top1_ratio, stage.agreement_ratio
    known = " " * 24 if nats is None else f"{nats:>8.3f}{100 * (right or 0):>7.1f}%"
    return known + ("" if agrees is None else f"{100 * agrees:>7.1f}%")


def _heard(stage: StackStage) -> str:
    drop, worst, cosine = stage.mos_drop, stage.mos_drop_worst, stage.speaker_cosine
    if drop is None or worst is None or cosine is None:
        return f"{'–':>9}{'–':>8}{'–':>8}"
    return f"{-drop:>+9.3f}{-worst:>+8.3f}{cosine:>8.3f}"
