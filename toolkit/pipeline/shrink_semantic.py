"""``toolkit distil`` and ``toolkit prune`` on a text-to-semantic checkpoint: a run directory with a smaller one."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolkit.data import DEFAULT_ROOT
from toolkit.errors import DataError, GateFailed
from toolkit.models.threads import threads_of
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.run_directory import (
    building,
    file_sha256,
    refuse_foreign_directory,
    resume_folder,
    teachers_folder,
)
from toolkit.pipeline.train_semantic import NAME, said, write_manifest
from toolkit.recipe.shrinking import Distil, Prune

if TYPE_CHECKING:
    from toolkit.data.semantic_corpus import SemanticCorpus
    from toolkit.models.gpt_sovits.checkpoint import Checkpoint
    from toolkit.models.gpt_sovits.semantic import SemanticModel
    from toolkit.prune.rounds import Round
    from toolkit.quality.semantic import SemanticQuality

SMALL: Final = DEFAULT_ROOT / NAME
DEFAULT_MODEL: Final = SMALL / f"{NAME}.ckpt"
DEFAULT_CORPUS: Final = SMALL / "corpus.npz"
_GUESSING: Final = 0.97


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """What a run made.

    Attributes:
        path: the smaller checkpoint.
        result: what the ``.json`` beside it holds.
        verdict: a few lines for people.
        passed: whether the gate held.
    """

    path: Path
    result: dict[str, Any] = field(repr=False)
    verdict: str
    passed: bool


def distil_checkpoint(
    model: Path, data: Path, settings: Distil, out: Path, listener: Listener, *, cache: Path | None = None,
    threads: int = 1,
) -> Shrunk:  # fmt: skip
    """Distils a GPT checkpoint into a smaller one.

    Args:
        model: the teacher's ``.ckpt``.
        data: see ``load_corpus``.
        settings: sizes, loss, training.
        out: run directory; it appears whole or not at all. An interrupted run goes on when it is asked again.
        listener: told about every stage.
        cache: directory of teachers' outputs; ``.teachers`` beside ``out`` by default.
        threads: of torch.

    Raises:
        CheckpointError: the file is damaged, foreign or a SoVITS checkpoint.
        DataError: the data is missing, damaged or of another model.
        RecipeError: sizes that do not fit together.
    """
    from toolkit.distil.semantic import distil_semantic

    refuse_foreign_directory(out)
    clock, resume = StageClock(listener), resume_folder(out)
    with threads_of(threads):
        gpt, teacher, corpus = given_model(model, data, clock)
        with clock.stage("distillation") as stage:
            done = distil_semantic(
                teacher, corpus, settings,
                cache=cache or teachers_folder(out),
                checkpoint_dir=resume,
                on_teacher=lambda n, total: listener.progress("distillation", n, total, "sentences the teacher knows"),
                on_step=told_steps(listener, "distillation"),
            )  # fmt: skip
            stage.fact = said(done.after.cross_entropy_nats, done.after.top1_ratio)
    rise, limit = done.after.cross_entropy_nats - done.teacher.cross_entropy_nats, settings.cross_entropy_rise_max
    passed = limit is None or rise <= limit
    result = {
        "settings": settings.model_dump(mode="json"),
        "teacher": asdict(done.teacher) | _size(teacher),
        "student_before": asdict(done.before),
        "student": asdict(done.after) | _size(done.model),
        "cross_entropy_rise_nats": rise,
        "teacher_asked_sentences": done.asked,
        "passed": passed,
    }
    path, size = _write(out, "student", done.model, f"{gpt.info} distilled".strip(), gpt, data, result)
    shutil.rmtree(resume, ignore_errors=True)
    lines = [
        f"{path}  {size:,} bytes, {_size(done.model)['parameters']:,} weights "
        f"({_size(teacher)['parameters'] / _size(done.model)['parameters']:.2f} x fewer)",
        f"  teacher  {said(done.teacher.cross_entropy_nats, done.teacher.top1_ratio)}",
        f"  student  {said(done.after.cross_entropy_nats, done.after.top1_ratio)}, "
        f"agrees with the teacher in {100 * (done.after.agreement_ratio or 0.0):.1f} %",
        f"  rise     {rise:+.3f} nats" + ("" if limit is None else f" (gate {limit:.3f}: {held_or_not(passed)})"),
    ]
    return Shrunk(path=path, result=result, verdict="\n".join(lines), passed=passed)


def prune_checkpoint(
    model: Path,
    data: Path,
    settings: Prune,
    out: Path,
    listener: Listener,
    *,
    control: bool = False,
    cache: Path | None = None,
    threads: int = 1,
) -> Shrunk:
    """Prunes a GPT checkpoint round by round and writes the smallest that passed the gate.

    Args:
        model: ``.ckpt``.
        data: see ``load_corpus``.
        settings: how much, how, and the gate.
        out: run directory; it appears whole or not at all. An interrupted run goes on when it is asked again.
        listener: told about every stage.
        control: also train the whole model for as many steps with the same loss, to compare.
        cache: directory of teachers' outputs; ``.teachers`` beside ``out`` by default.
        threads: of torch.

    Raises:
        CheckpointError: the file is damaged, foreign or a SoVITS checkpoint.
        DataError: the data is missing, damaged or of another model.
        RecipeError: something protected would be cut.
        GateFailed: not even the first round passed; nothing is written.
    """
    from toolkit.prune.semantic import prune_semantic, unpruned_control

    refuse_foreign_directory(out)
    clock, resume, cache = StageClock(listener), resume_folder(out), cache or teachers_folder(out)
    with threads_of(threads):
        gpt, given, corpus = given_model(model, data, clock)
        with clock.stage("pruning") as stage:
            done = prune_semantic(
                given, corpus, settings,
                cache=cache,
                checkpoint_dir=resume,
                on_round=lambda fact, total: listener.warning(_round_line(fact, total)),
                on_step=told_steps(listener, "pruning"),
            )  # fmt: skip
            stage.fact = f"round {done.best} of {len(done.rounds)} kept"
        beside = None
        if control and done.best:
            with clock.stage("control") as stage:
                beside = unpruned_control(
                    given, corpus, settings, done.best,
                    cache=cache, checkpoint_dir=resume / "control", on_step=told_steps(listener, "control"),
                )  # fmt: skip
                stage.fact = said(beside.cross_entropy_nats, beside.top1_ratio)
    if not done.best:
        raise GateFailed(
            f"the first round raised the cross-entropy from {done.before.cross_entropy_nats:.3f} to "
            f"{done.rounds[0].quality.cross_entropy_nats:.3f} nats, more than {settings.cross_entropy_rise_max}",
            code="prune/no-round",
            where=str(model),
            hint="train more each round (--steps), cut less (--round), or allow more (--max-rise)",
        )
    kept, passed = done.rounds[done.best - 1], done.rounds[-1].passed
    over_control = None if beside is None else kept.quality.cross_entropy_nats - beside.cross_entropy_nats
    rise = kept.quality.cross_entropy_nats - done.before.cross_entropy_nats
    result = {
        "settings": settings.model_dump(mode="json"),
        "before": asdict(done.before) | _size(given),
        "rounds": [asdict(each) for each in done.rounds],
        "kept_round": done.best,
        "control": None if beside is None else asdict(beside),
        "pruned": asdict(kept.quality) | _size(done.model),
        "cross_entropy_rise_nats": rise,
        "cross_entropy_over_control_nats": over_control,
        "passed": passed,
    }
    path, size = _write(out, "pruned", done.model, f"{gpt.info} pruned".strip(), gpt, data, result)
    shutil.rmtree(resume, ignore_errors=True)
    sizes, first = done.model.config, given.config
    lines = [
        f"{path}  {size:,} bytes, {_size(done.model)['parameters']:,} weights of {_size(given)['parameters']:,}",
        f"  channels {sum(sizes.inners):,} of {sum(first.inners):,}, heads {sizes.heads} of {first.heads} a layer",
        f"  before   {said(done.before.cross_entropy_nats, done.before.top1_ratio)}",
        *(
            []
            if beside is None
            else [
                f"  control  {said(beside.cross_entropy_nats, beside.top1_ratio)} (whole, trained as long; the pruned "
                f"one is {over_control:+.3f} nats from it)"
            ]
        ),
        f"  after    {said(kept.quality.cross_entropy_nats, kept.quality.top1_ratio)}",
        f"  rise     {rise:+.3f} nats (gate {settings.cross_entropy_rise_max:.3f}: "
        + ("held to the target)" if passed else f"round {len(done.rounds)} did not hold; round {done.best} is kept)"),
    ]
    return Shrunk(path=path, result=result, verdict="\n".join(lines), passed=passed)


def refuse_foreign_data(model: SemanticModel, pairs: Sequence[Any], where: str) -> None:
    """The model tells these codes better than a guess.

    Raises:
        DataError: it does not: the codes are of another codebook, or the weights are random.
    """
    from toolkit.quality.semantic import judge_semantic

    found, guess = judge_semantic(model, pairs).cross_entropy_nats, math.log(model.config.vocabulary)
    if not found < _GUESSING * guess:
        raise DataError(
            f"the model tells these codes no better than a guess: {found:.2f} nats, a guess has {guess:.2f}",
            code="data/foreign-codes",
            where=where,
            hint="give data the model was trained on: --data with upstream's logs/NAME directory",
        )


def data_files(data: Path) -> list[Path]:
    """The files a corpus is read from: one, or upstream's lists in a directory."""
    return [data] if data.is_file() else sorted(each for each in data.iterdir() if each.suffix in (".txt", ".tsv"))


