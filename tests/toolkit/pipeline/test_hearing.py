"""The listening tests of a run share their reference: its sentences are judged once."""

from types import SimpleNamespace

import numpy as np

from toolkit.data import load_manifest
from toolkit.distil import voice_quality
from toolkit.distil.voice_quality import DurationErrors
from toolkit.pipeline import hearing, listening
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.reuse import Reuse
from toolkit.pipeline.run_directory import building
from toolkit.pipeline.shrink_voice import judged
from toolkit.quality import mos
from toolkit.recipe import load as recipes

RATE_HZ, SENTENCES = 16000, 2


class Voices:
    """Says noise, a take after another: what is kept by mistake for another take would be found."""

    def __init__(self):
        self.takes = []

    def speak(self, voice, runners, sentences, settings, on_progress, *, like=None):
        draw = np.random.default_rng(len(self.takes))
        waves = tuple(0.1 * draw.standard_normal(RATE_HZ // 4).astype(np.float32) for _ in sentences)
        self.takes.append(waves)
        return listening.Spoken(waves=waves, durations=tuple(np.ones(1) for _ in sentences))


def _quiet(monkeypatch):
    voices = Voices()
    monkeypatch.setattr(listening, "speak", voices.speak)
    monkeypatch.setattr(listening, "available", lambda module: False)  # pitch alone, which needs nothing installed
    monkeypatch.setattr(hearing, "shipped_runners", lambda shipped: {"decoder": {}})
    monkeypatch.setattr(hearing, "_with_decoder", lambda reference, voice: voice)
    return voices


def test_the_sentences_are_said_by_one_thread_whatever_the_machine_has(monkeypatch, tmp_path):
    import torch

    voices, threads = _quiet(monkeypatch), []
    speak = voices.speak
    monkeypatch.setattr(
        listening, "speak", lambda *given, **like: threads.append(torch.get_num_threads()) or speak(*given, **like)
    )
    voice = SimpleNamespace(sample_rate_hz=RATE_HZ, torch_runners=lambda buckets: {})
    source = SimpleNamespace(voice=voice, judged_against=voice, name="a voice", inputs={}, teacher=None)
    recipe = recipes.load("vits-voice", (f"quality.utterances={SENTENCES}",))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with building(tmp_path / "run") as directory:
            hearing.listen(source, (), recipe, load_manifest(), directory, StageClock(Silent()), Reuse())
        assert threads == [1, 1, 1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_run_judges_its_reference_once(monkeypatch, tmp_path):
    voices = _quiet(monkeypatch)
    voice = SimpleNamespace(sample_rate_hz=RATE_HZ, torch_runners=lambda buckets: {})
    source = SimpleNamespace(voice=voice, judged_against=voice, name="a voice", inputs={}, teacher=None)
    recipe, reuse = recipes.load("vits-voice", (f"quality.utterances={SENTENCES}",)), Reuse()
    with building(tmp_path / "run") as directory:
        heard = hearing.listen(source, (), recipe, load_manifest(), directory, StageClock(Silent()), reuse)
    assert len(voices.takes) == 3
    assert reuse.judgements.made == {"pitch": 3 * SENTENCES}
    assert reuse.judgements.found == {"pitch": SENTENCES}
    afresh = {
        name: listening.judge(
            listening.Spoken(waves=voices.takes[0], durations=()),
            listening.Spoken(waves=voices.takes[take], durations=()),
            load_manifest().split("evaluation")[:SENTENCES], RATE_HZ, found.candidate,
        )[0]
        for name, take, found in (("whole", 1, heard.whole), ("decoder", 2, heard.quality))
    }  # fmt: skip
    assert (heard.whole, heard.quality) == (afresh["whole"], afresh["decoder"])
    assert heard.whole.utterances[0].metrics != heard.quality.utterances[0].metrics


def test_a_search_judges_it_once_over_all_its_versions(monkeypatch, tmp_path):
    _quiet(monkeypatch)
    voice = SimpleNamespace(sample_rate_hz=RATE_HZ, torch_runners=lambda buckets: {})
    source = SimpleNamespace(voice=voice, judged_against=voice, name="a voice", inputs={}, teacher=None)
    recipe, reuse = recipes.load("vits-voice", (f"quality.utterances={SENTENCES}",)), Reuse()
    for name in ("one", "two"):
        with building(tmp_path / name) as directory:
            hearing.listen(source, (), recipe, load_manifest(), directory, StageClock(Silent()), reuse)
    assert reuse.judgements.made == {"pitch": 5 * SENTENCES}  # a reference, two candidates of each version


def test_a_students_teacher_is_judged_once(monkeypatch):
    _quiet(monkeypatch)
    asked = []
    monkeypatch.setattr(listening, "available", lambda module: module == "distillmos")
    monkeypatch.setattr(mos, "mean_opinion", lambda waves, rate_hz: [asked.append(w) or float(w[0]) for w in waves])
    none = DurationErrors(
        sentences=0, frames_per_phoneme=0, drawn_frames_per_phoneme=0,
        length_ratio=1, length_error_ratio=0, drawn_length_error_ratio=0,
    )  # fmt: skip
    monkeypatch.setattr(voice_quality, "duration_errors", lambda *given: none)
    voice = SimpleNamespace(
        sample_rate_hz=RATE_HZ, torch_runners=lambda buckets: {}, name="t", modules={"durations": None},
        phoneme_ids=lambda phonemes: np.zeros(1),
    )  # fmt: skip
    judged(voice, voice, SENTENCES, None)
    assert len(asked) == 3 * SENTENCES  # the teacher, and the student in the teacher's time and in its own
