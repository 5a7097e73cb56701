"""A float bundle the command line made says what torch says: the same codes, and the same samples to 60 dB.

And what its run lets the reader hear: held-out sentences by torch and by the bundle, judged where it counts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from converters.parity import compare
from converters.tflite_graph.flatbuffer import dump, load
from tests.end_to_end.test_gpt_sovits import files  # noqa: F401 (a fixture)
from toolkit.cli.app import outcome
from toolkit.engine import acoustics
from toolkit.engine.bundle import read_bundle
from toolkit.engine.degrade import Ladder, Patience
from toolkit.engine.loading import GraphLoader
from toolkit.engine.residency import Residency
from toolkit.engine.singing import rungs_of
from toolkit.engine.speaking import Engine, Sentence
from toolkit.engine.tempo import resampled
from toolkit.pipeline.torch_speech import SpokenSentence, TorchSpeech, torch_speech
from toolkit.results import load as load_results
from toolkit.voices.feature_file import read_features

PHONES = np.array([5, 9, 14, 33, 78, 2, 41, 17], np.int32)
PARTS = ("t2s_prefill", "t2s_step", "text_encoder", "flow", "vocoder_stream")
FLOAT = """schema: 1
name: gpt-sovits-float32
gpt_sovits:
  {prefill: [[32, 24], [64, 24]], cache_rows: [64, 128], text: [[48, 48]], flow: [48], vocoder_stream: [40]}
bench: {threads: [1], runs: 2, warmup: 0, min_seconds: 0.0}
quality: {utterances: 2}
parts:
""" + "".join(f"  {part}: {{precision: {{default: float32}}}}\n" for part in PARTS)


@pytest.fixture(scope="module")
def speech(files: Path) -> TorchSpeech:  # noqa: F811
    return torch_speech([files / "tiny.ckpt", files / "tiny.pth"], read_features(files / "anna.npz")[0])


def _convert(files: Path, out: Path, voice: str) -> int:  # noqa: F811
    recipe = files / "float.yaml"
    recipe.write_text(FLOAT, encoding="utf-8")
    models = [str(files / "tiny.pth"), str(files / "tiny.ckpt")]
    return outcome(["convert", *models, "--recipe", str(recipe), "--voice", voice, "--quiet", "--out", str(out)])


@pytest.fixture(scope="module")
def filed(files: Path) -> Path:  # noqa: F811
    """A run whose voice comes from its features file."""
    assert _convert(files, files / "filed", str(files / "anna.npz")) == 0
    return files / "filed"


@pytest.fixture(scope="module")
def stored(files: Path) -> Path:  # noqa: F811
    """The same, its voice from a database; and of checkpoints that do not say that they are random, so it is judged."""
    added = ["voices", "add", "anna", "--features", str(files / "anna.npz"), "--consent", "by herself"]
    assert outcome([*added, "--database", str(files / "voices.sqlite3")]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toolkit.models.gpt_sovits.seeded.LABEL", "what random checkpoints do not say")
        assert _convert(files, files / "stored", f"{files / 'voices.sqlite3'}:anna") == 0
    return files / "stored"


@pytest.fixture(scope="module")
def floats(filed: Path) -> Path:
    return filed / "bundle"


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
    data = json.loads(facts.read_text(encoding="utf-8"))
    content = file.read_bytes()
    data["files"][file.name].update(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))
    facts.write_text(json.dumps(data), encoding="utf-8")


def test_a_voice_of_the_database_is_folded_as_its_features_file_is(
    stored: Path,
    filed: Path,
    files: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = (json.loads((run / "manifest.json").read_text(encoding="utf-8")) for run in (stored, filed))
    assert first["outputs"] == second["outputs"]
    assert "voices.sqlite3:anna" in first["inputs"]
    capsys.readouterr()
    database = files / "voices.sqlite3"
    for wrong, code in ((f"{database}:ben", "voices/unknown"), (f"{tmp_path / 'no.sqlite3'}:anna", "voices/"),
                        ("nothing", "voices/bad-features"), (f"{database}:../x", "voices/bad-id")):  # fmt: skip
        assert _convert(files, tmp_path / "out", wrong) == 2, wrong
        assert f"error[{code}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_float_bundle_sounds_as_torch_does_and_is_judged_so(stored: Path) -> None:
    result = load_results(stored / "results.json")
    assert len(result.clips) == 2
    for clip in result.clips:
        reference, candidate = (
            soundfile.read(stored / path, dtype="float32")[0] for path in (clip.reference_path, clip.candidate_path)
        )
        assert len(reference) / 32000 == pytest.approx(clip.seconds) and np.abs(reference).max() > 0.01
        # Two renditions rounded to 16 bits; the twin, another sentence, is far off.
        assert compare({"a": reference}, {"a": candidate}).worst_snr_db > 40
        assert compare({"a": reference}, {"a": np.roll(candidate, 640)}).worst_snr_db < 20
    assert result.quality is not None
    snr = next(metric for metric in result.quality.metrics if metric.metric == "snr_db")
    assert snr.mean > 60
    assert "audio/" in (stored / "index.html").read_text(encoding="utf-8")


def test_random_weights_are_heard_and_not_judged(filed: Path) -> None:
    heard = load_results(filed / "results.json")
    assert len(heard.clips) == 2 and heard.quality is None
    assert "random numbers" in heard.not_measured["quality"]
