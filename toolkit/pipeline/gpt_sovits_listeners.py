"""The part of a GPT-SoVITS conversion that needs pretrained models of the user: enrolment graphs and BERT's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.errors import InputError
from toolkit.errors import CheckpointError
from toolkit.pipeline.enrolment_torch import Listeners, read_listeners
from toolkit.recipe.schema import GptSovits

if TYPE_CHECKING:
    from toolkit.models.gpt_sovits.checkpoint import Checkpoint
    from toolkit.models.gpt_sovits.phone_graph import PhoneGraph
    from toolkit.models.gpt_sovits.semantic_config import SemanticConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerPaths:
    """Weights the user has; ``None`` where not.

    Attributes:
        ssl: HuBERT: with it the bundle enrols recordings.
        bert: BERT: with it the bundle makes its own text features.
        sv: speaker encoder, which enrolment needs for v2Pro.
    """

    ssl: Path | None = None
    bert: Path | None = None
    sv: Path | None = None

    def check(self, *, folded: bool, settings: GptSovits) -> None:
        """An option that would be ignored is an error.

        Raises:
            InputError: one does nothing beside the others.
        """
        if self.ssl is not None and folded:
            raise _usage("--ssl does nothing beside --voice", "a bundle with one voice folded in enrols nobody else")
        if self.sv is not None and self.ssl is None:
            raise _usage("--sv does nothing without --ssl", "enrolment graphs are converted when there is a HuBERT")
        if self.bert is not None and not settings.text_features:
            raise _usage("--bert does nothing with gpt_sovits.text_features=false", "leave one of the two out")


def listeners_of(paths: ListenerPaths, sovits: Checkpoint, semantic: SemanticConfig) -> Listeners:
    """What the user has, checked against both halves of the model.

    Raises:
        CheckpointError: a file is unusable, or is not the model this version was trained with.
        EngineError: BERT's vocabulary cannot be read.
    """
    found = read_listeners(sovits, paths.ssl, paths.bert, paths.sv)
    if found.bert is not None and found.bert.config.width != semantic.features:
        raise CheckpointError(
            f"it makes {found.bert.config.width} features, the GPT half takes {semantic.features}",
            code="checkpoint/pair",
            where=str(paths.bert),
            hint="give chinese-roberta-wwm-ext-large",
        )
    return found


def listening_graphs(sovits: Checkpoint, listeners: Listeners, settings: GptSovits, seed: int) -> Iterator[PhoneGraph]:
    """The graphs of what there is, in the order they run."""
    from toolkit.models.gpt_sovits.listener_graphs import bert_graphs, speaker_graphs, ssl_graphs
    from toolkit.models.gpt_sovits.sovits_graphs import SovitsBuckets, enrolment_graphs

    if listeners.ssl is not None:
        yield from ssl_graphs(listeners.ssl, settings.ssl_samples, seed=seed)
        buckets = SovitsBuckets(style=settings.style_frames, extractor=settings.reference_codes)
        yield from enrolment_graphs(sovits, buckets, seed=seed)
    if listeners.speaker is not None:
        yield from speaker_graphs(listeners.speaker, settings.speaker_frames, seed=seed)
    if listeners.bert is not None:
        yield from bert_graphs(listeners.bert, settings.bert_tokens, seed=seed)


def listening_facts(listeners: Listeners) -> dict[str, Any]:
    """What ``engine.json`` says about them."""
    facts: dict[str, Any] = {}
    if listeners.ssl is not None:
        config = listeners.ssl.config
        facts["ssl_convolutions"] = [list(pair) for pair in zip(config.kernels, config.strides, strict=True)]
    if listeners.vocabulary is not None:
        vocabulary = listeners.vocabulary
        facts["vocabulary"] = {
            "characters": "".join(vocabulary.ids),
            "ids": list(vocabulary.ids.values()),
            "unknown": vocabulary.unknown,
            "begin": vocabulary.begin,
            "end": vocabulary.end,
        }
    return facts


def _usage(message: str, hint: str) -> InputError:
    return InputError(message, code="usage/invalid", where="toolkit convert", hint=hint)
