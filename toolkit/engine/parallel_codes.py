"""Phones to semantic codes by the convolutional student's two graphs: no loop, no state, nothing drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from toolkit.engine.buckets import filled, presence, smallest
from toolkit.engine.bundle import Bundle
from toolkit.engine.graphs import GraphSource
from toolkit.engine.length_regulator import frames_of, regulate
from toolkit.errors import EngineError

PHONES, FRAMES = "nar_phones", "nar_frames"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadPhones:
    """What the first graph makes of a sentence.

    Attributes:
        rows: ``[width, phones]``.
        durations: ``[phones]`` frames of 40 ms; need not be whole.
    """

    rows: np.ndarray = field(repr=False)
    durations: np.ndarray = field(repr=False)


class ParallelDecoder:
    """Turns phones into codes with a bundle's graphs.

    Args:
        bundle: with both graphs.
        graphs: gives the running graph of a fact.

    Raises:
        EngineError: the bundle's codes do not come from a convolutional student.
    """

    def __init__(self, bundle: Bundle, graphs: GraphSource) -> None:
        if not is_parallel_bundle(bundle):
            raise EngineError(
                "its codes do not come from a convolutional student", code="engine/bundle", where=str(bundle.folder),
                hint="convert a student.safetensors of `toolkit distil --student nar`",
            )  # fmt: skip
        self._bundle, self._graphs = bundle, graphs

    def codes(self, phones: np.ndarray, length_scale: float = 1.0) -> np.ndarray:
        """The likeliest code of every frame, ``[n] int32``, 25 a second.

        Args:
            phones: ``[Tx]`` ids of a sentence.
            length_scale: above 1 is slower.

        Raises:
            EngineError: no phones, an id the model does not know, or a sentence too long for the bundle.
        """
        heard = self.read(phones)
        return self.logits(heard, heard.durations * length_scale).argmax(axis=1).astype(np.int32)

    def read(self, phones: np.ndarray) -> ReadPhones:
        """Rows and durations of phones ``[Tx]``.

        Raises:
            EngineError: no phones, an id the model does not know, or more phones than the bundle takes.
        """
        said, bundle = np.asarray(phones, np.int32).reshape(-1), self._bundle
        if not len(said):
            raise EngineError("no phones", code="engine/nothing-to-say", where=bundle.label)
        if int(said.min()) < 0 or int(said.max()) >= bundle.symbols:
            raise EngineError(
                f"phone ids are {said.min()}..{said.max()}, the model knows 0..{bundle.symbols - 1}",
                code="engine/bad-ids",
                where=bundle.label,
                hint="the phones belong to another version of the model",
            )
        fact = smallest(bundle.of_kind(PHONES), {"phones": (1, len(said))}, "the sentence")
        room = fact.tensors["phones"].shape[1]
        found = self._graphs(fact).run({"phones": filled(said[None], room), "mask": presence(len(said), room)})
        return ReadPhones(
            rows=np.array(found["hidden"][0, :, : len(said)]),
            durations=frames_of(found["log_durations"][0, 0, : len(said)]),
        )

    def logits(self, heard: ReadPhones, durations: np.ndarray, frames: int | None = None) -> np.ndarray:
        """What the second graph thinks of every frame, ``[frames, codes] float32``.

        Args:
            heard: what the first graph made of the sentence.
            durations: ``[phones]`` frames of each; the sentence's own, scaled, or anyone's.
            frames: how many there are; the rounded sum of the durations by default.

        Raises:
            EngineError: more frames than the bundle takes.
        """
        placed = regulate(durations, frames)
        fact = smallest(self._bundle.of_kind(FRAMES), {"rows": (2, placed.frames)}, "the sentence")
        room = fact.tensors["rows"].shape[2]
        found = self._graphs(fact).run(
            {
                "rows": filled((heard.rows @ placed.shares)[None], room),
                "timing": filled(placed.timing[None], room),
                "mask": presence(placed.frames, room),
            }
        )["logits"]
        return np.array(found[0, :, : placed.frames].T)


def is_parallel_bundle(bundle: Bundle) -> bool:
    """Whether the bundle's codes come from a convolutional student."""
    return bool(bundle.of_kind(PHONES) and bundle.of_kind(FRAMES))
