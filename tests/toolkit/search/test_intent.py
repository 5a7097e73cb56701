"""What a user asks for, read from words."""

import pytest

from toolkit.errors import SearchError
from toolkit.search.intent import parse_size, parse_time, read_intent


@pytest.mark.parametrize(
    ("text", "size"), [("80MB", 80e6), ("80 mb", 80e6), ("512kB", 512e3), ("1MiB", 1 << 20), ("1.5GB", 1.5e9), (7, 7)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "ms"), [("1s", 1000), ("800ms", 800), ("0.8 s", 800), ("250us", 0.25)])
def test_times(text, ms):
    assert parse_time(text) == ms


@pytest.mark.parametrize("text", ["800", "", "fast", "-1s", "1h", True, None])
def test_a_time_without_a_unit_is_refused(text):
    with pytest.raises(ValueError, match="write it like"):
        parse_time(text)


def test_file_and_command_line_join(tmp_path):
    path = tmp_path / "intent.yaml"
    path.write_text(
        "device: snapdragon-7-gen-3\nmax_size: 80MB\nmax_latency: 1s\nquality: {speaker_cosine_min: 0.97}\n"
    )
    intent = read_intent(path, {"max_latency": "800ms"})
    assert (intent.max_size, intent.max_latency) == (80e6, 800)
    assert intent.limits == {
        "speaker_cosine_min": 0.97,
        "total_bytes_max": 80_000_000,
        "estimated_latency_ms_max": 800,
    }


def test_download_size_is_another_limit():
    intent = read_intent(None, {"device": "x", "max_size": "1MB", "size_of": "download"})
    assert intent.limits == {"compressed_bytes_max": 1_000_000}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"max_size": "80MB"}, "device"),
        ({"device": "x"}, "neither a size nor a latency"),
        ({"device": "x", "max_size": "80 potatoes"}, "write it like 80MB"),
        ({"device": "x", "max_size": "0MB"}, "greater than 0"),
        ({"device": "x", "max_size": "1MB", "colour": "red"}, "colour"),
        ({"device": "x", "max_size": "1MB", "quality": {"loudness_min": 1}}, "loudness_min"),
        ({"device": "x", "max_size": "1MB", "trials": 0}, "trials"),
    ],
)
def test_wrong_wishes_name_the_field(given, words):
    with pytest.raises(SearchError, match=words) as caught:
        read_intent(None, given)
    assert caught.value.code == "search/intent"


@pytest.mark.parametrize("content", ["- a list", "device: [unclosed", "\xff\xfe"])
def test_wrong_files_are_refused(tmp_path, content):
    path = tmp_path / "intent.yaml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(SearchError) as caught:
        read_intent(path, {})
    assert "intent.yaml" in caught.value.where


def test_without_optuna_a_search_ends_before_it_writes(tmp_path, monkeypatch, capfd):
    import sys

    from toolkit.cli.app import outcome

    monkeypatch.setitem(sys.modules, "optuna", None)
    arguments = ["convert", "--random-voice", "--device", "snapdragon-7-gen-3", "--max-size", "1MB"]
    assert outcome([*arguments, "--out", str(tmp_path / "out")]) == 2
    assert "error[environment/extra-missing]" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
