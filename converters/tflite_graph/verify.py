"""Checks that a TFLite file's tables, vectors and strings lie inside it, before anything reads them.

The generated reader and LiteRT itself follow the offsets of a file blindly. Here every offset of the tables that make
up a graph is followed once, with its bounds; options and other unions are checked as tables whose fields lie inside
them. Tables may be shared, so a small file can stand for endlessly many objects: how many a reader would make is
counted, and bounded.

Layout: https://flatbuffers.dev/internals; tables: ``tflite/converter/schema/schema.fbs`` of LiteRT.
"""

from __future__ import annotations

import struct

_MOST_OBJECTS = 5_000_000
_TEXT_BYTES_PER_OBJECT = 64

_WIDTH_BYTES = {"i8": 1, "u8": 1, "bool": 1, "i32": 4, "u32": 4, "f32": 4, "i64": 8, "u64": 8}

# Field by its place in the vtable: a scalar, "text", "any" (a union's table), a table's name, or [what a vector holds].
_TABLES: dict[str, dict[int, str | list[str]]] = {
    "Model": {
        4: "u32",
        6: ["OperatorCode"],
        8: ["SubGraph"],
        10: "text",
        12: ["Buffer"],
        14: ["i32"],
        16: ["Metadata"],
        18: ["SignatureDef"],
        20: ["any"],
        22: ["any"],
    },
    "OperatorCode": {4: "i8", 6: "text", 8: "i32", 10: "i32"},
    "SubGraph": {4: ["Tensor"], 6: ["i32"], 8: ["i32"], 10: ["Operator"], 12: "text", 14: "i32"},
    "Tensor": {
        4: ["i32"],
        6: "i8",
        8: "u32",
        10: "text",
        12: "Quantization",
        14: "bool",
        16: "Sparsity",
        18: ["i32"],
        20: "bool",
        22: ["Variant"],
        24: "u32",
    },
    "Quantization": {4: ["f32"], 6: ["f32"], 8: ["f32"], 10: ["i64"], 12: "u8", 14: "any", 16: "i32"},
    "Operator": {
        4: "u32",
        6: ["i32"],
        8: ["i32"],
        10: "u8",
        12: "any",
        14: ["u8"],
        16: "i8",
        18: ["bool"],
        20: ["i32"],
        22: "u64",
        24: "u64",
        26: "u8",
        28: "any",
        30: "i32",
    },
    "Buffer": {4: ["u8"], 6: "u64", 8: "u64"},
    "Metadata": {4: "text", 6: "u32"},
    "SignatureDef": {4: ["TensorMap"], 6: ["TensorMap"], 8: "text", 12: "u32"},
    "TensorMap": {4: "text", 6: "u32"},
    "Sparsity": {4: ["i32"], 6: ["i32"], 8: ["Dimension"]},
    "Dimension": {4: "i8", 6: "i32", 8: "u8", 10: "any", 12: "u8", 14: "any"},
    "Variant": {4: ["i32"], 6: "i8", 8: "bool"},
    "any": {},
}


def verify(content: bytes) -> None:
    """Follows every offset of a file's graph.

    Args:
        content: the file.

    Raises:
        ValueError: an offset, length or table reaches outside the file, or tables are shared without end.
    """
    walk = _Walk(content)
    if walk.table(walk.offset(0), "Model") > _MOST_OBJECTS:
        raise ValueError(f"its tables are shared more than {_MOST_OBJECTS} times")


class _Walk:
    """One pass over a file; every method checks the bounds of what it reads."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._seen: dict[tuple[int, str], int] = {}

    def offset(self, position: int) -> int:
        """Where the offset at a position points to."""
        (distance,) = struct.unpack_from("<I", self._content, self._inside(position, 4, "an offset"))
        if distance == 0:
            raise ValueError(f"the offset at byte {position} points to itself")
        return position + distance

    def table(self, position: int, name: str) -> int:
        """Checks a table and what hangs on it; returns how many objects a reader makes of it."""
        known = self._seen.get((position, name))
        if known is not None:
            return known
        fields, size = self._vtable(position, name)
        count = 1
        for place, found in enumerate(fields):
            kind = _TABLES[name].get(4 + 2 * place)
            if found == 0:
                continue
            width = _WIDTH_BYTES.get(kind, 4) if isinstance(kind, str) else 4 if kind else 1
            if found + width > size:
                raise ValueError(f"field {place} of {_a(name)} at byte {position} lies outside its table")
            count += self._field(position + found, kind)
        self._seen[(position, name)] = count
        return count

    def _vtable(self, position: int, name: str) -> tuple[tuple[int, ...], int]:
        """Places of a table's fields and its size in bytes."""
        (back,) = struct.unpack_from("<i", self._content, self._inside(position, 4, _a(name)))
        start = self._inside(position - back, 4, f"the layout of {_a(name)}")
        length, size = struct.unpack_from("<HH", self._content, start)
        if length < 4 or length % 2 or size < 4:
            raise ValueError(f"the layout of {_a(name)} at byte {position} is not one")
        self._inside(start, length, f"the layout of {_a(name)}")
        self._inside(position, size, _a(name))
        return struct.unpack_from(f"<{length // 2 - 2}H", self._content, start + 4), size

    def _field(self, position: int, kind: str | list[str] | None) -> int:
        if isinstance(kind, list):
            return self._vector(self.offset(position), kind[0])
        if kind is None or kind in _WIDTH_BYTES:
            return 0
        target = self.offset(position)
        return self._text(target) if kind == "text" else self.table(target, kind)

    def _vector(self, position: int, of: str) -> int:
        width = _WIDTH_BYTES.get(of, 4)
        count = self._length(position, width, "a list")
        if of in _WIDTH_BYTES:
            return 1
        made = 0
        for index in range(count):
            made += self.table(self.offset(position + 4 + 4 * index), of)
            if made > _MOST_OBJECTS:
                raise ValueError(f"its tables are shared more than {_MOST_OBJECTS} times")
        return made

    def _text(self, position: int) -> int:
        length = self._length(position, 1, "a text")
        end = self._inside(position + 4 + length, 1, "a text")
        if self._content[end] != 0:
            raise ValueError(f"the text at byte {position} has no end")
        return 1 + length // _TEXT_BYTES_PER_OBJECT

    def _length(self, position: int, width: int, what: str) -> int:
        (count,) = struct.unpack_from("<I", self._content, self._inside(position, 4, what))
        self._inside(position + 4, count * width, what)
        return count

    def _inside(self, position: int, size: int, what: str) -> int:
        if position < 0 or position + size > len(self._content):
            raise ValueError(f"{what} at byte {position} reaches outside the file of {len(self._content)} bytes")
        return position


def _a(name: str) -> str:
    return "a table" if name == "any" else f"a {name} table"
