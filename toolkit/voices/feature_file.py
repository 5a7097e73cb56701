"""Features as a ``.npz`` file: what enrolment elsewhere hands over, and what ``export`` writes.

One array per name of ``features.RULES``, and ``meta``: UTF-8 JSON as bytes, with ``language`` and ``model_sha256``
(an exported voice also carries its consent note and provenance there). The same voice gives the same bytes.
"""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import VoiceError
from toolkit.voices.features import MAX_ARRAY_BYTES, RULES, VoiceFeatures, checked_features

_META = "meta"
_MAX_META_BYTES = 1 << 20
_NPY_HEADER_BYTES = 1 << 16
# What zipfile and numpy raise at damaged or hostile bytes.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    EOFError,
    NotImplementedError,
    SyntaxError,
    RuntimeError,
    KeyError,
)


def read_features(path: Path, language: str = "") -> tuple[VoiceFeatures, dict[str, Any]]:
    """Reads features from an untrusted ``.npz``; nothing is unpickled and no member is larger than a voice can be.

    Args:
        path: the file.
        language: used where the file names none.

    Returns:
        The features and the file's ``meta``.

    Raises:
        VoiceError: the file is missing, damaged, no ``.npz``, or its arrays are not a voice's.
    """
    where = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, where)
            loaded = {info.filename[:-4]: _read_member(archive, info.filename) for info in archive.infolist()}
    except OSError as error:
        reason = error.strerror or str(error)
        raise VoiceError(reason, code="voices/bad-features", where=where, hint="give a .npz file") from error
    except _DAMAGE as error:
        raise VoiceError(
            f"not a readable .npz file: {error}", code="voices/bad-features", where=where, hint="write it again"
        ) from error
    meta = _meta(loaded.pop(_META, None), where)
    spoken = meta.get("language") or language
    return checked_features(loaded, str(spoken), str(meta.get("model_sha256", "")), where=where), meta


def write_features(path: Path, features: VoiceFeatures, meta: Mapping[str, Any]) -> None:
    """Writes the file whole or not at all: a temporary file beside it, flushed to disk, then renamed."""
    facts = {**meta, "language": features.language, "model_sha256": features.model_sha256}
    text = json.dumps(facts, ensure_ascii=False, sort_keys=True).encode("utf-8")
    content = io.BytesIO()
    # numpy dates every member 1980-01-01, so the bytes depend on the voice alone.
    np.savez(content, **features.arrays, **{_META: np.frombuffer(text, np.uint8)})
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:  # mkstemp made it readable by its owner only: it holds a voice
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _check_members(archive: zipfile.ZipFile, where: str) -> None:
    known = {f"{name}.npy" for name in (*RULES, _META)}
    names = [info.filename for info in archive.infolist()]
    if len(set(names)) != len(names):
        raise VoiceError(
            "an array is in the file twice", code="voices/bad-features", where=where, hint="write it again"
        )
    for info in archive.infolist():
        if info.filename not in known:
            raise VoiceError(
                f"unknown member {info.filename[:80]!r}",
                code="voices/bad-features",
                where=where,
                hint=f"known arrays: {', '.join(RULES)}",
            )
        limit = _MAX_META_BYTES if info.filename == f"{_META}.npy" else 2 * MAX_ARRAY_BYTES  # float64 is accepted
        if info.file_size > limit + _NPY_HEADER_BYTES:
            raise VoiceError(
                f"{info.filename} unpacks to {info.file_size:,} bytes",
                code="voices/bad-features",
                where=where,
                hint=f"at most {limit:,}",
            )


def _read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    content = archive.read(name)
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(stream)
    # numpy allocates what the header claims before it reads, so the claim is checked first.
    if dtype.hasobject or math.prod(shape) * dtype.itemsize > len(content):
        raise ValueError(f"{name} claims {shape} of {dtype}")
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _meta(array: np.ndarray | None, where: str) -> dict[str, Any]:
    if array is None:
        return {}
    try:
        meta = json.loads(array.astype(np.uint8).tobytes().decode("utf-8"))
    except (ValueError, TypeError) as error:
        raise VoiceError(
            f"meta is no JSON: {error}", code="voices/bad-features", where=where, hint="write it again"
        ) from error
    if not isinstance(meta, dict):
        raise VoiceError("meta is no JSON object", code="voices/bad-features", where=where, hint="write it again")
    return meta
