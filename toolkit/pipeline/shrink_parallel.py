"""``toolkit distil --student nar``: a run directory with a convolutional student of a GPT, and what it can do."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolkit.models.threads import threads_of
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.run_directory import (
    building,
    refuse_foreign_directory,
    resume_folder,
    teachers_folder,
)
from toolkit.pipeline.shrink_semantic import Shrunk, given_model, held_or_not, inputs_read, told_steps
from toolkit.pipeline.train_semantic import said, write_manifest
from toolkit.recipe.shrinking import DistilParallel

if TYPE_CHECKING:
    from toolkit.distil.parallel_semantic import DistilledParallel

STUDENT: Final = "student"
CANNOT: Final = (
    "every frame is chosen by itself: where the teacher would go on as it began, this averages over all ways to go on",
    "it says a sentence in one way: no sampling, no seed, one set of durations",
    "it takes no prompt: it is one voice, that of the codes it learned from, and cannot take on another's tone",
    "text features (BERT) are not read, as they are zeros in the teacher's own training for all but Chinese",
)
"""What it cannot do, by its construction."""


def distil_parallel_checkpoint(
    model: Path, data: Path, settings: DistilParallel, out: Path, listener: Listener, *, cache: Path | None = None,
    threads: int = 1,
) -> Shrunk:  # fmt: skip
    """Distils a GPT checkpoint into a convolutional student.

    Args:
        model: the teacher's ``.ckpt``.
        data: see ``load_corpus``; sentences without durations are aligned.
        settings: sizes, loss, training.
        out: run directory; it appears whole or not at all. An interrupted run goes on when it is asked again.
        listener: told about every stage.
        cache: directory of teachers' outputs; ``.teachers`` beside ``out`` by default.
        threads: of torch.

    Raises:
        CheckpointError: the file is damaged, foreign or a SoVITS checkpoint.
        DataError: the data is missing, damaged, of another model, or cannot be aligned.
    """
    from toolkit.distil.parallel_semantic import distil_parallel, timed_corpus
    from toolkit.models.parallel_semantic.file import write_parallel
    from toolkit.quality.parallel_semantic import opinions

    refuse_foreign_directory(out)
    clock, resume = StageClock(listener), resume_folder(out)
    with threads_of(threads):
        gpt, teacher, corpus = given_model(model, data, clock)
        with clock.stage("durations") as stage:
            timed = timed_corpus(corpus, str(data))
            stage.fact = f"from {timed.durations}, {len(timed.corpus.training):,} sentences"
        with clock.stage("distillation") as stage:
            done = distil_parallel(
                teacher, timed.corpus, settings,
                where=str(data), cache=cache or teachers_folder(out), checkpoint_dir=resume,
                on_teacher=lambda n, total: listener.progress("distillation", n, total, "sentences the teacher knows"),
                on_step=told_steps(listener, "distillation"),
            )  # fmt: skip
            stage.fact = said(done.after.cross_entropy_nats, done.after.top1_ratio)
        with clock.stage("the teacher's opinion") as stage:
            thought = opinions(done.model, teacher, timed.corpus.held_out, settings.seed)
            stage.fact = f"{len(thought)} ways to say {len(timed.corpus.held_out)} held-out sentences"
    rise, limit = done.after.cross_entropy_nats - done.teacher.cross_entropy_nats, settings.cross_entropy_rise_max
    passed = limit is None or rise <= limit
    result: dict[str, Any] = {
        "settings": settings.model_dump(mode="json"),
        "durations": {"from": timed.durations, "left_out_sentences": len(corpus.training) - len(timed.corpus.training)},
        "guess_nats": done.guess_nats,
        "phone_table": asdict(done.table),
        "teacher": {**asdict(done.teacher), "parameters": _weights(teacher)},
        "student_before": asdict(done.before),
        "student": {**asdict(done.after), "parameters": _weights(done.model)},
        "evaluation": None if done.evaluation is None else asdict(done.evaluation),
        "cross_entropy_rise_nats": rise,
        "own_durations": asdict(done.timing),
        "opinions": {name: asdict(each) for name, each in thought.items()},
        "cannot": list(CANNOT),
        "teacher_asked_sentences": done.asked,
        "seconds": {record.name: round(record.seconds, 1) for record in clock.records},
        "passed": passed,
    }
    with building(out) as directory:
        path = write_parallel(
            directory.path / f"{STUDENT}.safetensors", done.model, label=f"{gpt.info or gpt.path.stem}, convolutional",
            teacher_sha256=gpt.sha256, version=gpt.version,
        )  # fmt: skip
        result["file_bytes"] = path.stat().st_size
        directory.write_json(f"{STUDENT}.json", result)
        write_manifest(directory, inputs_read(gpt, data))
    shutil.rmtree(resume, ignore_errors=True)
    path = out / f"{STUDENT}.safetensors"
    return Shrunk(path=path, result=result, verdict=_verdict(path, result, done), passed=passed)


def _weights(model: Any) -> int:
    return sum(value.numel() for value in model.parameters())


def _verdict(path: Path, result: dict[str, Any], done: DistilledParallel) -> str:
    teacher, student, timing, limit = (
        result["teacher"], result["student"], done.timing, result["settings"]["cross_entropy_rise_max"],
    )  # fmt: skip
    source = "the data's own" if result["durations"]["from"] == "data" else "found by alignment, not measured"
    gate = "" if limit is None else f" (gate {limit:.3f}: {held_or_not(result['passed'])})"
    lines = [
        f"{path}  {result['file_bytes']:,} bytes in float16, {student['parameters']:,} weights "
        f"({teacher['parameters'] / student['parameters']:.2f} x fewer)",
        f"  held-out codes; the student is told durations ({source}), the teacher the codes before:",
        f"    a guess      cross-entropy {done.guess_nats:.3f} nats",
        f"    phone alone  {said(done.table.cross_entropy_nats, done.table.top1_ratio)}",
        f"    teacher      {said(done.teacher.cross_entropy_nats, done.teacher.top1_ratio)}",
        f"    student      {said(done.after.cross_entropy_nats, done.after.top1_ratio)}, "
        f"agrees with the teacher in {100 * (done.after.agreement_ratio or 0.0):.1f} %",
        f"    rise         {result['cross_entropy_rise_nats']:+.3f} nats{gate}",
    ]
    if done.evaluation is not None:
        lines.append(f"  other text     {said(done.evaluation.cross_entropy_nats, done.evaluation.top1_ratio)}")
    lines += [
        f"  own durations: {timing.error_ms:.1f} ms a phone off (a constant: {timing.guess_error_ms:.1f}), sentences "
        f"{100 * timing.length_error_ratio:.1f} %, all together ×{timing.length_ratio:.3f}",
        "  what the teacher thinks of codes (nats each, given those before):",
        *(
            f"    {each['cross_entropy_nats']:.3f}  {name}; {100 * each['repeat_ratio']:.0f} % repeat the code before"
            for name, each in result["opinions"].items()
        ),
        *(f"  cannot: {text}" for text in CANNOT),
    ]
    return "\n".join(lines)