def inputs_read(gpt: Checkpoint, data: Path) -> dict[str, str]:
    """Digests of a checkpoint and of a corpus's files, by name."""
    return {gpt.path.name: gpt.sha256} | {each.name: file_sha256(each) for each in data_files(data)}


def data_sha256(data: Path) -> str:
    """Digest of all of a corpus's files, or of any one file."""
    files = data_files(data)
    if len(files) == 1:
        return file_sha256(files[0])
    return hashlib.sha256("".join(file_sha256(each) for each in files).encode()).hexdigest()


def given_model(model: Path, data: Path, clock: StageClock) -> tuple[Checkpoint, SemanticModel, SemanticCorpus]:
    """A checkpoint, its model, and data it can be judged on.

    Raises:
        CheckpointError: the file is damaged, foreign or a SoVITS checkpoint.
        DataError: the data is missing, damaged or of another model.
    """
    from toolkit.data.semantic_corpus import load_corpus
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
    from toolkit.pipeline.gpt_sovits import semantic_model

    with clock.stage("read checkpoint and data") as stage:
        gpt = read_checkpoint(model, "gpt")
        loaded = semantic_model(gpt)
        corpus = load_corpus(data, loaded.config.symbols)
        corpus.check(loaded.config.symbols, loaded.config.stop_token, str(data))
        refuse_foreign_data(loaded, corpus.held_out, str(data))
        stage.fact = f"{len(corpus.training):,} sentences, {len(corpus.held_out):,} held out"
    return gpt, loaded, corpus


