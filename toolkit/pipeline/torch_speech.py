"""A sentence in torch, with the seeds and the token loop of the engine: what a bundle is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toolkit.engine.buckets import filled, presence
from toolkit.engine.sampling import Sampler, SamplingSettings
from toolkit.engine.tempo import frames_at
from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.models.gpt_sovits.semantic_loop import STEPS_MIN, generate
from toolkit.models.gpt_sovits.sovits import Sovits, sovits_model, with_voice
from toolkit.models.gpt_sovits.sovits_graphs import NOISE_SCALE
from toolkit.pipeline.gpt_sovits import Pair, read_pair, semantic_model
from toolkit.voices.features import VoiceFeatures

_WINDOW_ROWS = 9  # relative attention wants as many rows as its window; shorter sentences are padded, as in a bucket


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpokenSentence:
    """What torch made of a sentence.

    Attributes:
        codes: ``[n] int32``.
        samples: ``[1280 n] float32`` at speed 1, no pause behind.
    """

    codes: np.ndarray = field(repr=False)
    samples: np.ndarray = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TorchSpeech:
    """One voice of one model; made by ``torch_speech``.

    Attributes:
        semantic: text to codes.
        sovits: codes to sound, the voice's style folded in.
        voice: the voice.
    """

    semantic: SemanticModel = field(repr=False)
    sovits: Sovits = field(repr=False)
    voice: VoiceFeatures = field(repr=False)

    def speak(
        self,
        phones: np.ndarray,
        *,
        number: int = 0,
        seed: int = 0,
        sampling: SamplingSettings | None = None,
        noise_scale: float = NOISE_SCALE,
        codes_min: int = STEPS_MIN,
        codes_max: int = -1,
        speed: float = 1.0,
    ) -> SpokenSentence:
        """Speaks one sentence; text features are zeros.

        Args:
            phones: ``[Tx] int32`` of the sentence.
            number: its place among the sentences: each has its own generators.
            seed: of tokens and noise.
            sampling: how tokens are drawn.
            noise_scale: width of the latent noise.
            codes_min: before so many codes the model cannot end the sentence.
            codes_max: most codes, -1 for the model's own limit.
            speed: of speech.
        """
        import torch

        arrays = self.voice.arrays
        sampler = Sampler(sampling or SamplingSettings(), np.random.default_rng([seed, number, 0]))
        text = np.concatenate([arrays["prompt_phones"], phones]).astype(np.int64)
        prompt = torch.from_numpy(arrays["prompt_codes"].astype(np.int64))[None]
        made = generate(
            self.semantic,
            torch.from_numpy(text)[None],
            prompt,
            sampler,
            steps_min=codes_min,
            early_stop=-1 if codes_max < 0 else codes_max - 1,
        )
        codes = made.codes
        noise = np.random.default_rng([seed, number, 1]).standard_normal(
            (1, self.sovits.config.inter, frames_at(speed, 2 * len(codes))), np.float32
        )
        rows = max(len(phones), _WINDOW_ROWS)
        audio = self.sovits.speak(
            torch.from_numpy(codes.astype(np.int32))[None],
            torch.from_numpy(filled(phones[None].astype(np.int32), rows)),
            torch.ones(1, 1, 2 * len(codes)),
            torch.from_numpy(presence(len(phones), rows)),
            noise=torch.from_numpy(noise),
            noise_scale=noise_scale,
            speed=speed,
        )
        return SpokenSentence(codes=codes, samples=audio[0, 0].numpy())


def torch_speech(paths: Sequence[Path], voice: VoiceFeatures) -> TorchSpeech:
    """The model of two checkpoints as one voice.

    Raises:
        CheckpointError: a file is unusable, or the two are no pair.
    """
    pair = read_pair(paths)
    return speech_of(pair, semantic_model(pair.gpt), voice)


def speech_of(pair: Pair, semantic: SemanticModel, voice: VoiceFeatures) -> TorchSpeech:
    """The model of a pair that was read, as one voice."""
    import torch

    style = torch.from_numpy(voice.arrays["ge"])
    text_style = voice.arrays.get("ge_text")
    sovits = with_voice(sovits_model(pair.sovits), style, style if text_style is None else torch.from_numpy(text_style))
    return TorchSpeech(semantic=semantic.eval(), sovits=sovits, voice=voice)
