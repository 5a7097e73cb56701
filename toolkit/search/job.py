"""What is searched for: a model with a way to convert it under any recipe."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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

if TYPE_CHECKING:
    from toolkit.pipeline.gpt_sovits_listeners import ListenerPaths

Kind = Literal["voice", "model", "gpt-sovits"]
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
}
"""Parts that are set together, by kind of model."""
_ONE_RUN = Bench(threads=(2,), runs=1, warmup=0, min_seconds=0.0)


class Job(Protocol):
    """A model to search a version of.

    Attributes:
        kind: which groups of parts it has.
        name: for titles.
        reuse: work that its conversions share.
        sharing: what is said of that on the page; empty where everything is shared.
    """

    kind: Kind
    name: str
    reuse: Reuse
    sharing: str

    def identity(self) -> str:
        """What tells this model from any other."""

    def convert(self, recipe: Recipe, out: Path, options: Options) -> Outcome:
        """Converts it into ``out``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestJob:
    """A voice, or any single model."""

    request: Request
    listener: Listener
    reuse: Reuse = field(default_factory=Reuse)
    sharing: str = ""

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
        return json.dumps([repr(self.request), _digests([Path(name) for name in files if name])], sort_keys=True)

    def convert(self, recipe: Recipe, out: Path, options: Options) -> Outcome:
        """Converts it; float hops and compressed parts are shared."""
        return run(self.request, recipe, out, options, self.listener, self.reuse)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairJob:
    """A GPT-SoVITS model: its two checkpoints, and what is folded in or goes beside them."""

    paths: tuple[Path, ...]
    voice: str
    listeners: ListenerPaths
    listener: Listener
    reuse: Reuse = field(default_factory=Reuse)
    kind: Kind = "gpt-sovits"
    sharing: str = "Versions of a GPT-SoVITS model share no work yet: each is converted from the checkpoints."

    @property
    def name(self) -> str:
        """Names of the checkpoints."""
        return " and ".join(path.name for path in self.paths)

    def identity(self) -> str:
        """The digests of its files and the name of its voice."""
        beside = [Path(self.voice)] if self.voice else []
        return json.dumps([self.voice, repr(self.listeners), _digests([*self.paths, *beside])], sort_keys=True)

    def convert(self, recipe: Recipe, out: Path, options: Options) -> Outcome:
        """Converts the pair; where no benchmark is wanted each graph still runs once."""
        from toolkit.pipeline.gpt_sovits import convert_pair

        if not options.benchmark:
            recipe = recipe.model_copy(update={"bench": _ONE_RUN})
        return convert_pair(
            list(self.paths),
            recipe,
            out,
            self.listener,
            voice=self.voice,
            listeners=self.listeners,
            command=options.command,
        )


def _digests(files: Sequence[Path]) -> dict[str, str]:
    return {str(path): file_sha256(path) for path in files if path.is_file()}
