"""Which torch layer a node, a layer or a constant comes from, on every side of the chain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np


def torch_path(name: str) -> str:
    """Module path of a node or layer name.

    ``dec.conv_pre`` of ``dec.conv_pre/Conv_1``, ``dec.up`` of ``dec.up/DepthToTime/Reshape_in``.
    """
    return name.partition("/")[0]


def paths_of(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Module path to the names under it, both in first-seen order."""
    result: dict[str, list[str]] = {}
    for name in names:
        result.setdefault(torch_path(name), []).append(name)
    return {path: tuple(found) for path, found in result.items()}


def fingerprint(array: np.ndarray) -> str:
    """A digest of an array's values that no transposition, reshape or channel order changes."""
    values = np.sort(np.asarray(array, np.float32).reshape(-1))
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def match_by_value(arrays: Mapping[str, np.ndarray], named: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Names for arrays that lost theirs, by equal values.

    Args:
        arrays: constants under names that mean nothing, e.g. of a Keras graph.
        named: constants under torch parameter names, e.g. ONNX initialisers.

    Returns:
        Name in ``arrays`` to name in ``named``. Equal constants (zero biases) are handed out in order, once each;
        what has no equal is left out.
    """
    pools: dict[str, list[str]] = {}
    for name, array in named.items():
        pools.setdefault(fingerprint(array), []).append(name)
    result: dict[str, str] = {}
    for name, array in arrays.items():
        pool = pools.get(fingerprint(array), [])
        if pool:
            result[name] = pool.pop(0) if len(pool) > 1 else pool[0]
    return result


def parameter_owner(parameter: str) -> str:
    """Module path of a torch parameter name: ``dec.conv_pre`` of ``dec.conv_pre.weight``."""
    return parameter.rpartition(".")[0]
