"""What conversions of one model share: work whose inputs are the same is done once.

Everything is kept under a digest of what it was made from: weights, interface, probes and the settings that matter.
Float hops do not depend on precisions, and a part does not depend on the other parts' settings, so that a search over
precisions converts each part once and compresses it once per setting. It lives in memory, for one process.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.pipeline.sources import Source, SourcePart
from toolkit.quality.judgements import Judgements
from toolkit.recipe.schema import Recipe

if TYPE_CHECKING:
    from toolkit.compress.other_lengths import OneLength
    from toolkit.pipeline.float_chain import FloatPart
    from toolkit.pipeline.listening import Spoken
    from toolkit.pipeline.shipping import Shipped


Opened = tuple[Source, list[SourcePart], Any]


class Reuse:
    """Results by digest, with how often each kind was made and found.

    Attributes:
        made: kind (``opened``, ``float``, ``shipped``, ``spoken``) to how many were made.
        found: kind to how many were there already.
        judgements: what judges said of single waves; the float voice's are the reference of every listening test.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}
        self.made: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.judgements = Judgements()

    def opened(self, request: str, make: Callable[[], Opened]) -> Opened:
        """An opened model with its probes; its files are taken to stay as they are while the process runs."""
        return self._get("opened", request, make)

    def float_part(self, digest: str, make: Callable[[], FloatPart]) -> FloatPart:
        """A part through the float hops."""
        return self._get("float", digest, make)

    def shipped(
        self, digest: str, make: Callable[[], tuple[Shipped, OneLength | None]]
    ) -> tuple[Shipped, OneLength | None]:
        """A part in its precisions, and what its other lengths need of it, where it has any."""
        return self._get("shipped", digest, make)

    def spoken(self, digest: str, make: Callable[[], Spoken]) -> Spoken:
        """The float voice's own sentences."""
        return self._get("spoken", digest, make)

    def _get(self, kind: str, digest: str, make: Callable[[], Any]) -> Any:
        key = f"{kind}:{digest}"
        if key in self._kept:
            self.found[kind] += 1
        else:
            self._kept[key] = make()
            self.made[kind] += 1
        return self._kept[key]


def float_digest(part: SourcePart, recipe: Recipe) -> str:
    """Digest of what decides a part's float files: weights and structure, interface, probes, float settings."""
    digest = hashlib.sha256()
    _add(digest, part.key, repr(part.spec), part.real_probes)
    _add(digest, recipe.onnx.model_dump_json(), recipe.parity.model_dump_json())
    if recipe.delegate.name == "gpu":
        _add(digest, "rewrites for GPUs")
    for probe in part.probes:
        for name, array in sorted(probe.items()):
            _add_array(digest, name, np.asarray(array))
    _add_model(digest, part.model)
    return digest.hexdigest()


def shipped_digest(part: SourcePart, recipe: Recipe, calibration_sha256: str) -> str:
    """Digest of what decides a part as it ships."""
    digest = hashlib.sha256(float_digest(part, recipe).encode())
    _add(digest, recipe.part(part.name).model_dump_json(), recipe.seed, calibration_sha256)
    if recipe.delegate.name == "qnn":
        _add(digest, "rewrites for NPUs")
    return digest.hexdigest()


def spoken_digest(names: Sequence[str], settings: Any, buckets: Any, weights: str) -> str:
    """Digest of what decides the float voice's rendition of the held-out sentences."""
    digest = hashlib.sha256()
    _add(digest, json.dumps(list(names)), settings.model_dump_json(), buckets.model_dump_json(), weights)
    return digest.hexdigest()


def _add_model(digest: Any, model: Any) -> None:
    if hasattr(model, "SerializeToString"):
        digest.update(model.SerializeToString(deterministic=True))
        return
    _add(digest, repr(model))
    held = getattr(model, "state_dict", {})  # a method of modules, the dictionary itself of exported programs
    state = held() if callable(held) else held
    for name, value in sorted(state.items()):
        if hasattr(value, "detach"):
            _add_array(digest, name, value.detach().cpu().numpy())
        else:
            _add(digest, name, repr(value))


def _add_array(digest: Any, name: str, array: np.ndarray) -> None:
    _add(digest, name, array.shape, str(array.dtype))
    digest.update(np.ascontiguousarray(array).tobytes())


def _add(digest: Any, *words: object) -> None:
    for word in words:
        digest.update(f"{word}\0".encode())
