"""Cutting the vocoder's work into chunks that sound as one.

A chunk is ``length`` frames: ``overlap`` of context, the frames it is for, ``overlap`` of context. The vocoder sees no
further than the overlap, so the middle of a chunk equals the whole run. Outside the sentence frames are absent (zero
and masked at every stage), which is what the padding of the whole run is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A stretch of one sentence.

    Attributes:
        first: first frame it is for.
        end: one after its last frame.
    """

    first: int
    end: int


def plan_chunks(frames: int, length: int, overlap: int) -> tuple[Chunk, ...]:
    """Chunks that cover all frames, each exactly once, in order.

    Raises:
        EngineError: the graph's length leaves nothing between the overlaps.
    """
    core = length - 2 * overlap
    if core <= 0:
        raise EngineError(
            f"a chunk of {length} frames has nothing between two overlaps of {overlap}",
            code="engine/bundle",
            where="vocoder",
            hint="convert with longer chunks",
        )
    return tuple(Chunk(first=first, end=min(first + core, frames)) for first in range(0, frames, core))


def window(latent: np.ndarray, chunk: Chunk, length: int, overlap: int) -> tuple[np.ndarray, np.ndarray]:
    """What the graph is fed for a chunk.

    Args:
        latent: ``[1, channels, frames]``, the whole sentence.
        chunk: the stretch wanted.
        length: frames the graph takes.
        overlap: context on either side.

    Returns:
        ``[1, channels, length]`` and its mask ``[1, 1, length]``.
    """
    frames = latent.shape[2]
    start = chunk.first - overlap
    inside = slice(max(start, 0), min(start + length, frames))
    fed = np.zeros((1, latent.shape[1], length), np.float32)
    mask = np.zeros((1, 1, length), np.float32)
    here = slice(inside.start - start, inside.stop - start)
    fed[:, :, here], mask[:, :, here] = latent[:, :, inside], 1.0
    return fed, mask


def middle(audio: np.ndarray, chunk: Chunk, overlap: int, samples_per_frame: int) -> np.ndarray:
    """The samples a chunk is for.

    Args:
        audio: ``[1, 1, length * samples_per_frame]``, what the graph made of ``window``.
        chunk: the stretch.
        overlap: context on either side.
        samples_per_frame: of the vocoder.
    """
    first = overlap * samples_per_frame
    return audio[0, 0, first : first + (chunk.end - chunk.first) * samples_per_frame]
