"""The engine from phones to samples, with slowness, failures and short memory injected; no test sleeps."""

import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.toolkit.engine.toy_model import (
    DEFAULT_GRAPHS,
    HOP,
    OVERLAP,
    RATE,
    SYMBOLS,
    ToyFile,
    ToyGraph,
    for_an_npu,
    toy_bundle,
    toy_opener,
    toy_voice,
)
from toolkit.engine.chunks import middle, plan_chunks, window
from toolkit.engine.degrade import Ladder, Patience, Rung
from toolkit.engine.loading import GraphLoader
from toolkit.engine.residency import Residency
from toolkit.engine.singing import rungs_of
from toolkit.engine.sound import write_wave
from toolkit.engine.speaking import Engine, Sentence, SpeechReport, most_codes
from toolkit.errors import EngineError

ROOT = Path(__file__).resolve().parents[3]
WHOLE = (*(name for name in DEFAULT_GRAPHS if "vocoder" not in name), "vocoder_128")
PAUSE = int(0.3 * RATE)
EASY = Patience(window=4, misses=2, recovery=3, recovery_most=12)


def _sentences(count: int = 3) -> list[Sentence]:
    generator = np.random.default_rng(1)
    return [Sentence(phones=generator.integers(0, SYMBOLS, 12).astype(np.int32)) for _ in range(count)]


def _engine(bundle, *, opener=toy_opener, rungs=None, patience=None, bound=1 << 34, **options) -> Engine:
    loader = GraphLoader(Residency(bound), opener=opener)
    return Engine(
        bundle,
        loader,
        Ladder(rungs or rungs_of(bundle), patience),
        memory_short=options.pop("short", lambda: False),
        **options,
    )


def _spoken(engine: Engine, **options) -> tuple[list, np.ndarray]:
    pieces = list(engine.speak(toy_voice(), _sentences(), **options))
    return pieces, np.concatenate([piece.samples for piece in pieces])


def _assert_contiguous(pieces) -> None:
    """Sentences in order, pieces of each 0, 1, 2 … without gap or repeat, the pause last."""
    expected_sentence, expected_index = 0, 0
    for piece in pieces:
        assert (piece.sentence, piece.index) == (expected_sentence, expected_index)
        expected_index += 1
        if piece.rung == "pause":
            expected_sentence, expected_index = expected_sentence + 1, 0
    assert expected_index == 0


@pytest.mark.parametrize("frames", [1, 5, 6, 7, 22, 23, 61, 128])
def test_chunks_of_the_vocoder_equal_the_whole_run(frames, tmp_path):
    bundle = toy_bundle(tmp_path, (*WHOLE, "vocoder_stream_14"))
    latent = np.random.default_rng(frames).standard_normal((1, 6, frames)).astype(np.float32)
    whole, mask = window(latent, plan_chunks(frames, 128, 0)[0], 128)
    expected = ToyGraph(bundle.graphs["vocoder_128"]).run({"z": whole, "mask": mask})["audio"][0, 0, : frames * HOP]
    part = ToyGraph(bundle.graphs["vocoder_stream_14"])
    found = []
    for chunk in plan_chunks(frames, 14, OVERLAP):
        fed, mask = window(latent, chunk, 14)
        found.append(middle(part.run({"z": fed, "mask": mask})["audio"], chunk, HOP))
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-6)


def test_streamed_speech_equals_speech_in_one_run(tmp_path):
    pieces, streamed = _spoken(_engine(toy_bundle(tmp_path / "streamed")), seed=3)
    _, whole = _spoken(_engine(toy_bundle(tmp_path / "whole", WHOLE)), seed=3)
    np.testing.assert_allclose(streamed, whole, atol=1e-6)
    _assert_contiguous(pieces)
    assert len({len(piece.samples) for piece in pieces}) > 2  # a short first chunk, long ones, a rest