def _write(
    out: Path, name: str, model: SemanticModel, info: str, gpt: Checkpoint, data: Path, result: dict[str, Any]
) -> tuple[Path, int]:
    from toolkit.models.gpt_sovits.semantic_file import write_semantic

    with building(out) as directory:
        path = write_semantic(directory.path / f"{name}.ckpt", model, info, gpt.config)
        size = result["checkpoint_bytes"] = path.stat().st_size
        directory.write_json(f"{name}.json", result)
        write_manifest(directory, inputs_read(gpt, data))
    return out / f"{name}.ckpt", size


def _size(model: SemanticModel) -> dict[str, Any]:
    sizes = model.config
    return {
        "parameters": sum(value.numel() for value in model.parameters()),
        "layers": sizes.layers, "width": sizes.width, "heads": sizes.heads, "inners": list(sizes.inners),
    }  # fmt: skip


def told_steps(listener: Listener, stage: str) -> Any:
    """Tells of a training's steps as the progress of a stage."""
    return lambda step, steps, loss: listener.progress(stage, step, steps, f"loss {loss:.3f}")


def _round_line(fact: Round[SemanticQuality], total: int) -> str:
    return (
        f"round {fact.number} of {total}: {sum(fact.inners):,} channels, {fact.heads} heads, cut "
        f"{fact.cut.cross_entropy_nats:.3f}, trained {fact.quality.cross_entropy_nats:.3f} nats, "
        f"{held_or_not(fact.passed)}"
    )


def held_or_not(passed: bool) -> str:
    """Of a gate, in words."""
    return "held" if passed else "not held"
