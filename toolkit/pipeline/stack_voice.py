"""The stages of a VITS voice: distilled into a student, pruned, then quantised."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from converters.errors import InputError
from toolkit.bench.host import Race, race_timed
from toolkit.bench.plan import Plan
from toolkit.data import load_manifest
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.prune_voice import PRUNED, prune_voice_file
from toolkit.pipeline.reuse import Reuse
from toolkit.pipeline.run import Options, run
from toolkit.pipeline.run_directory import file_sha256
from toolkit.pipeline.shrink_voice import DEFAULT_VOICE, STUDENT, distil_voice_file
from toolkit.pipeline.sources import VOICE_SUFFIX, Request, Source, open_voice
from toolkit.pipeline.stack import DISTIL, FILES, GIVEN, PRUNE, QUANTISE, TITLES, TORCH, Made, Maker, Subject
from toolkit.pipeline.stack_directory import Take
from toolkit.pipeline.stack_voice_gates import ITSELF, VoiceScores, loss_gates, whole_voice_gates
from toolkit.pipeline.stage_cache import CachedStage, cached_stage
from toolkit.pipeline.voice_sentence import SentenceLoop, held_out_ids
from toolkit.recipe import load as recipes
from toolkit.recipe.schema import Gates, Recipe
from toolkit.recipe.shrinking import PruneVoice, VoiceLoss
from toolkit.recipe.stacking import DistilStage, StackFamily, VoiceStack
from toolkit.results import Gate, RunResult
from toolkit.results import load as load_result
from toolkit.results.stack import StackStage

if TYPE_CHECKING:
    from toolkit.models.voice import Voice

TEACHER: Final = "teacher"
"""Whose renditions are the reference where the voice given is a student itself."""
_PLAN: Final = Plan(warmup_runs=2, min_runs=12, max_runs=60, min_seconds=6.0, threads=(1,))
_TAKES: Final = 3
_REFERENCE, _CANDIDATE = "float", "converted"
"""How the two renditions of a sentence are called in the audio folder of a run."""
_NO_PRUNING: Final = "Nothing was pruned: the recipe does not ask for it; what is narrower is so by distillation."


class VoiceStages:
    """The stages of one voice; see `toolkit.pipeline.stack.Stages`.

    Args:
        model: ``joe``, a Piper ``.onnx`` or a voice file.
        data: text file of IPA to teach with, see `distil_voice_file`.
        stack: stages and gates.
        cache: finished stages of all stacks, by content.
        listener: told about every stage.
        teacher: of a student that is given, the voice it was made of, where it is not found by itself.
        threads: of torch.
        command: the command line, for the bundles' pages.

    Raises:
        RecipeError: the last stage's recipe is none.
    """

    family: StackFamily = "voice"

    def __init__(
        self,
        model: str,
        data: Path | None,
        stack: VoiceStack,
        cache: Path,
        listener: Listener,
        *,
        teacher: Path | None = None,
        threads: int = 1,
        command: str = "toolkit stack",
    ) -> None:
        self._model, self._data, self._cache = model, data, cache
        self._stack, self._listener, self._teacher = stack, listener, teacher
        self._threads, self._command = threads, command
        self._clock = StageClock(listener)
        self._recipe = recipes.load(stack.quantise.recipe, stack.quantise.changes)
        self._asked_of = Request(model="" if model == DEFAULT_VOICE else model, teacher=teacher)
        self._student_of: Path | None = None
        self._reuse_of, self._reuse = self._asked_of, Reuse()
        self._audio: dict[str, tuple[Path, str]] = {}

    def given(self) -> Made:
        """Opens the voice and converts it in float32.

        Raises:
            InputError: it is missing or damaged, or a student whose teacher is not found.
        """
        with self._clock.stage("open voice") as stage:
            self._source = open_voice(self._asked_of)
            self._voice = _voice(self._source)
            stage.fact = self._voice.label
        # Random weights have no quality; a voice that is nobody's student is what the others are compared with.
        self._trained = "random weights" not in self._voice.label
        known = self._trained and self._source.teacher is not None
        self._student_of = self._teacher or _place(self._source, self._model)
        done = self._float(GIVEN, self._asked_of, utterances=self._utterances if known else 0)
        self._scores = _whole(load_result(done.folder / "results.json")) if known else ITSELF
        if known:
            self._audio[TEACHER] = (done.folder, _REFERENCE)
            self._audio[GIVEN] = (done.folder, _CANDIDATE)
        row = self._row(GIVEN, done.folder, self._scores if known else None, (), {}, FILES if known else "")
        return Made(row=row, run=done.folder)

    def makers(self) -> Sequence[Maker]:
        """Distillation and pruning where the recipe asks for them, then quantisation."""
        shrinking: list[Maker] = []
        if self._stack.distil is not None:
            shrinking.append(partial(self._distilled, self._stack.distil))
        if self._stack.prune is not None:
            shrinking.append(partial(self._pruned, self._stack.prune))
        return (*shrinking, self._quantised)

    def subject(self) -> Subject:
        """The voice and the sentences it is taught with."""
        against = self._source.judged_against
        taught = {} if self._data is None else {self._data.name: file_sha256(self._data)}
        return Subject(
            name=self._source.name,
            inputs={**self._source.inputs, **taught},
            utterances=self._utterances,
            against=f"{against.name} in float (torch)" if against is not None and self._trained else "",
            trained=self._trained,
            notes=() if self._stack.prune is not None else (_NO_PRUNING,),
        )

    def race(self, runs: Mapping[str, Path]) -> Race:
        """One held-out sentence by every stage, in turns, all as many frames long."""
        with self._clock.stage("a sentence of every stage, in turns") as stage:
            ids, seed = held_out_ids(runs[GIVEN]), self._recipe.quality.seed
            first = SentenceLoop(runs[GIVEN], ids=ids, seed=seed)
            others = {
                name: SentenceLoop(path, ids=ids, seed=seed, frames=first.frames)
                for name, path in runs.items()
                if name != GIVEN
            }
            raced = race_timed(
                {GIVEN: first, **others}, "sentence", _PLAN, baseline=GIVEN, threads=1,
                audio_seconds=first.audio_seconds,
            )  # fmt: skip
            stage.fact = ", ".join(f"{one.candidate} {one.ratio:.2f}" for one in raced.comparisons)
        return raced

    def takes(self) -> tuple[Take, ...]:
        """The first held-out sentences, as far as audio of them is there."""
        found = []
        for sentence in load_manifest().split("evaluation")[:_TAKES]:
            files = {
                stage: path
                for stage, (folder, kind) in self._audio.items()
                if (path := folder / "audio" / f"{sentence.name}-{kind}.flac").is_file()
            }
            if len(files) > 1:
                found.append(Take(id=sentence.name, text=sentence.text, files=files))
        return tuple(found)

    def whole_gates(self, stages: Sequence[StackStage], raced: Race | None) -> tuple[Gate, ...]:
        """Those of the recipe it was converted with, then those of the stack."""
        return (*self._converted_gates, *whole_voice_gates(self._stack.gates, stages, raced))

    @property
    def _utterances(self) -> int:
        return self._stack.utterances if self._trained else 0

    @property
    def _reference(self) -> str:
        """Whose renditions the others are held against."""
        return GIVEN if self._source.teacher is None else TEACHER

    def _distilled(self, settings: DistilStage, before: Made) -> Made:
        """The student.

        Raises:
            DataError: the voice is not English and there is no data, or the data holds too little.
            RecipeError: a student that is larger than the teacher.
            GateFailed: a training diverged.
        """
        student = settings.student.model_copy(update={"utterances": self._utterances})
        taught = {} if self._data is None else {"data": file_sha256(self._data)}
        done = cached_stage(
            self._cache, "voice-distil", {**self._source.inputs, **taught, **_held_out()},
            student.model_dump(mode="json"),
            lambda folder: distil_voice_file(
                self._model, student, folder, self._listener, data=self._data, teacher=self._teacher,
                cache=self._cache / "teachers", threads=self._threads,
            ),
        )  # fmt: skip
        return self._shrunk(DISTIL, STUDENT, done, student.model_dump(mode="json"), settings)

    def _pruned(self, settings: PruneVoice, before: Made) -> Made:
        """The voice of the stage before with a smaller text encoder, flow or decoder where the recipe asks for it.

        Raises:
            DataError: the voice is not English and there is no data, or the data holds too little.
            RecipeError: something protected would be cut.
            GateFailed: not even the first round held, or a training diverged.
        """
        asked, larger = settings.model_copy(update={"utterances": self._utterances}), before.model
        model, teacher = (self._model, self._teacher) if larger is None else (str(larger), self._student_of)
        taught = {} if self._data is None else {"data": file_sha256(self._data)}
        given = {} if larger is None else {larger.name: file_sha256(larger)}
        done = cached_stage(
            self._cache, "voice-prune", {**self._source.inputs, **taught, **given, **_held_out()},
            asked.model_dump(mode="json"),
            lambda folder: prune_voice_file(
                model, asked, folder, self._listener, data=self._data, teacher=teacher,
                cache=self._cache / "teachers", threads=self._threads,
            ),
        )  # fmt: skip
        return self._shrunk(PRUNE, PRUNED, done, asked.model_dump(mode="json"), settings)

    def _shrunk(self, name: str, file: str, done: CachedStage, asked: dict[str, Any], limits: VoiceLoss) -> Made:
        """A stage that wrote a smaller voice file, with what it was judged at in torch."""
        from toolkit.models.voice_file import read_voice

        path = done.folder / f"{file}{VOICE_SUFFIX}"
        quality = json.loads((done.folder / f"{file}.json").read_text(encoding="utf-8"))["quality"]
        scores = VoiceScores.of({metric: (each["mean"], each["worst"]) for metric, each in quality.items()})
        if self._utterances:
            self._audio.setdefault(self._reference, (done.folder, _REFERENCE))
            self._audio[name] = (done.folder, _CANDIDATE)
        gates = loss_gates(name, TITLES[name], scores, self._scores, limits, trained=self._trained)
        self._scores, self._voice = scores, read_voice(path)
        run = self._float(name, self._student(path)).folder
        row = self._row(name, run, scores if self._trained else None, gates, asked, TORCH, done)
        return Made(row=row, run=run, model=path)

    def _quantised(self, before: Made) -> Made:
        settings = self._stack.quantise
        request = self._asked_of if before.model is None else self._student(before.model)
        quality = self._recipe.quality.model_copy(update={"utterances": self._utterances})
        recipe = self._recipe.model_copy(update={"quality": quality})
        done = self._converted(QUANTISE, request, recipe)
        result = load_result(done.folder / "results.json")
        scores = _whole(result)
        if self._utterances:
            self._audio.setdefault(self._reference, (done.folder, _REFERENCE))
            self._audio[QUANTISE] = (done.folder, _CANDIDATE)
        gates = loss_gates(QUANTISE, TITLES[QUANTISE], scores, self._scores, settings, trained=self._trained)
        self._converted_gates = result.gates
        row = self._row(
            QUANTISE, done.folder, scores if self._trained else None, gates,
            settings.model_dump(mode="json"), FILES, done,
        )  # fmt: skip
        return Made(row=row, run=done.folder, model=before.model)

    def _student(self, path: Path) -> Request:
        return Request(model=str(path), teacher=self._student_of)

    def _float(self, name: str, request: Request, utterances: int = 0) -> CachedStage:
        """The stage's voice as a bundle in float32, to weigh and to time."""
        plain = {
            "name": f"{self._recipe.name}, float32",
            "parts": {},
            "gates": Gates(),
            "quality": self._recipe.quality.model_copy(update={"utterances": utterances}),
        }
        return self._converted(f"{name}-float32", request, self._recipe.model_copy(update=plain))

    def _converted(self, name: str, request: Request, recipe: Recipe) -> CachedStage:
        path = Path(request.model)
        files = {path.name: file_sha256(path)} if path.suffix == VOICE_SUFFIX else {}
        options = Options(command=self._command, benchmark=recipe.gates.latency_ratio_max is not None)
        return cached_stage(
            self._cache, f"voice-{name}", {**self._source.inputs, **files, **_held_out()},
            recipe.model_dump(mode="json", by_alias=True),
            partial(self._convert, request, recipe, options),
        )  # fmt: skip

    def _convert(self, request: Request, recipe: Recipe, options: Options, folder: Path) -> None:
        # Of one stage's voice, the float32 and the quantised bundle share their float hops; others are let go.
        if self._reuse_of != request:
            self._reuse_of, self._reuse = request, Reuse()
        run(request, recipe, folder, options, self._listener, self._reuse)

    def _row(
        self,
        name: str,
        run_folder: Path,
        scores: VoiceScores | None,
        gates: tuple[Gate, ...],
        settings: dict[str, Any],
        judged_on: str,
        done: CachedStage | None = None,
    ) -> StackStage:
        return StackStage(
            name=name,
            title=TITLES[name],
            key=done.key if done else "",
            reused=bool(done and done.reused),
            settings=settings,
            parameters=self._voice.float32_bytes // 4,
            shape=_shape(self._voice),
            bundle_bytes=sum(path.stat().st_size for path in (run_folder / "bundle").iterdir()),
            mos_drop=scores.mos_drop if scores else None,
            mos_drop_worst=scores.mos_drop_worst if scores else None,
            speaker_cosine=scores.speaker_cosine if scores else None,
            speaker_cosine_worst=scores.speaker_cosine_worst if scores else None,
            judged_on=judged_on if scores else "",
            gates=gates,
        )


