"""Reads the pickle inside a checkpoint without unpickling it.

A pickle is a program; Python's reader runs it. This one is a small stack machine of our own that knows the opcodes and
the seven names a checkpoint of upstream uses, and builds nothing but dictionaries, lists, tuples, numbers, strings and
descriptions of tensors. There is no name in it that could be called, so there is nothing to filter.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from toolkit.errors import CheckpointError

MOST_BYTES: Final = 8 << 20
"""Longest pickle read; upstream's full-size files have 0.1 MB (resume files with an optimizer less than 1 MB)."""

_STORAGES: Final = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
}
_MARK: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRecord:
    """Where a tensor lies in the archive.

    Attributes:
        key: name of its storage record.
        dtype: torch's name of the element type.
        offset: first element.
        shape: sizes.
        stride: elements from one index to the next, per axis.
    """

    key: str
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Name:
    module: str
    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: str


class HParams(dict[str, Any]):
    """Inert stand-in of upstream's ``utils.HParams``: its attributes, as a dictionary."""


def read_pickle(data: bytes, where: str) -> Any:
    """What the pickle describes.

    Args:
        data: the pickle.
        where: the file, for errors.

    Raises:
        CheckpointError: it is damaged, or asks for something that no checkpoint of upstream holds.
    """
    if len(data) > MOST_BYTES:
        raise CheckpointError(f"its description is {len(data):,} bytes long", code="checkpoint/damaged", where=where)
    machine = _Machine(where)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except CheckpointError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, EOFError, struct.error) as error:
        raise CheckpointError(
            f"its description is damaged: {type(error).__name__}: {str(error)[:200]}",
            code="checkpoint/damaged",
            where=where,
            hint="download or copy the file again",
        ) from error
    raise CheckpointError("its description ends early", code="checkpoint/damaged", where=where)


class _Machine:
    """The stack and memo of one pickle."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        return self.stack.pop()

    def _to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def step(self, name: str, argument: Any) -> None:
        """Runs one opcode."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in _ACTIONS:
            _ACTIONS[name](self)
        elif name == "GLOBAL":
            self.stack.append(self._known(*argument.split(" ", 1)))
        elif name != "PROTO":
            self._refuse(f"the opcode {name}")

    def _known(self, module: str, name: str) -> _Name:
        if (module, name) in _NAMES or (module == "torch" and name in _STORAGES):
            return _Name(module, name)
        self._refuse(f"{module}.{name}"[:200])
        raise AssertionError  # pragma: no cover - _refuse always raises

    def _refuse(self, what: str) -> None:
        raise CheckpointError(
            f"it asks for {what}, which no GPT-SoVITS checkpoint holds",
            code="checkpoint/hostile",
            where=self.where,
            hint="nothing of it was run; do not open this file with tools that unpickle",
        )

    def tuple_of(self, count: int) -> None:
        """Puts the last ``count`` items into a tuple."""
        items = [self.stack.pop() for _ in range(count)][::-1]
        self.stack.append(tuple(items))

    def set_items(self, pairs: list[Any]) -> None:
        """Sets keys of the dictionary on top; a key is a plain string or number."""
        target = self.stack[-1]
        if not isinstance(target, dict) or len(pairs) % 2:
            raise TypeError("items without a dictionary")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) not in (str, int, float, bool):
                raise TypeError("a key that is neither text nor number")
            target[key] = value

    def append(self, items: list[Any]) -> None:
        """Appends to the list on top."""
        if not isinstance(self.stack[-1], list):
            raise TypeError("an item without a list")
        self.stack[-1].extend(items)

    def persistent(self) -> None:
        """A storage, as ``torch.save`` writes it: ("storage", type, key, device, elements)."""
        tag, kind, key, *_ = self.stack.pop()
        if tag != "storage" or type(kind) is not _Name or kind.module != "torch" or type(key) is not str:
            raise TypeError("a reference that is no storage")
        self.stack.append(_Storage(key, _STORAGES[kind.name]))

    def reduce(self) -> None:
        """The three calls that ``torch.save`` writes."""
        arguments, what = self.stack.pop(), self.stack.pop()
        if type(what) is not _Name or type(arguments) is not tuple:
            raise TypeError("a call of something that is no name")
        if what.name == "OrderedDict":
            if arguments not in ((), ([],)):
                raise TypeError("a dictionary with contents")
            self.stack.append({})
        elif what.name == "_rebuild_tensor_v2":
            storage, offset, shape, stride = arguments[:4]
            if type(storage) is not _Storage or not _all_sizes((offset, *shape, *stride)):
                raise TypeError("a tensor without a storage or with odd sizes")
            self.stack.append(
                TensorRecord(key=storage.key, dtype=storage.dtype, offset=offset, shape=shape, stride=stride)
            )
        elif what.name == "_rebuild_parameter":
            if type(arguments[0]) is not TensorRecord:
                raise TypeError("a parameter that is no tensor")
            self.stack.append(arguments[0])
        else:
            self._refuse(f"a call of {what.module}.{what.name}")

    def new_object(self) -> None:
        """``HParams`` is the one class there is."""
        arguments, what = self.stack.pop(), self.stack.pop()
        if what != _Name("utils", "HParams") or arguments != ():
            raise TypeError("an object of another class")
        self.stack.append(HParams())

    def build(self) -> None:
        """Attributes of an ``HParams``; those of a dictionary (torch writes ``_metadata``) are dropped."""
        state, target = self.stack.pop(), self.stack[-1]
        if type(state) is not dict:
            raise TypeError("attributes that are no dictionary")
        if type(target) is HParams:
            target.update(state)
        elif type(target) is not dict:
            raise TypeError("attributes of something that has none")


def _all_sizes(values: tuple[Any, ...]) -> bool:
    return all(type(value) is int and 0 <= value < 1 << 40 for value in values)


_NAMES: Final = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("utils", "HParams"),
}
_CONSTANTS: Final[dict[str, Callable[[], Any]]] = {
    "MARK": lambda: _MARK,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_LITERALS: Final = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"}
_ACTIONS: Final[dict[str, Callable[[_Machine], Any]]] = {
    "POP": _Machine.pop,
    "TUPLE": lambda m: m.stack.append(tuple(m._to_mark())),
    "TUPLE1": lambda m: m.tuple_of(1),
    "TUPLE2": lambda m: m.tuple_of(2),
    "TUPLE3": lambda m: m.tuple_of(3),
    "SETITEM": lambda m: _pair(m),
    "SETITEMS": lambda m: m.set_items(m._to_mark()),
    "APPEND": lambda m: m.append([m.stack.pop()]),
    "APPENDS": lambda m: m.append(m._to_mark()),
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new_object,
    "BUILD": _Machine.build,
}


def _pair(machine: _Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.set_items([key, value])
