"""The graphs of a bundle that listen and read, fed as a phone app would feed them: filled up behind masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from toolkit.engine.buckets import bias, filled, presence, smallest
from toolkit.engine.bundle import Bundle, GraphFact
from toolkit.engine.loading import GraphLoader
from toolkit.errors import EngineError

SCALES = (1, 2, 4, 8)
"""Frames an element of each mask of the speaker encoder stands for."""


def mask_lengths(frames: int) -> tuple[int, ...]:
    """Length of each mask for so many frames: each scale halves the one before and rounds up."""
    return tuple(-(-frames // scale) for scale in SCALES)


def frames_after(samples: int, convolutions: Iterable[tuple[int, int]]) -> tuple[int, ...]:
    """Frames after each of some convolutions without padding, given by kernel and stride."""
    found = []
    for kernel, stride in convolutions:
        samples = max(0, (samples - kernel) // stride + 1)
        found.append(samples)
    return tuple(found)


def speaker_feeds(energies: np.ndarray, room: int) -> dict[str, np.ndarray]:
    """Inputs of the speaker encoder with room for so many frames: ``[1, frames, 80]`` filled up, and its masks."""
    lengths = zip(SCALES, mask_lengths(energies.shape[1]), mask_lengths(room), strict=True)
    masks = {f"mask_{scale}": presence(there, length)[None] for scale, there, length in lengths}
    return {"energies": filled(energies, room, axis=1), **masks}


class BundleNetworks:
    """Networks of enrolment (see ``toolkit.engine.enrolment.Networks``) from a bundle that has their graphs.

    Args:
        bundle: the bundle.
        loader: opens its graphs.

    Raises:
        EngineError: the bundle has no enrolment graphs.
    """

    def __init__(self, bundle: Bundle, loader: GraphLoader) -> None:
        self._bundle, self._loader = bundle, loader
        missing = [kind for kind in ("ssl", "code_extractor", "style_encoder") if not bundle.of_kind(kind)]
        if missing:
            raise EngineError(
                f"the bundle has no {missing[0]} graph and cannot enrol a recording",
                code="engine/no-enrolment",
                where=bundle.label,
                hint="convert with --ssl (and --bert, --sv), or enrol with --sovits and --ssl",
            )
        if len(bundle.ssl_convolutions) < 2:
            raise EngineError("ssl_convolutions is missing", code="engine/bundle", where=bundle.label)
        style = bundle.of_kind("style_encoder")[0]
        self.model_sha256, self.symbols, self.vocabulary = bundle.model_sha256, bundle.symbols, bundle.vocabulary
        self.style_bins = style.tensors["spectrogram"].shape[1]
        self.with_speaker = "speaker" in style.tensors
        if self.with_speaker and not bundle.of_kind("speaker_encoder"):
            raise EngineError(
                "the bundle has no speaker_encoder graph, which a v2Pro voice needs",
                code="engine/no-enrolment",
                where=bundle.label,
                hint="convert with --sv too, or enrol with --sovits, --ssl and --sv",
            )

    def ssl(self, sound: np.ndarray) -> np.ndarray:
        """``[1, samples]`` at 16 kHz to ``[1, width, frames]``."""
        fact = self._smallest("ssl", "sound", 1, sound.shape[1])
        first, *_, last = frames_after(sound.shape[1], self._bundle.ssl_convolutions)
        feeds = {
            "sound": filled(sound, fact.tensors["sound"].shape[1]),
            "first_mask": presence(first, fact.tensors["first_mask"].shape[2]),
            "mask": presence(last, fact.tensors["mask"].shape[2]),
        }
        return self._run(fact, feeds)["features"][:, :, :last]

    def nearness(self, features: np.ndarray) -> np.ndarray:
        """``[1, width, frames]`` to ``[1, frames // 2, codes]``."""
        codes = features.shape[2] // 2
        fact = self._smallest("code_extractor", "features", 2, 2 * codes)
        room = fact.tensors["features"].shape[2]
        return self._run(fact, {"features": filled(features[:, :, : 2 * codes], room)})["nearness"][:, :codes]

    def style(self, spectrogram: np.ndarray, speaker: np.ndarray | None) -> Mapping[str, np.ndarray]:
        """``[1, bins, frames]`` (and ``[1, n]``) to ``ge`` (and ``ge_text``)."""
        frames = spectrogram.shape[2]
        fact = self._smallest("style_encoder", "spectrogram", 2, frames)
        room = fact.tensors["spectrogram"].shape[2]
        feeds = {"spectrogram": filled(spectrogram, room), "mask": presence(frames, room)}
        return self._run(fact, feeds if speaker is None else {**feeds, "speaker": speaker})

    def speaker(self, energies: np.ndarray) -> np.ndarray:
        """``[1, frames, 80]`` to ``[1, n]``."""
        fact = self._smallest("speaker_encoder", "energies", 1, energies.shape[1])
        return self._run(fact, speaker_feeds(energies, fact.tensors["energies"].shape[1]))["speaker"]

    def text(self, tokens: np.ndarray) -> np.ndarray:
        """``[1, tokens]`` to ``[width, tokens]``."""
        return read_characters(self._bundle, self._loader, tokens)

    def _smallest(self, kind: str, name: str, axis: int, length: int) -> GraphFact:
        return smallest(self._bundle.of_kind(kind), {name: (axis, length)}, "the recording")

    def _run(self, fact: GraphFact, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with self._loader.using(self._bundle) as graphs:
            return graphs(fact).run(feeds)


def read_characters(bundle: Bundle, loader: GraphLoader, tokens: np.ndarray) -> np.ndarray:
    """BERT's features of a sentence: ``[1, tokens]`` to ``[width, tokens]``.

    Raises:
        EngineError: the sentence is too long for the bundle, or BERT for the memory bound.
    """
    said = tokens.shape[1]
    fact = smallest(bundle.of_kind("bert"), {"tokens": (1, said)}, "the text")
    room = fact.tensors["tokens"].shape[1]
    with loader.using(bundle) as graphs:
        found = graphs(fact).run({"tokens": filled(tokens, room), "attention_bias": bias(said, room)})
    return found["features"][0, :, :said]
