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
class SaidCodes:
    """One sentence.

    Attributes:
        codes: ``[n] int32``, 25 a second.
        durations: ``[phones]`` frames of each phone; need not be whole.
    """

    codes: np.ndarray = field(repr=False)
    durations: np.ndarray = field(repr=False)


def is_parallel_bundle(bundle: Bundle) -> bool:
    """Whether the bundle's codes come from a convolutional student."""
    return bool(bundle.of_kind(PHONES) and bundle.of_kind(FRAMES))


def say_codes(
    bundle: Bundle,
    graphs: GraphSource,
    phones: np.ndarray,
    *,
    length_scale: float = 1.0,
) -> SaidCodes:
    """The likeliest code of every frame.

    Args:
        bundle: with both graphs.
        graphs: gives the running graph of a fact.
        phones: ``[n]`` ids of a sentence.
        length_scale: above 1 is slower.

    Raises:
        EngineError: no phones, an id the model does not know, a sentence too long for the bundle, or a bundle without
            such a student.
    """
    if not is_parallel_bundle(bundle):
        raise EngineError(
            "its codes do not come from a convolutional student", code="engine/bundle", where=str(bundle.folder),
            hint="convert a student.safetensors of `toolkit distil --student nar`",
        )  # fmt: skip
    said = np.asarray(phones, np.int32).reshape(-1)
    if not len(said):
        raise EngineError("no phones", code="engine/nothing-to-say", where=bundle.label)
    if int(said.min()) < 0 or int(said.max()) >= bundle.symbols:
        raise EngineError(
            f"phone ids are {said.min()}..{said.max()}, the model knows 0..{bundle.symbols - 1}",
            code="engine/bad-ids",
            where=bundle.label,
            hint="the phones belong to another version of the model",
        )
    first = smallest(bundle.of_kind(PHONES), {"phones": (1, len(said))}, "the sentence")
    room = first.tensors["phones"].shape[1]
    heard = graphs(first).run({"phones": filled(said[None], room), "mask": presence(len(said), room)})
    durations = frames_of(heard["log_durations"][0, 0, : len(said)], length_scale)
    placed = regulate(durations)
    second = smallest(bundle.of_kind(FRAMES), {"rows": (2, placed.frames)}, "the sentence")
    room = second.tensors["rows"].shape[2]
    rows = heard["hidden"][0, :, : len(said)] @ placed.shares
    logits = graphs(second).run(
        {
            "rows": filled(rows[None], room),
            "timing": filled(placed.timing[None], room),
            "mask": presence(placed.frames, room),
        }
    )["logits"]
    return SaidCodes(codes=logits[0, :, : placed.frames].argmax(axis=0).astype(np.int32), durations=durations)
