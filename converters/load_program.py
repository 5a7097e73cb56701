"""Reads a `torch.export` archive (.pt2) as the untrusted file it is.

`torch.export.load` falls back to unrestricted pickle for some entries, evaluates symbolic sizes as expressions and
resolves operator names by attribute look-up. A static program needs none of that, so an archive that asks for it is
refused before it is opened, and while it is opened `torch.load` reads weights only.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from converters import frameworks
from converters.errors import InputError

_OPERATORS = re.compile(
    r"^(torch\.ops\.(aten|prims)\.\w+(\.\w+)?|_operator\.(getitem|add|sub|mul|floordiv|truediv|neg|mod))$"
)
_MAX_JSON_BYTES = 256 * 2**20
_HINT = "save it with torch.export.save(torch.export.export(model.eval(), example_inputs), path), all shapes static"


def load_program(path: Path) -> Any:
    """Loads an `ExportedProgram`.

    Raises:
        InputError: the archive is damaged, of another kind, or asks for more than tensors and operators.
    """
    torch = frameworks.torch()
    _inspect(path)
    try:
        with warnings.catch_warnings(), _weights_only():
            warnings.simplefilter("ignore")
            return torch.export.load(path)
    except Exception as error:
        raise InputError(
            f"not a torch.export archive this torch reads: {_first_line(error)}", where=str(path), hint=_HINT
        ) from error


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def _inspect(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            documents = {
                m.filename: archive.read(m)
                for m in members
                if m.filename.endswith(".json") and m.file_size < _MAX_JSON_BYTES
            }
        parsed = {name: json.loads(data) for name, data in documents.items()}
    except (OSError, zipfile.BadZipFile, ValueError, EOFError, RuntimeError, struct.error) as error:
        raise InputError(f"not a readable archive: {_first_line(error)}", where=str(path), hint=_HINT) from error
    names = [m.filename for m in members]
    if not any(name.endswith("/archive_format") or name == "archive_format" for name in names):
        raise InputError("not a torch.export archive (no archive_format entry)", where=str(path), hint=_HINT)
    compiled = next((n for n in names if "/aotinductor/" in n or n.endswith(".so") or "custom_obj" in n), None)
    if compiled is not None:
        raise InputError(
            f"the archive carries compiled code or pickled objects ({compiled})", where=str(path), hint=_HINT
        )
    for name, document in parsed.items():
        for key, value in _walk(document):
            _check_entry(path, name, key, value)


def _walk(document: Any) -> Iterator[tuple[str, Any]]:
    """Every key of every nested object with its value."""
    stack = [document]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield from item.items()
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)


def _check_entry(path: Path, document: str, key: str, value: Any) -> None:
    where = f"{path}: {document}"
    if key == "use_pickle" and value:
        raise InputError("the archive stores tensors as pickles", where=where, hint=_HINT)
    if key == "expr_str" and value:
        raise InputError(f"the program has a dynamic size {str(value)[:60]!r}", where=where, hint=_HINT)
    if key == "target" and isinstance(value, str) and not _OPERATORS.match(value):
        raise InputError(f"the program calls {value[:80]!r}, which is no tensor operator", where=where, hint=_HINT)


@contextlib.contextmanager
def _weights_only() -> Iterator[None]:
    """`torch.load` restricted to tensors, whatever its caller asks for, and no other unpickling in the loader."""
    torch = frameworks.torch()
    package = frameworks.load("torch.export.pt2_archive._package")
    original_load, original_pickle = torch.load, package.pickle

    def load(*args: Any, **kwargs: Any) -> Any:
        return original_load(*args, **{**kwargs, "weights_only": True})

    class _NoPickle:
        PickleError = pickle.PickleError

        @staticmethod
        def loads(*_args: Any, **_kwargs: Any) -> Any:
            raise InputError("the archive stores pickled objects", hint=_HINT)

    torch.load, package.pickle = load, _NoPickle
    try:
        yield
    finally:
        torch.load, package.pickle = original_load, original_pickle