def test_same_seed_is_the_same_speech_and_another_is_not(tmp_path):
    bundle = toy_bundle(tmp_path)
    first, again, other = (_spoken(_engine(bundle), seed=seed)[1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert len(first) != len(other) or not np.array_equal(first, other)


def test_a_sentence_does_not_depend_on_what_was_said_before(tmp_path):
    engine = _engine(toy_bundle(tmp_path))
    sentences = _sentences()
    swapped = [sentences[1], sentences[1], sentences[2]]
    last = [
        np.concatenate([p.samples for p in engine.speak(toy_voice(), said) if p.sentence == 2])
        for said in (sentences, swapped)
    ]
    np.testing.assert_array_equal(*last)


def test_each_sentence_ends_with_three_tenths_of_silence(tmp_path):
    report = SpeechReport()
    pieces, samples = _spoken(_engine(toy_bundle(tmp_path)), report=report)
    pauses = [piece for piece in pieces if piece.rung == "pause"]
    assert [len(piece.samples) for piece in pauses] == [PAUSE] * 3
    assert not any(piece.samples.any() for piece in pauses)
    assert report.audio_seconds == pytest.approx(len(samples) / RATE)
    assert 0 < report.first_audio_seconds < report.elapsed_seconds
    assert len(samples) == 2 * HOP * report.codes + 3 * PAUSE


class _Clock:
    """Time that passes only where the test says."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _slow_opener(clock: _Clock, seconds_per_second: dict[str, float]):
    """Vocoders that take so long for each second of audio they make, by kind."""

    class Slow(ToyGraph):
        def run(self, feeds):
            found = super().run(feeds)
            inside = float(feeds["mask"].sum()) if "mask" in feeds else 0.0
            clock.now += seconds_per_second.get(self.fact.kind, 0.0) * inside * HOP / RATE
            return found

    class File(ToyFile):
        def graph(self, fact):
            return Slow(fact)

    return lambda path, delegate, in_place: File()


def test_slow_vocoder_is_left_for_the_lighter_one_without_losing_audio(tmp_path):
    bundle, clock = toy_bundle(tmp_path), _Clock()
    engine = _engine(bundle, opener=_slow_opener(clock, {"vocoder_stream": 2.0}), patience=EASY, clock=clock)
    report = SpeechReport()
    pieces, samples = _spoken(engine, seed=3, report=report)
    _assert_contiguous(pieces)
    _, expected = _spoken(_engine(bundle), seed=3)
    assert len(samples) == len(expected)
    rungs = {piece.rung for piece in pieces}
    assert {"cpu", "cpu, light vocoder"} <= rungs
    assert any("cpu -> cpu, light vocoder: 2 of the last 2 chunks were slower" in note for note in report.notes)
    # The toy's light vocoder is half as loud and otherwise the same: every sample is there, once, in its place.
    at = 0
    for piece in pieces:
        gain = 0.5 if piece.rung == "cpu, light vocoder" else 1.0
        np.testing.assert_allclose(piece.samples, gain * expected[at : at + len(piece.samples)], atol=1e-6)
        at += len(piece.samples)


def test_it_climbs_back_when_the_machine_is_free_again(tmp_path):
    bundle, clock = toy_bundle(tmp_path), _Clock()
    load = {"vocoder_stream": 2.0, "vocoder_light_stream": 0.1}
    engine = _engine(bundle, opener=_slow_opener(clock, load), patience=EASY, clock=clock)
    _spoken(engine, seed=3)
    load["vocoder_stream"] = 0.1
    pieces, _ = _spoken(engine, seed=3)
    assert engine.ladder.rung.name == "cpu"
    assert engine.ladder.moves[-1].cause == "headroom"
    _assert_contiguous(pieces)


def _failing_opener(failures: dict[str, int]):
    """Graphs that fail on a delegate so many runs from now, counted down in ``failures`` by kind."""

    class Failing(ToyGraph):
        def run(self, feeds):
            if self.fact.kind in failures:
                failures[self.fact.kind] -= 1
                if failures[self.fact.kind] < 0:
                    raise EngineError("the driver went away", code="engine/graph", where=self.fact.name)
            return super().run(feeds)

    class File(ToyFile):
        def __init__(self, delegate: str) -> None:
            self.delegate = delegate

        def graph(self, fact):
            return Failing(fact) if self.delegate else ToyGraph(fact)

    return lambda path, delegate, in_place: File(delegate)


@pytest.mark.parametrize("runs", range(6))
@pytest.mark.parametrize("kind", ["flow", "text_encoder", "vocoder_stream"])
def test_delegate_failing_in_the_middle_changes_no_sample(tmp_path, kind, runs):
    bundle = toy_bundle(tmp_path)
    rungs = rungs_of(bundle, "libgpu.so")
    engine = _engine(bundle, opener=_failing_opener({kind: runs}), rungs=rungs)
    pieces, samples = _spoken(engine, seed=3)
    np.testing.assert_array_equal(samples, _spoken(_engine(bundle), seed=3)[1])
    _assert_contiguous(pieces)
    if engine.ladder.moves:
        assert engine.ladder.moves[0].reason == "the driver went away"


@pytest.mark.parametrize("slow", [True, False])
def test_a_vocoder_made_for_an_npu_is_not_what_the_engine_falls_to(tmp_path, slow):
    read = for_an_npu(toy_bundle(tmp_path), slow)
    below = ["cpu, light vocoder"] if slow else ["cpu", "cpu, light vocoder"]
    assert [rung.name for rung in rungs_of(read, "libnpu.so")] == ["delegate", *below]
    assert [rung.name for rung in rungs_of(read)] == ["cpu", "cpu, light vocoder"]  # nothing better to begin with


def test_delegate_that_cannot_load_is_left_for_good(tmp_path):
    bundle = toy_bundle(tmp_path)
    engine = _engine(bundle, rungs=rungs_of(bundle, "libnone.so"))
    report = SpeechReport()
    pieces, samples = _spoken(engine, seed=3, report=report)
    np.testing.assert_array_equal(samples, _spoken(_engine(bundle), seed=3)[1])
    assert {piece.rung for piece in pieces} == {"cpu", "pause"}
    assert any("libnone.so" in note for note in report.notes)


def test_short_memory_takes_the_lighter_vocoder(tmp_path):
    answers = iter([False, True])
    engine = _engine(toy_bundle(tmp_path), short=lambda: next(answers, False))
    pieces, _ = _spoken(engine)
    assert [piece.rung for piece in pieces][:3] == ["cpu", "cpu", "cpu, light vocoder"]
    assert engine.ladder.moves[0].cause == "memory"


def test_failure_on_the_last_rung_is_the_error_itself(tmp_path):
    bundle = toy_bundle(tmp_path)
    engine = _engine(bundle, opener=_failing_opener({"flow": 0}), rungs=(Rung(name="gpu", delegate="x"),))
    with pytest.raises(EngineError) as caught:
        _spoken(engine)
    assert caught.value.code == "engine/graph"


@pytest.mark.parametrize(
    ("changes", "voice", "code"),
    [
        ({"model_sha256": "a" * 64}, {"model_sha256": "b" * 64}, "engine/voice-mismatch"),
        ({"style_sha256": "a" * 64}, {}, "engine/voice-mismatch"),
        ({}, {"arrays": {"ge": np.zeros((1, 5, 1), np.float32)}}, "engine/voice-mismatch"),
        ({"symbols": 3}, {}, "engine/bad-ids"),
    ],
)
def test_voice_of_another_model_is_refused(tmp_path, changes, voice, code):
    found = toy_voice()
    if "arrays" in voice:
        voice = {"arrays": {**found.arrays, **voice["arrays"]}}
    engine = _engine(toy_bundle(tmp_path, **changes))
    with pytest.raises(EngineError) as caught:
        list(engine.speak(dataclasses.replace(found, **voice), _sentences()))
    assert caught.value.code == code


def test_sentence_that_is_too_long_is_one_error(tmp_path):
    engine = _engine(toy_bundle(tmp_path))
    with pytest.raises(EngineError) as caught:
        list(engine.speak(toy_voice(), [Sentence(phones=np.ones(25, np.int32), text="too long")]))
    assert caught.value.code == "engine/too-long"
    assert caught.value.where == "too long"


def test_room_behind_the_prompt_is_known_before_anything_is_said(tmp_path):
    bundle, voice = toy_bundle(tmp_path), toy_voice()
    most_phones = max(graph.tensors["phones"].shape[1] for graph in bundle.of_kind("text_encoder"))
    assert most_codes(bundle, voice, most_phones, "long") > 0
    room = max(graph.tensors["phones"].shape[1] for graph in bundle.of_kind("t2s_prefill"))
    prompt = np.ones(room - most_phones + 1, np.int32)
    crowded = dataclasses.replace(voice, arrays={**voice.arrays, "prompt_phones": prompt})
    with pytest.raises(EngineError) as caught:
        most_codes(bundle, crowded, most_phones, "long")
    assert caught.value.code == "engine/too-long" and f"behind the {len(prompt)} of" in caught.value.message


def test_a_missed_deadline_with_nothing_lighter_is_told_once_a_speech(tmp_path):
    ticks = itertools.count()
    patience = Patience(deadline_factor=1e-3, headroom_factor=1e-4)
    engine = _engine(toy_bundle(tmp_path, WHOLE), rungs=(Rung(name="cpu"),), patience=patience,
                     clock=lambda: float(next(ticks)))  # fmt: skip
    for _ in range(2):
        report = SpeechReport()
        _spoken(engine, report=report)
        assert [note for note in report.notes if "nothing lighter" in note] == [engine.ladder.unmet]
    engine.ladder.patience = Patience()  # what was missed in an earlier speech is not told again
    report = SpeechReport()
    list(engine.speak(toy_voice(), _sentences(1), report=report))
    assert not [note for note in report.notes if "nothing lighter" in note]


def test_what_does_not_fit_the_memory_is_told_by_its_file(tmp_path):
    grown = itertools.count(step=1000)
    loader = GraphLoader(Residency(500, measure=lambda: next(grown)), opener=toy_opener)
    engine = Engine(toy_bundle(tmp_path), loader, Ladder((Rung(name="cpu"),)), memory_short=lambda: False)
    with pytest.raises(EngineError) as caught:
        list(engine.speak(toy_voice(), _sentences()))
    assert caught.value.code == "engine/memory-bound" and caught.value.message.startswith("t2s")


def test_engine_and_voices_import_without_any_framework():
    code = (
        "import sys, pkgutil, importlib, toolkit.engine, toolkit.voices\n"
        "for package in (toolkit.engine, toolkit.voices):\n"
        "    for module in pkgutil.iter_modules(package.__path__):\n"
        "        importlib.import_module(f'{package.__name__}.{module.name}')\n"
        "heavy = ('torch', 'tensorflow', 'tf_keras', 'onnx', 'onnxruntime', 'onnx2tf', 'librosa', 'pydantic', 'yaml')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_in_the_way_of_the_sound_is_found_before_anything_is_said(tmp_path):
    def pieces():
        raise AssertionError("it spoke")
        yield

    (tmp_path / "taken.wav").mkdir()
    with pytest.raises(IsADirectoryError):
        write_wave(tmp_path / "taken.wav", pieces(), 32000)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.wav"]
