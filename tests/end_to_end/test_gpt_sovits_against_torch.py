"""A bundle the command line made says what torch says: the same codes, and the same samples to 60 dB."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from converters.parity import compare
from converters.tflite_graph.flatbuffer import dump, load
from tests.end_to_end.test_gpt_sovits import LENGTHS, _convert, files  # noqa: F401 (a fixture)
from toolkit.engine import acoustics
from toolkit.engine.bundle import read_bundle
from toolkit.engine.degrade import Ladder, Patience
from toolkit.engine.loading import GraphLoader
from toolkit.engine.residency import Residency
from toolkit.engine.singing import rungs_of
from toolkit.engine.speaking import Engine, Sentence
from toolkit.engine.tempo import resampled
from toolkit.pipeline.torch_speech import SpokenSentence, TorchSpeech, torch_speech
from toolkit.voices.feature_file import read_features

PHONES = np.array([5, 9, 14, 33, 78, 2, 41, 17], np.int32)
PARTS = ("t2s_prefill", "t2s_step", "text_encoder", "flow", "vocoder_stream")
FLOAT = """schema: 1
name: gpt-sovits-float32
gpt_sovits: {prefill: [[32, 24]], cache_rows: [64, 96], text: [[48, 24]], flow: [48], vocoder_stream: [40]}
parts:
""" + "".join(f"  {part}: {{precision: {{default: float32}}}}\n" for part in PARTS)


@pytest.fixture(scope="module")
def speech(files: Path) -> TorchSpeech:  # noqa: F811
    return torch_speech([files / "tiny.ckpt", files / "tiny.pth"], read_features(files / "anna.npz")[0])


@pytest.fixture(scope="module")
def floats(files: Path) -> Path:  # noqa: F811
    (files / "float.yaml").write_text(FLOAT, encoding="utf-8")
    out = files / "float-run"
    assert (
        _convert(files, out, "--quiet", "--recipe", str(files / "float.yaml"), "--voice", str(files / "anna.npz")) == 0
    )
    return out / "bundle"


def _spoken(folder: Path, speech: TorchSpeech, seed: int, speed: float = 1.0) -> SpokenSentence:
    """What the bundle says, the pause behind it cut off."""
    bundle, codes = read_bundle(folder), []
    engine = Engine(bundle, GraphLoader(Residency(1 << 34)), Ladder(rungs_of(bundle), Patience()))
    draw = engine._codes

    def noted(*arguments: object) -> object:
        codes.append(draw(*arguments))
        return codes[-1]

    engine._codes = noted  # type: ignore[method-assign]
    said = engine.speak(speech.voice, [Sentence(phones=PHONES, text="")], seed=seed, speed=speed)
    pieces = [piece for piece in said if piece.rung != "pause"]
    return SpokenSentence(codes=codes[0].codes, samples=np.concatenate([piece.samples for piece in pieces]))


def _agreement_db(expected: SpokenSentence, found: SpokenSentence) -> float:
    return compare({"audio": expected.samples}, {"audio": found.samples}).worst_snr_db


@pytest.mark.parametrize("seed", [0, 3])
def test_float_bundle_says_the_same_to_60_db(floats: Path, speech: TorchSpeech, seed: int) -> None:
    expected = speech.speak(PHONES, seed=seed, codes_max=48)
    found = _spoken(floats, speech, seed)
    assert len(expected.codes) > 10
    np.testing.assert_array_equal(found.codes, expected.codes)
    assert _agreement_db(expected, found) >= 60


@pytest.mark.parametrize("speed", [1.25, 1.6])
def test_float_bundle_speaks_as_fast_as_torch_to_60_db(
    floats: Path, speech: TorchSpeech, speed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = speech.speak(PHONES, codes_max=48, speed=speed)
    found = _spoken(floats, speech, 0, speed)
    np.testing.assert_array_equal(found.codes, expected.codes)
    assert len(found.samples) == 640 * (int(2 * len(found.codes) / speed) + 1)
    assert _agreement_db(expected, found) >= 60
    # The twin: speech that is resampled backwards is not the same.
    monkeypatch.setattr(acoustics, "resampled", lambda signal, length: resampled(signal, length)[:, :, ::-1])
    assert _agreement_db(expected, _spoken(floats, speech, 0, speed)) < 60


def test_one_changed_weight_is_heard(floats: Path, speech: TorchSpeech, tmp_path: Path) -> None:
    broken = tmp_path / "bundle"
    shutil.copytree(floats, broken)
    file = broken / "flow.tflite"
    model = load(file.read_bytes())
    largest = max((b for b in model.buffers if b.data is not None), key=lambda b: len(b.data))
    weights = np.array(largest.data, np.uint8).view("<f4").copy()
    weights[len(weights) // 2] += 1.0
    largest.data = weights.view(np.uint8)
    content = dump(model)
    file.write_bytes(content)
    _redigest(broken / "engine.json", file)
    assert _agreement_db(speech.speak(PHONES, codes_max=48), _spoken(broken, speech, 0)) < 60


def _redigest(facts: Path, file: Path) -> None:
    import hashlib
    import json

    data = json.loads(facts.read_text(encoding="utf-8"))
    content = file.read_bytes()
    data["files"][file.name].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    facts.write_text(json.dumps(data), encoding="utf-8")


def test_lengths_of_the_recipe_are_those_of_the_other_tests() -> None:
    assert all(length.split("=")[1].replace(" ", "") in FLOAT.replace(" ", "") for length in LENGTHS)
