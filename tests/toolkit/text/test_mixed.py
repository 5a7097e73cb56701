"""Which runs of a sentence are English."""

import pytest

from toolkit.text.mixed import runs_of

RUNS = [
    ("zh", "你好。", [("zh", "你好。")]),
    ("zh", "我用iPhone打电话，3kg的GPT。", [("zh", "我用"), ("en", "iPhone"), ("zh", "打电话，3kg的"), ("en", "GPT.")]),
    ("zh", "还有iPhone 15 Pro Max，MP3和GPT-4。",
     [("zh", "还有"), ("en", "iPhone 15 Pro Max,MP3"), ("zh", "和"), ("en", "GPT-4.")]),
    ("zh", "他说Hello, how are you?然后走了。",
     [("zh", "他说"), ("en", "Hello, how are you"), ("zh", "?然后走了。")]),
    ("zh", "Hello there.", [("en", "Hello there.")]),
    ("zh", "It's 3 o'clock。", [("en", "It's 3 o'clock.")]),
    ("zh", "10km，20℃，3.5%。", [("zh", "10km，20℃，3.5%。")]),
    ("zh", "速度是100km/h，对吗", [("zh", "速度是100km/h，对吗")]),
    ("zh", "5G网络", [("zh", "5"), ("en", "G"), ("zh", "网络")]),
    ("zh", "我买了3 apples。", [("zh", "我买了3 "), ("en", "apples.")]),
    ("zh", "ＡＢＣ，很好", [("en", "ABC"), ("zh", "，很好")]),
    ("zh", ".Hi，你", [("en", ".Hi"), ("zh", "，你")]),
    ("zh", "……", [("zh", "……")]),
    ("ja", "今日はHelloですПривет。", [("ja", "今日は"), ("en", "Hello"), ("ja", "ですПривет。")]),
    ("en", "Say 你好.", [("en", "Say 你好.")]),
]  # fmt: skip


@pytest.mark.parametrize(("language", "text", "runs"), RUNS)
def test_latin_script_is_english_and_units_are_not(language, text, runs):
    assert runs_of(text, language) == runs


@pytest.mark.parametrize("text", [text for language, text, _ in RUNS if language != "en"])
def test_no_letter_is_lost(text):
    letters = "".join(character for _, run in runs_of(text, "zh") for character in run if character.isalnum())
    assert letters == "".join(c for c in text.replace("ＡＢＣ", "ABC") if c.isalnum())
