"""Cutting the vocoder's work into chunks that sound as one.

A chunk is ``length`` frames: ``overlap`` of context, the frames it is for, ``overlap`` of context. The vocoder sees no
further than the overlap, so the middle of a chunk equals the whole run. Nothing stands before the first frame of a
sentence or after its last: there the graph's own padding is the whole run's, no context is spent, and frames beyond the
end are absent (zero and masked at every stage).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A stretch of one sentence.

    Attributes:
        start: first frame the graph is fed, the context included.
        first: first frame it is for.
        end: one after its last frame.
    """

    start: int
    first: int
    end: int


def next_chunk(first: int, frames: int, length: int, overlap: int) -> Chunk:
    """The chunk that goes on at a frame.

    Args:
        first: frames of the sentence that are done.
        frames: of the whole sentence, more than ``first``.
        length: frames the graph takes.
        overlap: context it needs on either side.

    Raises:
        EngineError: the graph's length leaves nothing between the overlaps.
    """
    if length <= 2 * overlap:
        raise EngineError(
            f"a chunk of {length} frames has nothing between two overlaps of {overlap}",
            code="engine/bundle",
            where="vocoder",
            hint="convert with longer chunks",
        )
    start = max(0, first - overlap)
    end = frames if start + length >= frames else start + length - overlap
    return Chunk(start=start, first=first, end=end)


def plan_chunks(frames: int, length: int, overlap: int) -> tuple[Chunk, ...]:
    """Chunks that cover all frames, each exactly once, in order; arguments and errors as for ``next_chunk``."""
    found: list[Chunk] = []
    done = 0
    while done < frames:
        found.append(next_chunk(done, frames, length, overlap))
        done = found[-1].end
    return tuple(found)


def window(latent: np.ndarray, chunk: Chunk, length: int) -> tuple[np.ndarray, np.ndarray]:
    """What the graph is fed for a chunk.

    Args:
        latent: ``[1, channels, frames]``, the whole sentence.
        chunk: the stretch wanted.
        length: frames the graph takes.

    Returns:
        ``[1, channels, length]`` and its mask ``[1, 1, length]``.
    """
    given = latent[:, :, chunk.start : chunk.start + length]
    here = given.shape[2]
    fed = np.zeros((1, latent.shape[1], length), np.float32)
    mask = np.zeros((1, 1, length), np.float32)
    fed[:, :, :here], mask[:, :, :here] = given, 1.0
    return fed, mask


def middle(audio: np.ndarray, chunk: Chunk, samples_per_frame: int) -> np.ndarray:
    """The samples a chunk is for.

    Args:
        audio: ``[1, 1, length * samples_per_frame]``, what the graph made of ``window``.
        chunk: the stretch.
        samples_per_frame: of the vocoder.
    """
    first = (chunk.first - chunk.start) * samples_per_frame
    return audio[0, 0, first : first + (chunk.end - chunk.first) * samples_per_frame]