def _voice(source: Source) -> Voice:
    """The voice of a source that was opened as one."""
    if source.voice is None:
        raise InputError(f"{source.name} is no voice", where=source.name)
    return source.voice


def _place(source: Source, model: str) -> Path | None:
    """Where the voice lies that students are made of; None for the default voice, which is found by itself."""
    from toolkit.pipeline.teacher import find_teacher

    told = _voice(source).teacher
    if told is not None:
        return find_teacher(told, Path(model))[1]
    return None if model == DEFAULT_VOICE else Path(model)


def _held_out() -> dict[str, str]:
    """Digest of the sentences that ranges are chosen by and that everything is judged on."""
    return {"calibration_data": load_manifest().sha256}


def _whole(result: RunResult) -> VoiceScores:
    quality = result.whole_voice
    return VoiceScores.of({m.metric: (m.mean, m.worst) for m in quality.metrics} if quality else {})


def _shape(voice: Voice) -> str:
    """What makes one voice larger than another, in few words."""
    from toolkit.models.vits.config import GeneratorConfig
    from toolkit.models.vits.decoders import kind_of_decoder

    encoder, flow = voice.config.encoder, voice.config.flow
    timed = "stochastic" if voice.config.durations is None else "deterministic"
    gates = "" if flow.gates is None else f", {_range(width for each in flow.gates for width in each)} gates"
    decoder = kind_of_decoder(voice.config.generator).name
    if isinstance(voice.config.generator, GeneratorConfig) and voice.config.generator.widths is not None:
        decoder = f"{decoder} {', '.join(map(str, voice.config.generator.widths))}"
    return (
        f"encoder {encoder.layers} layers, {_range(encoder.inners)} inner; {timed} durations; flow {flow.hidden} "
        f"wide{gates}; {decoder} decoder"
    )


def _range(sizes: Iterable[int]) -> str:
    found = sorted(set(sizes))
    return f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"
