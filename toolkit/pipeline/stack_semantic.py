"""``toolkit stack``: a text-to-semantic checkpoint is distilled, pruned and quantised, with a gate after each stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from toolkit.bench.host import Race, race_timed
from toolkit.bench.plan import Plan
from toolkit.bench.tokens import TokenLoop
from toolkit.models.threads import threads_of
from toolkit.pipeline.codes_judgement import judge_codes
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.gpt_sovits import semantic_model
from toolkit.pipeline.gpt_sovits_codes import convert_codes
from toolkit.pipeline.run_directory import file_sha256, refuse_foreign_directory
from toolkit.pipeline.shrink_semantic import data_sha256, distil_checkpoint, given_model, prune_checkpoint
from toolkit.pipeline.stack_directory import write_stack
from toolkit.pipeline.stack_gates import rise_gate, whole_gates
from toolkit.pipeline.stage_cache import CachedStage, cached_stage
from toolkit.recipe import load as recipes
from toolkit.recipe.schema import Gates, GptSovits, Recipe
from toolkit.recipe.stacking import Stack
from toolkit.results import Gate
from toolkit.results.stack import StackResult, StackStage

if TYPE_CHECKING:
    from toolkit.data.semantic_corpus import SemanticCorpus
    from toolkit.models.gpt_sovits.semantic import SemanticModel
    from toolkit.models.gpt_sovits.semantic_batch import Pair
    from toolkit.quality.semantic import SemanticQuality

GIVEN, DISTIL, PRUNE, QUANTISE = "given", "distil", "prune", "quantise"
_TITLES: Final = {GIVEN: "as given", DISTIL: "distilled", PRUNE: "pruned", QUANTISE: "quantised"}
_TORCH, _FILES = "torch, float32", "TFLite files"
_PLAN: Final = Plan(warmup_runs=32, min_runs=150, max_runs=400, min_seconds=1.0, threads=(1,))


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPlaces:
    """Where a stack reads and writes.

    Attributes:
        model: the GPT ``.ckpt``.
        data: corpus, see ``load_corpus``.
        out: run directory; it appears whole or not at all.
        cache: finished stages of all stacks, by content.
    """

    model: Path
    data: Path
    out: Path
    cache: Path


class SemanticStack:
    """One run of a stack.

    Args:
        places: files.
        stack: stages and gates.
        listener: told about every stage.
        threads: of torch.
        command: the command line, for the page.
    """

    def __init__(self, places: StackPlaces, stack: Stack, listener: Listener, *, threads: int, command: str) -> None:
        self._places, self._stack, self._listener = places, stack, listener
        self._threads, self._command = threads, command
        self._clock = StageClock(listener)
        self._recipe = recipes.load(stack.quantise.recipe, stack.quantise.changes)
        self._stages: list[StackStage] = []
        self._checkpoint = places.model
        self._bundles: dict[str, Path] = {}
        self._raced: Race | None = None

    def run(self) -> StackResult:
        """Runs every stage up to the first whose gate does not hold.

        Raises:
            CheckpointError: the checkpoint is damaged, foreign or a SoVITS checkpoint.
            DataError: the data is missing, damaged or of another model.
            RecipeError: sizes that do not fit together, or a precision rule that matches nothing.
            GateFailed: pruning did not hold its gate after a single round.
        """
        refuse_foreign_directory(self._places.out)
        started = time.perf_counter()
        with threads_of(self._threads):
            _, given, corpus = given_model(self._places.model, self._places.data, self._clock)
            self._data_sha256 = data_sha256(self._places.data)
            stopped = self._make(given, corpus)
        self._race()
        places = self._places
        result = StackResult(
            model=self._places.model.name,
            recipe=self._stack.name,
            description=self._stack.description,
            command=self._command,
            inputs={places.model.name: file_sha256(places.model), places.data.name: self._data_sha256},
            predictions=self._predictions,
            stages=tuple(self._stages),
            latency=() if self._raced is None else self._raced.latencies,
            comparisons=() if self._raced is None else self._raced.comparisons,
            gates=() if stopped else whole_gates(self._stack.gates, self._stages, self._raced),
            stopped_at=stopped,
            seconds=round(time.perf_counter() - started, 1),
        )
        write_stack(self._places.out, result, self._stack, self._bundles[self._stages[-1].name], self._checkpoint)
        return result

    def _make(self, given: SemanticModel, corpus: SemanticCorpus) -> str:
        """Every stage in order; the name of the one that did not hold its gate, or nothing."""
        from toolkit.quality.semantic import judge_semantic

        stack, path, model = self._stack, self._places.model, given
        quality = judge_semantic(given, corpus.held_out)
        self._predictions = quality.predictions
        self._note(GIVEN, self._bundle(GIVEN, path), given, quality, None, {}, 0.0)
        makers: tuple[tuple[str, Any, Callable[[Path], Callable[[Path], object]], str], ...] = (
            (DISTIL, stack.distil, self._distil, "student.ckpt"),
            (PRUNE, stack.prune, self._prune, "pruned.ckpt"),
        )
        for name, settings, maker, file in makers:
            if settings is None:
                continue
            began, before = time.perf_counter(), quality
            inputs = {"gpt": file_sha256(path), "data": self._data_sha256}
            asked = settings.model_dump(mode="json")
            done = cached_stage(self._places.cache, f"t2s-{name}", inputs, asked, maker(path))
            path = done.folder / file
            model, self._checkpoint = _read(path), path
            quality = judge_semantic(model, corpus.held_out, given)
            gate = rise_gate(name, _TITLES[name], quality, before, settings.cross_entropy_rise_max)
            bundle = self._bundle(name, path)
            seconds = time.perf_counter() - began
            self._note(name, bundle, model, quality, gate, asked, seconds, done)
            if gate.status != "pass":
                return name
        began = time.perf_counter()
        done = self._converted(QUANTISE, path, self._recipe)
        with self._clock.stage("quantised: held-out sentences") as stage:
            found = judge_codes(
                done.folder,
                corpus.held_out,
                threads=self._threads,
                reference=partial(_choices, given),
                on_progress=lambda n, of: self._listener.progress(stage.name, n, of, "sentences"),
            )
            stage.fact = f"cross-entropy {found.cross_entropy_nats:.3f} nats"
        gate = rise_gate(QUANTISE, _TITLES[QUANTISE], found, quality, stack.quantise.cross_entropy_rise_max)
        asked = stack.quantise.model_dump(mode="json")
        self._bundles[QUANTISE] = done.folder
        self._note(QUANTISE, done.folder, model, found, gate, asked, time.perf_counter() - began, done, _FILES)
        return "" if gate.status == "pass" else QUANTISE

    def _distil(self, path: Path) -> Callable[[Path], object]:
        return lambda folder: distil_checkpoint(
            path, self._places.data, self._stack.distil, folder, self._listener,
            cache=self._places.cache / "teachers", threads=self._threads,
        )  # fmt: skip

    def _prune(self, path: Path) -> Callable[[Path], object]:
        return lambda folder: prune_checkpoint(
            path, self._places.data, self._stack.prune, folder, self._listener,
            cache=self._places.cache / "teachers", threads=self._threads,
        )  # fmt: skip

    def _bundle(self, name: str, path: Path) -> Path:
        """The stage's model as a bundle in float32, to weigh and to time."""
        plain = {"name": f"{self._recipe.name}, float32", "parts": {}, "gates": Gates()}
        recipe = self._recipe.model_copy(update=plain)
        self._bundles[name] = self._converted(f"{name}-float32", path, recipe).folder
        return self._bundles[name]

    def _converted(self, name: str, path: Path, recipe: Recipe) -> CachedStage:
        asked = recipe.model_dump(mode="json", by_alias=True)
        return cached_stage(
            self._places.cache, f"t2s-{name}", {"gpt": file_sha256(path)}, asked,
            lambda folder: convert_codes(path, recipe, folder, self._listener, command=self._command),
        )  # fmt: skip

    def _note(
        self,
        name: str,
        bundle: Path,
        model: SemanticModel,
        quality: SemanticQuality,
        gate: Gate | None,
        settings: dict[str, Any],
        seconds: float,
        done: CachedStage | None = None,
        judged_on: str = _TORCH,
    ) -> None:
        sizes = model.config
        inners = sorted(set(sizes.inners))
        inner = f"{inners[0]}" if len(inners) == 1 else f"{inners[0]} to {inners[-1]}"
        self._stages.append(
            StackStage(
                name=name,
                title=_TITLES[name],
                key=done.key if done else "",
                reused=bool(done and done.reused),
                seconds=round(seconds, 1),
                settings=settings,
                parameters=sum(value.numel() for value in model.parameters()),
                shape=f"{sizes.layers} layers, {sizes.width} wide, {sizes.heads} heads, {inner} inner",
                bundle_bytes=sum(path.stat().st_size for path in (bundle / "bundle").glob("*.tflite")),
                cross_entropy_nats=quality.cross_entropy_nats,
                top1_ratio=quality.top1_ratio,
                agreement_ratio=quality.agreement_ratio,
                judged_on=judged_on,
                gate=gate,
            )
        )

    def _race(self) -> None:
        """The token step of every stage, in turns."""
        if len(self._bundles) < 2:
            return
        rows = min((self._recipe.gpt_sovits or GptSovits()).cache_rows)
        with self._clock.stage("token step of every stage, in turns") as stage:
            loops = {name: TokenLoop(path, threads=1, rows=rows) for name, path in self._bundles.items()}
            self._raced = race_timed(loops, f"t2s_step@{rows}", _PLAN, baseline=GIVEN, threads=1)
            stage.fact = ", ".join(f"{one.candidate} {one.ratio:.2f}" for one in self._raced.comparisons)


def _read(path: Path) -> SemanticModel:
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint

    return semantic_model(read_checkpoint(path, "gpt"))


def _choices(model: SemanticModel, pair: Pair) -> np.ndarray:
    """What a torch model would have chosen at every place of a sentence."""
    import torch

    from toolkit.models.gpt_sovits.semantic_batch import batch_logits, batch_of

    with torch.inference_mode():
        return batch_logits(model, batch_of([pair], model.config.stop_token)).argmax(dim=1).numpy()
