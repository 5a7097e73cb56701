"""Sentences of phones to sentences the engine speaks: Chinese with the text features of the bundle's own BERT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from toolkit.engine.bundle import Bundle
from toolkit.engine.listening import read_characters
from toolkit.engine.loading import GraphLoader
from toolkit.engine.speaking import Sentence
from toolkit.errors import EngineError
from toolkit.text.front_end import Phones, unread_note
from toolkit.text.vocabulary import features_of_phones


def read_sentences(
    bundle: Bundle, loader: GraphLoader, written: Iterable[tuple[str, Phones]], notes: list[str]
) -> Iterator[Sentence]:
    """Sentences one by one; text features are made when a sentence's turn comes, so that the first is heard early.

    Without text features the model speaks Chinese too, with worse prosody: zeros are what upstream gives other
    languages. So it is a note, and no error, when there is no BERT or no memory for it.

    Args:
        bundle: whose BERT.
        loader: opens it.
        written: what is said, and its phones.
        notes: what was left out is added here.

    Raises:
        EngineError: a sentence is too long for the bundle's BERT.
    """
    reads = any("bert" in graph.tensors for graph in bundle.of_kind("t2s_prefill"))
    for text, phones in written:
        left_out = unread_note(text, phones)
        notes.extend([left_out] if left_out else [])
        if not phones.spoken:
            continue
        features = None
        if phones.characters and reads:
            features, reason = _features(bundle, loader, phones)
            reads = features is not None
            notes.extend([f"text features are zeros: {reason}"] if reason else [])
        yield Sentence(phones=np.array(phones.ids, np.int32), text=text, bert=features)


def _features(bundle: Bundle, loader: GraphLoader, phones: Phones) -> tuple[np.ndarray | None, str]:
    vocabulary = bundle.vocabulary
    if vocabulary is None or not bundle.of_kind("bert"):
        return None, "the bundle has no BERT (convert with --bert)"
    try:
        return features_of_phones(phones, lambda text: read_characters(bundle, loader, vocabulary.tokens(text))), ""
    except EngineError as error:
        if error.code != "engine/memory-bound":
            raise
        return None, f"BERT does not fit the {error.where} (raise --memory-mb)"
