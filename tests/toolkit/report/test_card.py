"""The model card says what the result knows, that it does not know the rest, and nothing of its own."""

import re

import pytest

from tests.toolkit.report.synthetic_run import synthetic
from tests.toolkit.report.test_overlays_and_trace import empty
from toolkit.report.card import card
from toolkit.results import Origin, judge

HEADINGS = [
    "Intended use",
    "Training data and licence",
    "Precision",
    "Delegates",
    "Quality",
    "Speed and size",
    "Limits",
    "Files and checksums",
    "How it was made",
]
CARD = card(synthetic())


@pytest.mark.parametrize("text", [CARD, card(synthetic(failing=True)), card(empty())])
def test_card_has_every_section_once_and_whole_tables(text):
    assert re.findall(r"^## (.*)$", text, re.M) == HEADINGS
    assert text.startswith("---\nlibrary_name: litert\n")
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table
    for word in ("None,", "nan", "inf "):
        assert word not in text


def test_every_shipped_file_has_its_digest():
    for file in synthetic().artifacts:
        assert f"| `{file.path}` | {file.size_bytes} | `{file.sha256}` |" in CARD


def test_licence_is_quoted_or_said_to_be_unknown():
    assert "**Not stated.**" in CARD
    origin = Origin(statement="## Dataset\n\n* License: CC0", said_by="MODEL_CARD beside voice.onnx")
    stated = card(synthetic().model_copy(update={"origin": origin}))
    assert "Not stated" not in stated
    assert "MODEL_CARD beside voice.onnx, quoted; not checked" in stated
    assert "> ## Dataset\n>\n> * License: CC0" in stated
    assert re.findall(r"^## (.*)$", stated, re.M) == HEADINGS  # a quoted heading is no heading of the card


def test_numbers_are_the_results():
    result = synthetic()
    for placement in result.delegation:
        assert f"{placement.delegated_ops} of {placement.total_ops}" in CARD
    assert "12" not in re.findall(r"(\d+) held-out", CARD) or len(result.quality.utterances) == 12
    assert f"{len(result.quality.utterances)} held-out sentences" in CARD
    assert "host CPU: Made-up Processor" in CARD


def test_a_failing_gate_and_invalid_measurements_are_limits():
    text = card(synthetic(failing=True))
    limits = text.partition("## Limits")[2].partition("##")[0]
    assert "is out of its limit" in limits and "Measurements are not valid" in limits
    assert "is out of its limit" not in CARD and "not valid" not in CARD


def test_nothing_known_is_said_and_never_a_good_result():
    text = card(empty())
    assert text.count("Not measured:") >= 5
    assert "dB or better" not in text and "bit for bit" not in text


def test_text_from_outside_stays_text():
    gate = judge("g", "A | gate", 3.0, "ms", 1.0, "<=", "x")
    text = card(empty().model_copy(update={"gates": (gate,), "warnings": ()}))
    assert "A | gate" in text
    evil = synthetic()
    run = evil.run.model_copy(update={"model": "x\n## Quality\n<script>"})
    text = card(evil.model_copy(update={"run": run}))
    assert re.findall(r"^## (.*)$", text, re.M) == HEADINGS
    assert "<script>" not in text
