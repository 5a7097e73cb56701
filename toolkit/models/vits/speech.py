"""Synthesis with the graphs as runners and everything else on the host; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.errors import InputError
from converters.spec import Runner
from toolkit.models.vits import host
from toolkit.models.vits.durations import DurationPredictor

PartRunners = Mapping[str, Mapping[int, Runner]]
"""Part name to bucket to runner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceDefaults:
    """Sampling settings a voice was published with.

    Attributes:
        noise_scale: deviation of the prior sample.
        length_scale: multiplies durations.
        noise_w: deviation of the duration noise.
    """

    noise_scale: float = 0.667
    length_scale: float = 1.0
    noise_w: float = 0.8


class Speech:
    """What a voice can do when its three graphs are given as runners, in whatever language they are written.

    Subclasses hold the attributes: ``Voice`` with the torch modules, ``Host`` without.

    Attributes:
        label: what it is, for reports.
        durations: the duration predictor.
        phoneme_id_map: phoneme to ids.
        defaults: sampling settings.
        language: espeak voice the phonemes come from.
        hop: audio samples per frame.
        flow_reach_frames: context the flow needs to each side of a chunk.
        decoder_reach_frames: context the decoder needs to each side of a chunk.
    """

    __slots__ = ()

    label: str
    durations: DurationPredictor
    phoneme_id_map: Mapping[str, tuple[int, ...]]
    defaults: InferenceDefaults
    language: str
    hop: int
    flow_reach_frames: int
    decoder_reach_frames: int

    def phoneme_ids(self, phonemes: Sequence[str]) -> np.ndarray:
        """Ids of a phoneme sequence as Piper feeds them: start, a blank after each phoneme, end.

        Args:
            phonemes: one symbol each; a string works, symbol by symbol.

        Returns:
            ``[ids]`` int32. Symbols the voice does not know are left out, as Piper does.

        Raises:
            InputError: none of the phonemes is known.
        """
        table = self.phoneme_id_map
        blank, known = table["_"], [table[phoneme] for phoneme in phonemes if phoneme in table]
        if not known:
            raise InputError(
                f"the voice knows none of the phonemes {''.join(phonemes)!r}",
                code="input/unknown-phonemes",
                where=self.label,
                hint=f"give IPA as espeak-ng writes it for {self.language!r}",
            )
        ids = [*table["^"], *blank]
        for symbol in known:
            ids += [*symbol, *blank]
        return np.array([*ids, *table["$"]], dtype=np.int32)

    def prior(
        self,
        runners: Mapping[int, Runner],
        ids: np.ndarray,
        seed: int = 0,
        *,
        length_scale: float | None = None,
        noise_w: float | None = None,
    ) -> host.Prior:
        """Runs the encoder and the durations; see ``vits.host.encode``."""
        return host.encode(
            runners,
            self.durations,
            ids,
            np.random.default_rng([seed, 0]),
            length_scale=self.defaults.length_scale if length_scale is None else length_scale,
            noise_w=self.defaults.noise_w if noise_w is None else noise_w,
        )

    def prior_sample(self, prior: host.Prior, seed: int = 0, *, noise_scale: float | None = None) -> np.ndarray:
        """The flow's input ``z_p`` ``[1, channels, frames]`` for a prior and a seed."""
        scale = self.defaults.noise_scale if noise_scale is None else noise_scale
        return prior.sample(np.random.default_rng([seed, 1]), scale)

    def run_flow(self, runners: Mapping[int, Runner], z_p: np.ndarray) -> np.ndarray:
        """Latent ``[1, channels, frames]`` of a prior sample of any length."""
        return host.run_frames(runners, ("z_p", "z"), z_p, reach=self.flow_reach_frames)

    def run_decoder(self, runners: Mapping[int, Runner], z: np.ndarray) -> np.ndarray:
        """Waveform ``[frames * hop]`` of a latent of any length."""
        audio = host.run_frames(runners, ("z", "audio"), z, reach=self.decoder_reach_frames, hop=self.hop)
        return audio[0, 0].astype(np.float32)

    def synthesise(
        self,
        runners: PartRunners,
        ids: np.ndarray,
        seed: int = 0,
        noise_scale: float | None = None,
        length_scale: float | None = None,
        noise_w: float | None = None,
    ) -> np.ndarray:
        """Speaks.

        The noise depends on the seed and the true lengths only, so every representation of the parts gets the same.

        Args:
            runners: ``encoder``, ``flow`` and ``decoder``, each by bucket.
            ids: phoneme ids ``[phonemes]``.
            seed: of the noise.
            noise_scale: deviation of the prior sample; the voice's default when ``None``.
            length_scale: multiplies durations; the voice's default when ``None``.
            noise_w: deviation of the duration noise; the voice's default when ``None``.

        Returns:
            Float32 waveform ``[samples]`` in [-1, 1].

        Raises:
            InputError: the sentence has more phonemes than the largest encoder bucket.
        """
        prior = self.prior(runners["encoder"], ids, seed, length_scale=length_scale, noise_w=noise_w)
        z_p = self.prior_sample(prior, seed, noise_scale=noise_scale)
        return self.run_decoder(runners["decoder"], self.run_flow(runners["flow"], z_p))
