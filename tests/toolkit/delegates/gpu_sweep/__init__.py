"""Small files of every operator the GPU table knows, placed by the tables and by LiteRT's executed GPU accelerator."""

from tests.toolkit.delegates.gpu_sweep import arithmetic, layers, movement, reductions, refused
from tests.toolkit.delegates.gpu_sweep.case import Case

CASES: tuple[Case, ...] = (
    *arithmetic.CASES,
    *layers.CASES,
    *movement.CASES,
    *reductions.CASES,
    *refused.CASES,
)
