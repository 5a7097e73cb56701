"""What a teacher says of a corpus, kept on disk by content: another student of it need not ask again.

The directory is named by a digest of the teacher's weights and of the sentences. Logits are kept in half precision,
whose steps (2^-11 of the value) are far below what a temperature of 3 leaves of them; each file carries its digest, and
one that is damaged is asked for again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from toolkit.distil.shards import known_arrays
from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.models.gpt_sovits.semantic_batch import Pair, batch_logits, batch_of

_SHARD: Final = 64
_VERSION: Final = b"teacher logits 1"


class TeacherLogits:
    """Logits of every sentence of a training set, computed when they are first asked for.

    Args:
        teacher: who is asked.
        pairs: the training set.
        cache: directory of everything any teacher said; ``None`` keeps it in memory only.

    Attributes:
        asked: sentences the teacher had to be asked about.
    """

    def __init__(self, teacher: SemanticModel, pairs: Sequence[Pair], cache: Path | None) -> None:
        self._teacher, self._pairs = teacher, pairs
        self.digest = _digest(teacher, pairs)
        self._folder = None if cache is None else cache / self.digest[:24]
        self._shards: dict[int, list[np.ndarray]] = {}
        self.asked = 0

    def fill(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Asks about every sentence that is not known yet."""
        for first in range(0, len(self._pairs), _SHARD):
            self._shard(first // _SHARD)
            if on_progress is not None:
                on_progress(min(first + _SHARD, len(self._pairs)), len(self._pairs))

    def of(self, places: Sequence[int]) -> Tensor:
        """Logits ``[n, vocabulary]`` of sentences, one after the other."""
        found = [self._shard(place // _SHARD)[place % _SHARD] for place in places]
        return torch.from_numpy(np.concatenate(found).astype(np.float32))

    def _shard(self, number: int) -> list[np.ndarray]:
        if number not in self._shards:
            pairs = self._pairs[number * _SHARD : (number + 1) * _SHARD]
            path = None if self._folder is None else self._folder / f"logits-{number:05d}.npz"
            arrays, _ = known_arrays(path, lambda: {"rows": self._ask(pairs)})
            ends = np.cumsum([len(pair.codes) + 1 for pair in pairs])
            self._shards[number] = np.split(arrays["rows"], ends[:-1])
        return self._shards[number]

    @torch.inference_mode()
    def _ask(self, pairs: Sequence[Pair]) -> np.ndarray:
        self.asked += len(pairs)
        stop = self._teacher.config.stop_token
        said = [batch_logits(self._teacher, batch_of([pair], stop)).numpy() for pair in pairs]
        return np.concatenate(said).astype(np.float16)


def _digest(teacher: SemanticModel, pairs: Sequence[Pair]) -> str:
    digest = hashlib.sha256(_VERSION + str(teacher.config).encode())
    for name, value in teacher.state_dict().items():
        digest.update(name.encode() + np.ascontiguousarray(value.numpy()).tobytes())
    for pair in pairs:
        digest.update(pair.phones.tobytes() + b"|" + pair.codes.tobytes() + b";")
    return digest.hexdigest()
