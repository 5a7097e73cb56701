"""The study: which version to try next, and what was found, in SQLite. The only module that knows optuna.

The sampler is a multi-objective tree of Parzen estimators over quality, size and latency, with the limits as
constraints. The space is small and discrete, so a combination is never tried twice, nor one with a part that could not
be made: where the sampler proposes such, another is drawn. What was tried survives any interruption; after one, the
sampler goes on from what is on record.
"""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from converters import frameworks
from toolkit.errors import SearchError
from toolkit.results.search import FORMS, Version

_NAME = "search"
_DIRECTIONS = ("maximize", "minimize", "minimize")
_VERSION, _IDENTITY = "version", "identity"
_STARTS = ("recipe", "float16", "int8", "int8-storage")


class Study:
    """Versions proposed and recorded.

    Args:
        path: the SQLite file; made when it is not there.
        positions: knob to the labels of its options.
        identity: what the study is about; a file of another study is refused.
        seed: of the sampler.

    Raises:
        ExtraMissing: optuna is not installed.
        SearchError: the file is a study of something else, or no study.
    """

    def __init__(self, path: Path, positions: Mapping[str, Sequence[str]], identity: str, seed: int) -> None:
        self._optuna = frameworks.load("optuna")
        self._positions = {name: tuple(labels) for name, labels in positions.items()}
        self._random = random.Random(seed)
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        fresh = not path.exists()
        self._study = self._open(path)
        known = self._study.user_attrs.get(_IDENTITY)
        if fresh or known is None:
            self._study.set_user_attr(_IDENTITY, identity)
            for chosen in self._starts():
                self._study.enqueue_trial(chosen, skip_if_exists=True)
        elif known != identity:
            raise SearchError(
                "a search for something else is there: another model, device, limit, recipe or set of knobs",
                code="search/other-study",
                where=str(path),
                hint="give another --out, or remove the directory",
            )
        self._give_up_interrupted()
        # The sampler's own state is not kept: its seed moves on with the versions on record.
        self._study.sampler = self._sampler(seed + len(self._study.trials))

    def _starts(self) -> list[dict[str, str]]:
        """The base recipe, every other form of the model under it, and the plain precisions of the model given."""
        first = {name: labels[0] for name, labels in self._positions.items()}
        forms = [
            first | {name: label}
            for name, labels in self._positions.items()
            if name.partition(".")[0] in FORMS
            for label in labels[1:]
        ]
        plain = [
            {name: start if start in labels else labels[0] for name, labels in self._positions.items()}
            for start in _STARTS
        ]
        return [plain[0], *forms, *plain[1:]]

    @property
    def combinations(self) -> int:
        """How many versions the knobs make."""
        return math.prod(len(labels) for labels in self._positions.values())

    def versions(self) -> tuple[Version, ...]:
        """Everything recorded, in order."""
        found = [t.user_attrs[_VERSION] for t in self._study.trials if _VERSION in t.user_attrs]
        return tuple(sorted((Version.model_validate(each) for each in found), key=lambda each: each.number))

    def propose(self) -> tuple[Any, dict[str, str]] | None:
        """A version worth trying, as a handle to record it with and its settings; None when none is left."""
        left = self._left()
        if not left:
            return None
        trial, chosen = self._ask()
        while chosen not in left:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            self._study.enqueue_trial(self._random.choice(left))
            trial, chosen = self._ask()
        return trial, chosen

    def record(self, trial: Any, version: Version) -> None:
        """Writes down what became of a proposal."""
        trial.set_user_attr(_VERSION, version.model_dump(mode="json"))
        if not version.made or version.score is None or version.size_bytes is None or version.latency is None:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
            return
        trial.set_constraint("excess", version.excess if not version.feasible else -1.0)
        self._study.tell(trial, [version.score.value, float(version.size_bytes), version.latency.ms])

    def close(self) -> None:
        """Lets go of the database file."""
        self._storage.engine.dispose()

    def _open(self, path: Path) -> Any:
        sqlalchemy = frameworks.load("sqlalchemy")
        try:
            self._storage = self._optuna.storages.RDBStorage(f"sqlite:///{path}")
            return self._optuna.create_study(
                storage=self._storage, study_name=_NAME, directions=list(_DIRECTIONS), load_if_exists=True
            )
        except (sqlalchemy.exc.SQLAlchemyError, RuntimeError) as error:
            raise SearchError(
                f"not a study: {str(error).splitlines()[0]}",
                code="search/damaged",
                where=str(path),
                hint="remove it and search again",
            ) from error

    def _sampler(self, seed: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self._optuna.exceptions.ExperimentalWarning)
            return self._optuna.samplers.TPESampler(seed=seed, n_startup_trials=8, multivariate=True)

    def _ask(self) -> tuple[Any, dict[str, str]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an enqueued value is checked against the options right here
            trial = self._study.ask()
            chosen = {name: trial.suggest_categorical(name, labels) for name, labels in self._positions.items()}
        return trial, chosen

    def _left(self) -> list[dict[str, str]]:
        """Combinations that were not tried and that no refusal rules out."""
        known = self.versions()
        tried = [version.chosen for version in known]
        names = list(self._positions)
        every = (dict(zip(names, labels, strict=True)) for labels in itertools.product(*self._positions.values()))
        return [each for each in every if each not in tried and not any(v.rules_out(each) for v in known)]

    def _give_up_interrupted(self) -> None:
        """Versions an interrupted search was busy with are tried again."""
        state = self._optuna.trial.TrialState
        for trial in self._study.get_trials(states=(state.RUNNING,)):
            self._study.tell(trial.number, state=state.FAIL)
            if set(trial.params) == set(self._positions):
                self._study.enqueue_trial(trial.params)
