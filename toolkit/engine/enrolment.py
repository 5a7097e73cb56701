"""From a reference recording to what the engine needs of a voice: the steps around the networks, in numpy.

sound at 16 kHz + 0.6 s of zeros -> HuBERT -> code extractor -> prompt codes
sound at 32 kHz -> magnitudes -> reference encoder (v2Pro: with the speaker embedding of sound at 16 kHz) -> style
the text said -> phones; Chinese: characters -> BERT -> text features

Source: ``inference_webui.py`` of upstream (``get_tts_wav``, ``get_spepc``), its order and its constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from toolkit.engine.fbank import log_mel_energies
from toolkit.engine.spectrogram import reference_spectrogram
from toolkit.errors import EngineError
from toolkit.text.front_end import Phones, aligned_phones_of, refuse_unread
from toolkit.text.sentences import ENDS
from toolkit.text.vocabulary import Vocabulary, features_of_phones

SSL_RATE_HZ, STYLE_RATE_HZ = 16000, 32000
# Upstream counts 0.3 s at 32 kHz and appends them to sound at 16 kHz: 0.6 s. Codes of speech alone would be others.
PADDING_SAMPLES = 9600
_LOUDEST_DIVISOR = np.float32(2.0)


class Networks(Protocol):
    """What listens and reads: modules in torch, or the graphs of a bundle.

    Attributes:
        model_sha256: digest of the SoVITS checkpoint.
        symbols: phone ids the model knows.
        style_bins: bins of the reference spectrogram.
        with_speaker: whether the style wants a speaker embedding (v2Pro).
        vocabulary: of BERT; none where there is no BERT.
    """

    model_sha256: str
    symbols: int
    style_bins: int
    with_speaker: bool
    vocabulary: Vocabulary | None

    def ssl(self, sound: np.ndarray) -> np.ndarray:
        """``[1, samples]`` at 16 kHz to ``[1, width, frames]``."""

    def nearness(self, features: np.ndarray) -> np.ndarray:
        """``[1, width, frames]`` to ``[1, frames // 2, codes]``; the largest is the code."""

    def style(self, spectrogram: np.ndarray, speaker: np.ndarray | None) -> Mapping[str, np.ndarray]:
        """``[1, bins, frames]`` to ``ge`` (v2Pro: with ``[1, n]``, also ``ge_text``)."""

    def speaker(self, energies: np.ndarray) -> np.ndarray:
        """``[1, frames, 80]`` to ``[1, n]`` (v2Pro)."""

    def text(self, tokens: np.ndarray) -> np.ndarray:
        """``[1, tokens]`` to ``[width, tokens]``."""


def prompt_codes(networks: Networks, sound: np.ndarray) -> np.ndarray:
    """Semantic codes of a recording.

    Args:
        networks: HuBERT and the code extractor.
        sound: ``[samples]`` at 16 kHz.

    Returns:
        ``[n] int32``, 25 a second, those of the zeros behind the sound included.
    """
    padded = np.concatenate([sound.astype(np.float32), np.zeros(PADDING_SAMPLES, np.float32)])
    return networks.nearness(networks.ssl(padded[None]))[0].argmax(axis=1).astype(np.int32)


def style_of(networks: Networks, sound: np.ndarray, low_sound: np.ndarray) -> dict[str, np.ndarray]:
    """Style of a recording.

    Args:
        networks: reference encoder, and what makes speaker embeddings (v2Pro).
        sound: ``[samples]`` at 32 kHz.
        low_sound: the same at 16 kHz.
    """
    loudest = np.abs(sound).max(initial=0.0)
    divisor = min(_LOUDEST_DIVISOR, loudest) if loudest > 1 else np.float32(1)
    speaker = None
    if networks.with_speaker:
        speaker = networks.speaker(log_mel_energies(low_sound / divisor)[None])
    return dict(networks.style(reference_spectrogram(sound / divisor, networks.style_bins), speaker))


def prompt_phones(text: str, language: str, symbols: int) -> Phones:
    """Phones of what is said in the recording, with the mark at its end that upstream adds.

    Raises:
        EngineError: no words, no front end for the language, or words it has no phones for: the prompt would say less
            than the recording.
        ExtraMissing: its packages are not installed.
    """
    said = text.strip().strip("\n")
    if not any(character.isalnum() for character in said):
        raise EngineError(
            "the text of the recording has no words", code="engine/nothing-to-say", where="--text",
            hint="write down what is said in it",
        )  # fmt: skip
    if said[-1] not in ENDS:
        said += "." if language == "en" else "。"
    phones = aligned_phones_of(said, language, symbols)
    refuse_unread(phones, said, language, "--text")
    if phones.unread:
        raise EngineError(
            f"no phones of {language!r} stand for {' '.join(phones.unread)[:60]!r}",
            code="text/unread",
            where="--text",
            hint="write down everything that is said in the recording in that language's letters",
        )
    return phones


def phone_features(networks: Networks, phones: Phones) -> np.ndarray | None:
    """Text features of each phone, ``[width, phones]``; none without BERT, or where the language has none."""
    vocabulary = networks.vocabulary
    if vocabulary is None or not phones.characters:
        return None
    return features_of_phones(phones, lambda text: networks.text(vocabulary.tokens(text)))
