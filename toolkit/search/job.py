"""What is searched for: a model with a way to convert it under any recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from toolkit.pipeline import sources
from toolkit.pipeline.events import Listener
from toolkit.pipeline.reuse import Reuse
from toolkit.pipeline.run import Options, Outcome, run
from toolkit.pipeline.run_directory import file_sha256
from toolkit.pipeline.sources import Request
from toolkit.recipe.schema import Bench, Recipe
from toolkit.results.search import Score
from toolkit.search.intent import Intent
from toolkit.search.knobs import STUDENT_KNOB
from toolkit.search.score import heard_score
from toolkit.search.students import GIVEN, Student

if TYPE_CHECKING:
    from toolkit.pipeline.gpt_sovits_listeners import ListenerPaths

Kind = Literal["voice", "model", "gpt-sovits", "codes"]
GROUPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "voice": {"encoder": ("encoder",), "flow": ("flow",), "decoder": ("decoder",)},
    "model": {"model": ("model",)},
    # prefill and step are the same transformer and share its weights in the bundle
    "gpt-sovits": {
        "transformer": ("t2s_prefill", "t2s_step"),
        "text_encoder": ("text_encoder",),
        "flow": ("flow",),
        "vocoder_stream": ("vocoder_stream",),
    },
    "codes": {"transformer": ("t2s_prefill", "t2s_step")},
}
"""Parts that are set together, by kind of model."""
ONE_RUN = Bench(threads=(2,), runs=1, warmup=0, min_seconds=0.0)


class Job(Protocol):
    """A model to search a version of.

    Attributes:
        kind: which groups of parts it has.
        name: for titles.
        reuse: work that its conversions share.
        sharing: what is said of that on the page; empty where everything is shared.
        students: other forms of the model.
    """

    kind: Kind
    name: str
    reuse: Reuse
    sharing: str
    students: tuple[Student, ...]

    def identity(self) -> str:
        """What tells this model from any other."""

    def convert(self, recipe: Recipe, out: Path, options: Options, chosen: Mapping[str, str]) -> Outcome:
        """Converts the form of it that is chosen into ``out``."""

    def score(self, outcome: Outcome, folder: Path) -> Score | None:
        """How good a conversion in ``folder`` is, against the model given."""

    def is_of(self, digests: Set[str], chosen: Mapping[str, str]) -> bool:
        """Whether a conversion that read files of these digests is of the form that is chosen."""

    def notes(self, intent: Intent) -> tuple[str, ...]:
        """What the reader must know of its forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestJob:
    """A voice, or any single model."""

    request: Request
    listener: Listener
    reuse: Reuse = field(default_factory=Reuse)
    sharing: str = ""
    students: tuple[Student, ...] = ()

    @property
    def kind(self) -> Kind:
        """Voice or model."""
        return sources.kind_of(self.request)

    @property
    def name(self) -> str:
        """As it was asked for."""
        if self.request.random_voice:
            return "random-voice (random weights, not speech)"
        return self.request.model or "the default voice"

    def identity(self) -> str:
        """The request and the digests of its files."""
        files = [self.request.model, self.request.probe, self.request.spec]
        words = [repr(self.request), digests([Path(name) for name in files if name])]
        return json.dumps([*words, *(student.sha256 for student in self.students)], sort_keys=True)

    def convert(self, recipe: Recipe, out: Path, options: Options, chosen: Mapping[str, str]) -> Outcome:
        """Converts it or a student, which is judged against it; float hops and compressed parts are shared."""
        student = chosen_student(self.students, chosen)
        request = self.request if student is None else self._of_student(student)
        return run(request, recipe, out, options, self.listener, self.reuse)

    def _of_student(self, student: Student) -> Request:
        given = self.request
        own = given.teacher or (Path(given.model) if given.model and not self._is_student else None)
        return Request(model=str(student.path), teacher=own)

    @property
    def _is_student(self) -> bool:
        """Whether the voice given is a student itself: then its teacher is that of the others."""
        return sources.open_voice(self.request).teacher is not None

    def score(self, outcome: Outcome, folder: Path) -> Score | None:
        """As it is heard, or as its outputs agree."""
        return heard_score(outcome)

    def is_of(self, digests: Set[str], chosen: Mapping[str, str]) -> bool:
        """See `reads_student`."""
        return reads_student(self.students, digests, chosen)

    def notes(self, intent: Intent) -> tuple[str, ...]:
        """How students are treated."""
        if not self.students:
            return ()
        brought = ", ".join(dict.fromkeys(student.recipe or "vits-voice" for student in self.students))
        return (
            "Students are judged as the voice given is: by what the whole voice says, against the voice given in "
            "float. Where the base recipe is vits-voice, a student brings the settings and the quality limits of the "
            f"recipe made for it ({brought}).",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PairJob:
    """A GPT-SoVITS model: its two checkpoints, and what is folded in or goes beside them."""

    paths: tuple[Path, ...]
    voice: str
    listeners: ListenerPaths
    listener: Listener
    reuse: Reuse = field(default_factory=Reuse)
    kind: Kind = "gpt-sovits"
    students: tuple[()] = ()
    sharing: str = "Versions of a GPT-SoVITS model share no work yet: each is converted from the checkpoints."

    @property
    def name(self) -> str:
        """Names of the checkpoints."""
        return " and ".join(path.name for path in self.paths)

    def identity(self) -> str:
        """The digests of its files and the name of its voice."""
        beside = [Path(self.voice)] if self.voice else []
        return json.dumps([self.voice, repr(self.listeners), digests([*self.paths, *beside])], sort_keys=True)

    def convert(self, recipe: Recipe, out: Path, options: Options, chosen: Mapping[str, str]) -> Outcome:
        """Converts the pair; where no benchmark is wanted each graph still runs once."""
        from toolkit.pipeline.gpt_sovits import convert_pair

        if not options.benchmark:
            recipe = recipe.model_copy(update={"bench": ONE_RUN})
        return convert_pair(
            list(self.paths),
            recipe,
            out,
            self.listener,
            voice=self.voice,
            listeners=self.listeners,
            command=options.command,
        )

    def score(self, outcome: Outcome, folder: Path) -> Score | None:
        """As its graphs' outputs agree."""
        return heard_score(outcome)

    def is_of(self, digests: Set[str], chosen: Mapping[str, str]) -> bool:
        """It has one form only."""
        return True

    def notes(self, intent: Intent) -> tuple[str, ...]:
        """None."""
        return ()


def chosen_student(students: Sequence[Student], chosen: Mapping[str, str]) -> Student | None:
    """The student of a version; None where it is the model given."""
    label = chosen.get(STUDENT_KNOB, GIVEN)
    return next((student for student in students if student.label == label), None)


def reads_student(students: Sequence[Student], digests: Set[str], chosen: Mapping[str, str]) -> bool:
    """Whether, of all students' files, the chosen one's and no other was read."""
    student = chosen_student(students, chosen)
    return {each.sha256 for each in students} & digests == ({student.sha256} if student else set())


def digests(files: Sequence[Path]) -> dict[str, str]:
    """Sha256 of those that are there."""
    return {str(path): file_sha256(path) for path in files if path.is_file()}
