"""Time of a whole sentence by a voice's bundle: encoder, durations, flow, decoder, and the host's work between them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from toolkit.data import load_manifest
from toolkit.engine.bundle import bundle_folder
from toolkit.models.vits.bundle import load_host
from toolkit.pipeline.speech import bundle_runners


def held_out_ids(run: Path) -> np.ndarray:
    """Phoneme ids ``[phonemes]`` of the held-out sentence of middle length that fits the bundle."""
    host = load_host(bundle_folder(run))
    longest = max(host.buckets["encoder"])
    known = sorted((host.phoneme_ids(each.phonemes) for each in load_manifest().split("evaluation")), key=len)
    fitting = [ids for ids in known if len(ids) <= longest] or [known[0][:longest]]
    return fitting[len(fitting) // 2]


class SentenceLoop:
    """A bundle that says one sentence over and over.

    Voices time their sentences differently. So that all are timed on as much work, each predicts its own durations and
    then says as many frames as it is told: its prior sample is cut, or goes on from its beginning.

    Args:
        run: a bundle, or a run directory with one.
        ids: phoneme ids ``[phonemes]``.
        seed: of the noise.
        frames: how many to say; those the bundle's own durations give if left out.
        threads: of the interpreter.

    Attributes:
        frames: as said.
        audio_seconds: as said.
        init_ms: time to load the graphs.
        first_ms: time of the first sentence.

    Raises:
        InputError: no bundle there, or it is damaged.
    """

    def __init__(self, run: Path, *, ids: np.ndarray, seed: int, frames: int | None = None, threads: int = 1) -> None:
        folder = bundle_folder(run)
        started = time.perf_counter_ns()
        self._runners = bundle_runners(folder, threads)
        self._host = load_host(folder).with_graphs(self._runners)
        self.init_ms = _since_ms(started)
        self._ids, self._seed = ids, seed
        self.frames = self._prior_sample().shape[-1] if frames is None else frames
        self.audio_seconds = self.frames * self._host.hop / self._host.sample_rate_hz
        self.first_ms = self.invoke_ms()

    def invoke_ms(self) -> float:
        """Says the sentence and returns the time it took."""
        started = time.perf_counter_ns()
        z_p = self._prior_sample()
        repeats = -(-self.frames // z_p.shape[-1])
        fitted = np.tile(z_p, (1, 1, repeats))[..., : self.frames] if z_p.shape[-1] != self.frames else z_p
        self._host.run_decoder(self._runners["decoder"], self._host.run_flow(self._runners["flow"], fitted))
        return _since_ms(started)

    def _prior_sample(self) -> np.ndarray:
        return self._host.prior_sample(self._host.prior(self._runners["encoder"], self._ids, self._seed), self._seed)


def _since_ms(started_ns: int) -> float:
    return (time.perf_counter_ns() - started_ns) / 1e6
