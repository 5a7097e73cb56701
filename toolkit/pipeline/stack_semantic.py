"""The stages of a text-to-semantic checkpoint: distilled, pruned, quantised."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from toolkit.bench.host import Race, race_timed
from toolkit.bench.plan import Plan
from toolkit.bench.tokens import TokenLoop
from toolkit.pipeline.codes_judgement import judge_codes, torch_choices
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.gpt_sovits import semantic_model
from toolkit.pipeline.gpt_sovits_codes import convert_codes
from toolkit.pipeline.run_directory import file_sha256
from toolkit.pipeline.shrink_semantic import data_sha256, distil_checkpoint, given_model, prune_checkpoint
from toolkit.pipeline.stack import DISTIL, FILES, GIVEN, PRUNE, QUANTISE, TITLES, TORCH, Made, Maker, Subject
from toolkit.pipeline.stack_gates import rise_gate, whole_gates
from toolkit.pipeline.stage_cache import CachedStage, cached_stage
from toolkit.recipe import load as recipes
from toolkit.recipe.schema import Gates, GptSovits, Recipe
from toolkit.recipe.stacking import Stack, StackFamily
from toolkit.results import Gate
from toolkit.results.stack import StackStage

if TYPE_CHECKING:
    from toolkit.models.gpt_sovits.semantic import SemanticModel
    from toolkit.quality.semantic import SemanticQuality

_PLAN: Final = Plan(warmup_runs=32, min_runs=150, max_runs=400, min_seconds=1.0, threads=(1,))


class SemanticStages:
    """The stages of one GPT ``.ckpt``; see `toolkit.pipeline.stack.Stages`.

    Args:
        model: the checkpoint.
        data: corpus, see ``load_corpus``.
        stack: stages and gates.
        cache: finished stages of all stacks, by content.
        listener: told about every stage.
        threads: of torch.
        command: the command line, for the bundles' pages.

    Raises:
        RecipeError: the last stage's recipe is none.
    """

    family: StackFamily = "t2s"

    def __init__(
        self, model: Path, data: Path, stack: Stack, cache: Path, listener: Listener, *, threads: int, command: str
    ) -> None:
        self._model, self._data, self._cache = model, data, cache
        self._stack, self._listener = stack, listener
        self._threads, self._command = threads, command
        self._clock = StageClock(listener)
        self._recipe = recipes.load(stack.quantise.recipe, stack.quantise.changes)

    def given(self) -> Made:
        """Reads and judges the checkpoint.

        Raises:
            CheckpointError: the checkpoint is damaged, foreign or a SoVITS checkpoint.
            DataError: the data is missing, damaged or of another model.
        """
        from toolkit.quality.semantic import judge_semantic

        _, self._teacher, corpus = given_model(self._model, self._data, self._clock)
        self._held_out = corpus.held_out
        self._data_sha256 = data_sha256(self._data)
        self._quality = judge_semantic(self._teacher, self._held_out)
        self._predictions = self._quality.predictions
        run = self._float_bundle(GIVEN, self._model)
        row = self._row(GIVEN, run, self._teacher, self._quality, (), {})
        return Made(row=row, run=run, model=self._model)

    def makers(self) -> Sequence[Maker]:
        """Distillation and pruning where the recipe asks for them, then quantisation."""
        shrinking: list[Maker] = []
        if self._stack.distil is not None:
            shrinking.append(partial(self._shrunk, DISTIL, self._stack.distil, distil_checkpoint, "student.ckpt"))
        if self._stack.prune is not None:
            shrinking.append(partial(self._shrunk, PRUNE, self._stack.prune, prune_checkpoint, "pruned.ckpt"))
        return (*shrinking, self._quantised)

    def subject(self) -> Subject:
        """The checkpoint and its corpus."""
        return Subject(
            name=self._model.name,
            inputs={self._model.name: file_sha256(self._model), self._data.name: self._data_sha256},
            predictions=self._predictions,
        )

    def race(self, runs: Mapping[str, Path]) -> Race:
        """The token step of every stage, in turns."""
        rows = min((self._recipe.gpt_sovits or GptSovits()).cache_rows)
        with self._clock.stage("token step of every stage, in turns") as stage:
            loops = {name: TokenLoop(path, threads=1, rows=rows) for name, path in runs.items()}
            raced = race_timed(loops, f"t2s_step@{rows}", _PLAN, baseline=GIVEN, threads=1)
            stage.fact = ", ".join(f"{one.candidate} {one.ratio:.2f}" for one in raced.comparisons)
        return raced

    def takes(self) -> tuple[()]:
        """None: a text-to-semantic model makes no sound."""
        return ()

    def whole_gates(self, stages: Sequence[StackStage], raced: Race | None) -> tuple[Gate, ...]:
        """See `stack_gates.whole_gates`."""
        return whole_gates(self._stack.gates, stages, raced)

    def _shrunk(self, name: str, settings: Any, shrink: Callable[..., object], file: str, before: Made) -> Made:
        """A smaller checkpoint of the stage before.

        Raises:
            RecipeError: sizes that do not fit together.
            GateFailed: pruning did not hold its gate after a single round.
        """
        from toolkit.quality.semantic import judge_semantic

        larger = before.model or self._model

        def make(folder: Path) -> None:
            shrink(
                larger, self._data, settings, folder, self._listener,
                cache=self._cache / "teachers", threads=self._threads,
            )  # fmt: skip

        inputs = {"gpt": file_sha256(larger), "data": self._data_sha256}
        asked = settings.model_dump(mode="json")
        done = cached_stage(self._cache, f"t2s-{name}", inputs, asked, make)
        path = done.folder / file
        model = _read(path)
        quality = judge_semantic(model, self._held_out, self._teacher)
        gate = rise_gate(name, TITLES[name], quality, self._quality, settings.cross_entropy_rise_max)
        self._quality = quality
        run = self._float_bundle(name, path)
        return Made(row=self._row(name, run, model, quality, (gate,), asked, done), run=run, model=path)

    def _quantised(self, before: Made) -> Made:
        settings, path = self._stack.quantise, before.model or self._model
        done = self._converted(QUANTISE, path, self._recipe)
        with self._clock.stage("quantised: held-out sentences") as stage:
            found = judge_codes(
                done.folder,
                self._held_out,
                threads=self._threads,
                reference=partial(torch_choices, self._teacher),
                on_progress=lambda n, of: self._listener.progress(stage.name, n, of, "sentences"),
            )
            stage.fact = f"cross-entropy {found.cross_entropy_nats:.3f} nats"
        gate = rise_gate(QUANTISE, TITLES[QUANTISE], found, self._quality, settings.cross_entropy_rise_max)
        asked = settings.model_dump(mode="json")
        row = self._row(QUANTISE, done.folder, _read(path), found, (gate,), asked, done, FILES)
        return Made(row=row, run=done.folder, model=path)

    def _float_bundle(self, name: str, path: Path) -> Path:
        """Run directory of the stage's model as a bundle in float32, to weigh and to time."""
        plain = {"name": f"{self._recipe.name}, float32", "parts": {}, "gates": Gates()}
        return self._converted(f"{name}-float32", path, self._recipe.model_copy(update=plain)).folder

    def _converted(self, name: str, path: Path, recipe: Recipe) -> CachedStage:
        asked = recipe.model_dump(mode="json", by_alias=True)
        return cached_stage(
            self._cache, f"t2s-{name}", {"gpt": file_sha256(path)}, asked,
            lambda folder: convert_codes(path, recipe, folder, self._listener, command=self._command),
        )  # fmt: skip

    def _row(
        self,
        name: str,
        run: Path,
        model: SemanticModel,
        quality: SemanticQuality,
        gates: tuple[Gate, ...],
        settings: dict[str, Any],
        done: CachedStage | None = None,
        judged_on: str = TORCH,
    ) -> StackStage:
        sizes = model.config
        inners = sorted(set(sizes.inners))
        inner = f"{inners[0]}" if len(inners) == 1 else f"{inners[0]} to {inners[-1]}"
        return StackStage(
            name=name,
            title=TITLES[name],
            key=done.key if done else "",
            reused=bool(done and done.reused),
            settings=settings,
            parameters=sum(value.numel() for value in model.parameters()),
            shape=f"{sizes.layers} layers, {sizes.width} wide, {sizes.heads} heads, {inner} inner",
            bundle_bytes=sum(path.stat().st_size for path in (run / "bundle").glob("*.tflite")),
            cross_entropy_nats=quality.cross_entropy_nats,
            top1_ratio=quality.top1_ratio,
            agreement_ratio=quality.agreement_ratio,
            judged_on=judged_on,
            gates=gates,
        )


def _read(path: Path) -> SemanticModel:
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint

    return semantic_model(read_checkpoint(path, "gpt"))
