"""Sizes of the convolutional text-to-semantic student."""

from __future__ import annotations

from dataclasses import dataclass

METADATA_KEY = "flowlite_parallel_semantic"
"""Of the file; under it the header says what the model is."""
TIMING_ROWS = 4
"""What `toolkit.engine.length_regulator` tells of a frame's place in its phone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelConfig:
    """Sizes.

    Attributes:
        symbols: phones it knows.
        codes: codes it tells apart; there is no stop token, durations say where a sentence ends.
        width: channels between blocks.
        expansion: channels inside a block, times the width.
        phone_blocks: blocks over phones.
        frame_blocks: blocks over frames of 40 ms.
        phone_kernel: width of the depthwise convolutions over phones, odd.
        frame_kernel: likewise over frames.
    """

    symbols: int
    codes: int
    width: int = 192
    expansion: int = 3
    phone_blocks: int = 4
    frame_blocks: int = 6
    phone_kernel: int = 5
    frame_kernel: int = 9

    @property
    def phone_reach(self) -> int:
        """Phones to each side that a phone's row depends on."""
        return self.phone_blocks * (self.phone_kernel // 2)

    @property
    def frame_reach(self) -> int:
        """Frames to each side that a frame's logits depend on, besides what its phones' rows bring."""
        return self.frame_blocks * (self.frame_kernel // 2)
