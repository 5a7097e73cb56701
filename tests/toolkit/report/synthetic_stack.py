"""Stacks of both kinds of model with made-up figures, for pages."""

from toolkit.results import Latency, LatencyComparison, LatencyStats, judge
from toolkit.results.stack import StackClip, StackResult, StackStage

NAMES = (("given", "as given"), ("distil", "distilled"), ("quantise", "quantised"))


def _stage(place: int, family: str, *, trained: bool) -> StackStage:
    name, title = NAMES[place]
    heard = {
        "mos_drop": 0.031 * place, "mos_drop_worst": 0.21 * place, "speaker_cosine": 1 - 0.012 * place,
        "speaker_cosine_worst": 1 - 0.03 * place,
    }  # fmt: skip
    read = {"cross_entropy_nats": 1.9 + 0.02 * place, "top1_ratio": 0.5, "agreement_ratio": 0.75}
    known = read if family == "t2s" else heard if place else {}
    gates = [judge(f"{name}_loss", f"{title}: what was lost", 0.031, "points", 0.2, "<=", "On held-out sentences.")]
    return StackStage(
        name=name,
        title=title,
        key="",
        reused=place == 1,
        seconds=60.0 * place,
        settings={"utterances": 12, "flow": None, "text_training": {"steps": 800, "batch": 12}} if place else {},
        parameters=15_000_000 // (place + 1),
        shape="encoder 6 layers, 768 inner; stochastic durations; flow 192 wide; hifigan decoder",
        bundle_bytes=62_600_000 // (1, 2, 10)[place],
        judged_on=(("torch, float32", "TFLite files")[place - 1] if place else "") if trained else "",
        gates=tuple(gates) if place else (),
        **(known if trained else {}),
    )


def _latency(name: str, median_ms: float) -> Latency:
    stats = LatencyStats(
        n=20, mean_ms=median_ms, min_ms=median_ms, p50_ms=median_ms, p90_ms=median_ms, p95_ms=median_ms,
        p99_ms=median_ms, iqr_ms=0.1, outliers=0, ci_low_ms=median_ms, ci_high_ms=median_ms, drift_ratio=0.0,
    )  # fmt: skip
    return Latency(
        part="sentence", variant=name, threads=1, where="host CPU", init_ms=5.0, first_ms=median_ms, samples_ms=(),
        stats=stats, audio_seconds=2.97, real_time_factor=0.1, valid=True, reasons=(), race="r",
    )  # fmt: skip


def stack(family: str = "voice", *, trained: bool = True, stopped: bool = False) -> StackResult:
    """A stack that passes, one of random weights, or one that stopped after its second stage."""
    stages = tuple(_stage(place, family, trained=trained) for place in range(2 if stopped else 3))
    if stopped:
        broken = judge("distil_loss", "distilled: what was lost", 0.5, "points", 0.2, "<=", "On held-out sentences.")
        stages = (stages[0], stages[1].model_copy(update={"gates": (broken,)}))
    clips = tuple(
        StackClip(
            id=f"evaluation-00{number}",
            text="The coffee machine on the second floor is out of order.",
            paths={stage.name: f"audio/evaluation-00{number}-{stage.name}.flac" for stage in stages},
        )
        for number in range(2)
    )
    return StackResult(
        family=family,
        model="en_US-somebody-medium",
        recipe="stacked-voice",
        description="a VITS voice to a tenth of its bytes",
        command="toolkit stack somebody.onnx",
        inputs={"somebody.onnx": "0" * 64},
        predictions=7271 if family == "t2s" else 0,
        utterances=0 if family == "t2s" else 12,
        against="en_US-somebody-medium in float (torch)",
        trained=trained,
        stages=stages,
        latency=tuple(_latency(stage.name, 400.0 / (place + 1)) for place, stage in enumerate(stages)),
        comparisons=tuple(
            LatencyComparison(
                part="sentence", baseline="given", candidate=stage.name, threads=1, where="host CPU", ratio=0.61,
                ci_low=0.6, ci_high=0.62, pairs=20,
            )
            for stage in stages[1:]
        ),
        gates=() if stopped else (judge("bytes_ratio", "float32 over stacked", 10.0, "x", 10.0, ">=", "On disk."),),
        clips=clips if family == "voice" else (),
        stopped_at="distil" if stopped else "",
        notes=("Nothing was pruned.",),
        seconds=900.0,
    )  # fmt: skip
