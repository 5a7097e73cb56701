"""A stack's page and its lines on the terminal say what its kind of model is judged by, and nothing it is not."""

import re
from pathlib import Path

import pytest

from tests.toolkit.report.synthetic_stack import stack
from toolkit.pipeline.stack_verdict import stack_verdict
from toolkit.report.stack_page import render_stack
from toolkit.results.stack import load_stack, save_stack


def _text(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.split("<main", 1)[1])).replace("&#39;", "'")


def test_a_voice_is_told_by_opinion_and_speaker():
    said = _text(render_stack(stack()))
    assert "DistillMOS" in said and "Speaker cosine" in said and "A sentence's time" in said
    assert "0.976" in said and "−0.0620" in said and "worst −0.420" in said
    assert "against en_US-somebody-medium in float (torch)" in said
    assert "Cross-entropy" not in said and "token" not in said


def test_codes_are_told_by_cross_entropy():
    said = _text(render_stack(stack("t2s")))
    assert "Cross-entropy" in said and "A token's time" in said and "+0.0400" in said
    assert "DistillMOS" not in said and "Listen" not in said


def test_every_stage_can_be_heard():
    page = render_stack(stack())
    paths = [f'src="audio/evaluation-000-{name}.flac"' for name in ("given", "distil", "quantise")]
    assert all(path in page for path in paths)
    other = stack().model_copy(update={"clips": ()})
    assert "<audio" not in render_stack(other)


def test_random_weights_have_no_quality_and_are_not_listened_to():
    page = render_stack(stack(trained=False))
    said = _text(page)
    assert "RANDOM weights" in page and "quality there is none" in said
    assert "<audio" not in page and "0.976" not in said


def test_a_stop_is_said(capsys):
    result = stack(stopped=True)
    assert "Stopped after stage distil: its gate does not hold" in render_stack(result)
    said = stack_verdict(result, Path("out"))
    assert said.splitlines()[1].startswith("FAIL") and "stopped: the gate of stage distil" in said
    assert not result.passed and stack().passed


@pytest.mark.parametrize("family", ["t2s", "voice"])
def test_the_terminal_says_what_the_page_says(family):
    said = stack_verdict(stack(family), Path("out"))
    assert said.splitlines()[1].startswith("PASS")
    quantised = next(line for line in said.splitlines() if line.strip().startswith("quantised"))
    assert "10.00x" in quantised and ("1.940" in quantised if family == "t2s" else "-0.062" in quantised)
    assert ("cosine" in said) == (family == "voice")
    unknown = stack(family, trained=False)
    assert "–" in stack_verdict(unknown, Path("out")) or family == "t2s"


def test_a_stack_is_read_as_it_was_written(tmp_path):
    save_stack(stack(), tmp_path / "stack.json")
    assert load_stack(tmp_path / "stack.json") == stack()
