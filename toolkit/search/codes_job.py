"""A search for a version of a GPT checkpoint alone: its students, fewer channels, precisions.

There is no sound to judge; what counts is whether a version chooses the code that the model given would, each code
given those before it: agreement of the shipped files with the given model in torch, never with their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import SearchError
from toolkit.pipeline.codes_judgement import judge_codes, torch_choices
from toolkit.pipeline.events import Listener, StageClock
from toolkit.pipeline.gpt_sovits import semantic_model
from toolkit.pipeline.gpt_sovits_codes import convert_codes
from toolkit.pipeline.reuse import Reuse
from toolkit.pipeline.run import Options, Outcome
from toolkit.pipeline.run_directory import building, file_sha256
from toolkit.pipeline.shrink_semantic import data_sha256, given_model, prune_checkpoint
from toolkit.pipeline.stage_cache import cached_stage
from toolkit.pipeline.train_semantic import write_manifest
from toolkit.recipe.schema import GptSovits, Recipe
from toolkit.recipe.shrinking import Prune
from toolkit.results.search import Score
from toolkit.search.intent import Intent
from toolkit.search.job import ONE_RUN, Kind, chosen_student, digests
from toolkit.search.knobs import CHANNELS_KNOB, ratio_of
from toolkit.search.score import agreement_score
from toolkit.search.students import GIVEN, Student, codes_students

if TYPE_CHECKING:
    from toolkit.models.gpt_sovits.semantic import SemanticModel
    from toolkit.models.gpt_sovits.semantic_batch import Pair

_PRUNED = "pruned.ckpt"
_NO_GATE = 1e6
"""Nats: pruned models are judged as versions of the search, not while they are made."""
_SENTENCES = 12


class CodesJob:
    """A GPT checkpoint; see `toolkit.search.job.Job`.

    Args:
        path: the ``.ckpt``.
        listener: told about every stage.
        cache: where pruned checkpoints are kept, by content.
        students: files of students.
        data: corpus to train pruned models on and to judge all on; without one nothing is trained, and the sentences
            are those the model given says.

    Raises:
        CheckpointError: a file is missing, damaged or foreign.
        SearchError: a student has other phones or codes.
        DataError: there is no such corpus.
    """

    kind: Kind = "codes"
    sharing = "Versions of a GPT checkpoint share pruned checkpoints; each is converted by itself."

    def __init__(
        self, path: Path, listener: Listener, cache: Path, students: Sequence[str] = (), data: Path | None = None
    ) -> None:
        self._path, self._listener, self._cache, self._data = path, listener, cache, data
        self.name = path.name
        self.reuse = Reuse()
        self.students: tuple[Student, ...] = codes_students(students, path)
        if data is not None:
            given_model(path, data, StageClock(listener))  # wrong data is an error before anything is written

    def identity(self) -> str:
        """The digests of its files."""
        corpus = "" if self._data is None else data_sha256(self._data)
        return json.dumps([digests([self._path]), corpus, *(each.sha256 for each in self.students)], sort_keys=True)

    def convert(self, recipe: Recipe, out: Path, options: Options, chosen: Mapping[str, str]) -> Outcome:
        """Converts the form that is chosen; where no benchmark is wanted each graph still runs once."""
        if not options.benchmark:
            recipe = recipe.model_copy(update={"bench": ONE_RUN})
        self._lengths = recipe.gpt_sovits or GptSovits()
        return convert_codes(self._form(chosen), recipe, out, self._listener, command=options.command)

    def score(self, outcome: Outcome, folder: Path) -> Score:
        """Agreement of the files with the model given.

        Raises:
            SearchError: no sentence fits the recipe's graphs.
        """
        with StageClock(self._listener).stage("agreement with the model given") as stage:
            pairs = [pair for each in self._sentences if (pair := _fitting(each, self._lengths)) is not None]
            if not pairs:
                raise SearchError(
                    "no sentence to judge versions by fits the graphs", code="search/no-sentence",
                    where="gpt_sovits.prefill, gpt_sovits.cache_rows", hint="convert with longer graphs",
                )  # fmt: skip
            found = judge_codes(folder, pairs, reference=partial(torch_choices, self._given))
            stage.fact = f"{100 * (found.agreement_ratio or 0.0):.1f} % of {found.predictions:,} choices"
        return agreement_score(found.agreement_ratio or 0.0)

    def is_of(self, digests: Set[str], chosen: Mapping[str, str]) -> bool:
        """Whether the chosen form's file was read."""
        return file_sha256(self._form(chosen)) in digests

    def notes(self, intent: Intent) -> tuple[str, ...]:
        """What was done to the model, and what it was judged by."""
        notes = []
        if any(intent.prune_ratios):
            notes.append(
                "Channels went a few at a time, with training on the corpus in between."
                if self._data is not None
                else "Channels went in one cut, by the norm of their weights, and nothing was trained afterwards: "
                "there was no corpus (--data)."
            )
        said = "the corpus holds out" if self._data is not None else "the model given says itself"
        notes.append(f"Agreement is over sentences that {said}, each code given those before it.")
        return tuple(notes)

    def _form(self, chosen: Mapping[str, str]) -> Path:
        """The checkpoint of the form that is chosen; a pruned one is made where it is not there."""
        student = chosen_student(self.students, chosen)
        path = self._path if student is None else student.path
        label = chosen.get(CHANNELS_KNOB, GIVEN)
        if label == GIVEN:
            return path
        settings = Prune(mlp_ratio=ratio_of(label), cross_entropy_rise_max=_NO_GATE)
        inputs = {"gpt": file_sha256(path)} | ({} if self._data is None else {"data": data_sha256(self._data)})
        how = "t2s-pruned" if self._data is not None else "t2s-cut"
        make = partial(self._pruned, path, settings)
        return cached_stage(self._cache, how, inputs, settings.model_dump(mode="json"), make).folder / _PRUNED

    def _pruned(self, path: Path, settings: Prune, folder: Path) -> None:
        if self._data is None:
            cut_checkpoint(path, settings, folder)
        else:
            teachers = self._cache / "teachers"
            prune_checkpoint(path, self._data, settings, folder, self._listener, cache=teachers)

    @cached_property
    def _given(self) -> SemanticModel:
        from toolkit.models.gpt_sovits.checkpoint import read_checkpoint

        return semantic_model(read_checkpoint(self._path, "gpt"))

    @cached_property
    def _sentences(self) -> list[Pair]:
        from toolkit.data.semantic_corpus import load_corpus
        from toolkit.models.gpt_sovits.calibration import SpokenSentences
        from toolkit.models.gpt_sovits.semantic_batch import Pair

        if self._data is not None:
            return list(load_corpus(self._data, self._given.config.symbols).held_out[:_SENTENCES])
        said = SpokenSentences(self._given, None).utterances
        # Every second one was said with text features, which these choices are made without.
        return [Pair(phones=each.phones[0], codes=each.said) for each in said if not each.bert.any()]


def cut_checkpoint(path: Path, settings: Prune, out: Path) -> None:
    """Writes a run directory with a checkpoint that was cut and not trained.

    Raises:
        CheckpointError: the file is damaged, foreign or a SoVITS checkpoint.
    """
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
    from toolkit.models.gpt_sovits.semantic_file import write_semantic
    from toolkit.prune.untrained import cut_by_norm

    found = read_checkpoint(path, "gpt")
    smaller = cut_by_norm(semantic_model(found), settings)
    with building(out) as directory:
        write_semantic(directory.path / _PRUNED, smaller, f"{found.info} cut, not trained".strip(), found.config)
        write_manifest(directory, {path.name: found.sha256})


def _fitting(pair: Pair, lengths: GptSovits) -> Pair | None:
    """The sentence, shortened to the graphs' lengths; None where its text alone is too long."""
    from toolkit.models.gpt_sovits.semantic_batch import Pair

    phones = max(each for each, _ in lengths.prefill)
    room = max(lengths.cache_rows) - len(pair.phones) - 1
    return Pair(phones=pair.phones, codes=pair.codes[:room]) if len(pair.phones) <= phones and room > 0 else None
