"""Words are counted without case and punctuation, and speech that is broken is not understood."""

import numpy as np
import pytest

from toolkit.data import load_manifest
from toolkit.data.audio import read_wave
from toolkit.quality.words import heard_words, plain_words, word_error_ratio


def test_only_words_count():
    assert plain_words("It’s 3 o'clock — really?") == "it's 3 o'clock really"


def test_ratios():
    pytest.importorskip("jiwer")
    assert word_error_ratio("A small voice.", "a small voice") == 0.0
    assert word_error_ratio("one two three four", "one three five four") == 0.5
    assert word_error_ratio("...", "") == 0.0 and word_error_ratio("...", "noise") == 1.0


def test_a_clip_is_understood_and_backwards_it_is_not():
    pytest.importorskip("faster_whisper")
    manifest = load_manifest()
    clip = manifest.clips[0]
    wave, rate_hz = read_wave(manifest.clip_path(clip))
    assert word_error_ratio(clip.text, heard_words(wave, rate_hz)) < 0.2
    assert word_error_ratio(clip.text, heard_words(np.ascontiguousarray(wave[::-1]), rate_hz)) > 0.5
