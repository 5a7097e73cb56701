"""Text features of sentences: made in turn, left out with a note where there is no BERT or no memory for it."""

from dataclasses import replace

import numpy as np
import pytest

from tests.toolkit.engine.toy_model import toy_bundle
from toolkit.engine import reading
from toolkit.errors import EngineError
from toolkit.text.front_end import Characters, Phones
from toolkit.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(ids={"你": 4, "好": 5}, unknown=1, begin=2, end=3)
SAID = Characters(start=0, text="你好", counts=[2, 2])
WRITTEN = [("你好", Phones(ids=[1, 2, 3, 4], characters=(SAID,))), ("hi", Phones(ids=[5, 6]))]


class _Bundle:
    """A bundle with a BERT graph, as far as reading looks at it."""

    vocabulary = VOCABULARY

    def of_kind(self, kind):
        return (type("Graph", (), {"tensors": {"bert": None}})(),)


def test_each_phone_gets_the_features_of_its_character(monkeypatch):
    read = []

    def characters(bundle, loader, tokens):
        read.append(tokens.tolist())
        return np.array([[0, 10, 20, 0]], np.float32)

    monkeypatch.setattr(reading, "read_characters", characters)
    notes: list[str] = []
    first, second = reading.read_sentences(_Bundle(), None, WRITTEN, notes)
    np.testing.assert_array_equal(first.bert, [[10, 10, 20, 20]])
    assert second.bert is None and notes == [] and read == [[[2, 4, 5, 3]]]
    assert first.text == "你好" and first.phones.tolist() == [1, 2, 3, 4]


def test_no_memory_for_bert_is_one_note_and_no_second_try(monkeypatch):
    tries = []

    def full(bundle, loader, tokens):
        tries.append(tokens)
        raise EngineError("too much", code="engine/memory-bound", where="memory bound of 1 byte")

    monkeypatch.setattr(reading, "read_characters", full)
    notes: list[str] = []
    found = list(reading.read_sentences(_Bundle(), None, [WRITTEN[0]] * 3, notes))
    assert [sentence.bert for sentence in found] == [None] * 3 and len(tries) == 1
    assert notes == ["text features are zeros: BERT does not fit the memory bound of 1 byte (raise --memory-mb)"]


def test_any_other_failure_is_no_note(monkeypatch):
    def broken(bundle, loader, tokens):
        raise EngineError("damaged", code="engine/bundle")

    monkeypatch.setattr(reading, "read_characters", broken)
    with pytest.raises(EngineError):
        list(reading.read_sentences(_Bundle(), None, WRITTEN, []))


def test_a_bundle_without_bert_says_so_for_chinese_only(tmp_path):
    bundle = replace(toy_bundle(tmp_path), vocabulary=None)
    notes: list[str] = []
    list(reading.read_sentences(bundle, None, [WRITTEN[1]], notes))
    assert notes == []
    list(reading.read_sentences(bundle, None, WRITTEN, notes))
    assert notes == ["text features are zeros: the bundle has no BERT (convert with --bert)"]
