"""Imports of the optional judges: one clear error when they are absent, nothing left behind when they are odd."""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

from converters.errors import ExtraMissing

INSTALL = "make env; or pip install --no-deps --require-hashes -r requirements.lock"


def load_judge(name: str, what: str) -> types.ModuleType:
    """Imports an optional package.

    Args:
        name: module name.
        what: what it measures, for the message.

    Raises:
        ExtraMissing: it, or something it needs, is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"{what} needs package {name!r}, and {error.name!r} is not installed",
            code="environment/extra-missing",
            where="quality",
            hint=INSTALL,
        ) from error


@contextlib.contextmanager
def stub_torchaudio() -> Iterator[None]:
    """Makes ``import torchaudio`` give an empty stand-in for the length of an import, then restores what was there.

    DistillMOS imports torchaudio for its command line only, and torchaudio's wheels do not load beside CPU builds of
    this torch. The stand-in has the one symbol that is looked up, and it refuses to be used.
    """
    names = ("torchaudio", "torchaudio.transforms")
    before = {name: sys.modules.get(name) for name in names}

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("torchaudio is not available here; resample with toolkit.quality.resample")

    package, transforms = types.ModuleType(names[0]), types.ModuleType(names[1])
    transforms.__dict__["Resample"] = refuse
    package.__dict__["transforms"] = transforms
    sys.modules.update(dict(zip(names, (package, transforms), strict=True)))
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
