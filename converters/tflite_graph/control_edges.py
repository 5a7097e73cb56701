"""Control dependencies a converter stored in a TFLite file: operators that must run after others, data aside.

Format: ``tflite/converter/experimental/remat/metadata_util.cc`` of LiteRT. Numbers are varints of 7 bits, signed ones
zigzag-encoded; a version, then for every graph a list of pairs (before, after).
"""

from __future__ import annotations

from typing import Any

KEY = b"model_control_dependencies"
_VERSION = 1

Edges = tuple[tuple[int, int], ...]


def control_edges(model: Any, graph: int) -> Edges | None:
    """Pairs of operators (before, after) of one graph; None where the file states none, or none that LiteRT reads."""
    for entry in model.metadata or ():
        data = model.buffers[entry.buffer].data
        if (entry.name or b"") == KEY and data is not None:
            found = _parse(bytes(bytearray(data)))
            return found[graph] if found is not None and len(found) == len(model.subgraphs) else None
    return None


def _parse(data: bytes) -> list[Edges] | None:
    """Edges by graph; None for another version or a damaged entry, which LiteRT ignores."""
    numbers = _varints(data)
    if numbers is None or not numbers or numbers[0] != _VERSION:
        return None
    values = iter(numbers[1:])
    try:
        found = [
            tuple((_signed(next(values)), _signed(next(values))) for _edge in _counted(next(values), len(data)))
            for _graph in _counted(next(values), len(data))
        ]
    except (StopIteration, RuntimeError, ValueError):
        return None
    return found if next(values, None) is None else None


def _counted(count: int, most: int) -> range:
    if count > most:
        raise ValueError("more entries than bytes")
    return range(count)


def _varints(data: bytes) -> list[int] | None:
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            found.append(value)
            value, shift = 0, 0
    return None if shift else found


def _signed(value: int) -> int:
    return -(value // 2) - 1 if value % 2 else value // 2
