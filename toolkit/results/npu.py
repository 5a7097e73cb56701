"""What Qualcomm's compiler made of a shipped file, where the user has installed it."""

from __future__ import annotations

from toolkit.results.record import Record


class NpuCompilation(Record):
    """A shipped file of a part, compiled for a chip; ``how`` says by what.

    ``taken_ops`` of ``total_ops`` operators went to the NPU in ``partitions`` pieces; ``tables_ops`` is what the static
    rules say. ``refused`` holds ``number kind`` of the others.
    """

    part: str
    soc: str
    how: str
    taken_ops: int
    total_ops: int
    partitions: int
    tables_ops: int
    refused: tuple[str, ...] = ()
