"""What the engine needs to know about one speaker, and the fixed set of arrays it may consist of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from toolkit.errors import VoiceError

LANGUAGES = ("zh", "en", "ja", "ko", "yue")
MAX_ARRAY_BYTES = 32 << 20  # a minute of prompt with BERT features is 12 MB; anything near this is not a voice


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayRule:
    """What an array of a voice must look like.

    Attributes:
        dtype: what it is stored as.
        rank: number of axes.
        required: whether a voice without it is refused.
        meaning: for messages and ``toolkit voices show``.
    """

    dtype: str
    rank: int
    required: bool
    meaning: str


# The table is the extension point: an array of another name is refused.
RULES: Mapping[str, ArrayRule] = {
    "d_vector": ArrayRule(dtype="<f4", rank=1, required=False, meaning="speaker embedding [256], unit length"),
    "ge": ArrayRule(dtype="<f4", rank=3, required=True, meaning="style of the reference [1, gin, 1]"),
    "ge_text": ArrayRule(dtype="<f4", rank=3, required=False, meaning="style for the text encoder [1, 512, 1]"),
    "prompt_codes": ArrayRule(dtype="<i4", rank=1, required=True, meaning="semantic codes of the reference, 25 Hz"),
    "prompt_phones": ArrayRule(dtype="<i4", rank=1, required=True, meaning="phone ids of the reference's text"),
    "prompt_bert": ArrayRule(dtype="<f4", rank=2, required=False, meaning="text features [1024, prompt phones]"),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VoiceFeatures:
    """One speaker, as enrolment made it.

    Attributes:
        arrays: name to array; names, dtypes and ranks as ``RULES`` says, all finite.
        language: language of the reference's text, one of ``LANGUAGES``.
        model_sha256: digest of the checkpoint the features were made with; empty when unknown.
    """

    arrays: Mapping[str, np.ndarray] = field(repr=False)
    language: str
    model_sha256: str = ""

    @property
    def style_sha256(self) -> str:
        """Digest of ``ge`` alone: bundles with one voice folded into them name theirs by it."""
        return hashlib.sha256(self.arrays["ge"].tobytes()).hexdigest()

    @property
    def sha256(self) -> str:
        """Digest of all content: two enrolments with the same digest are the same voice."""
        digest = hashlib.sha256(f"{self.language}\n{self.model_sha256}\n".encode())
        for name in sorted(self.arrays):
            array = self.arrays[name]
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def checked_features(
    arrays: Mapping[str, np.ndarray], language: str, model_sha256: str = "", *, where: str = "voice features"
) -> VoiceFeatures:
    """Features whose every array is what ``RULES`` says, converted to its stored dtype.

    Raises:
        VoiceError: an array is missing, unknown, of another rank or kind, too large, or not finite.
    """
    if language not in LANGUAGES:
        raise _refused(f"language {language!r} is unknown", where, f"one of {', '.join(LANGUAGES)}")
    if model_sha256 and (len(model_sha256) != 64 or set(model_sha256) - set("0123456789abcdef")):
        raise _refused(f"model_sha256 is no digest: {model_sha256[:80]!r}", where, "64 lower-case hexadecimal digits")
    unknown = sorted(set(arrays) - set(RULES))
    if unknown:
        raise _refused(f"unknown array {unknown[0]!r}", where, f"known: {', '.join(RULES)}")
    missing = [name for name, rule in RULES.items() if rule.required and name not in arrays]
    if missing:
        raise _refused(f"array {missing[0]!r} is missing", where, RULES[missing[0]].meaning)
    checked = {name: _checked_array(name, np.asarray(arrays[name]), where) for name in sorted(arrays)}
    bert = checked.get("prompt_bert")
    if bert is not None and bert.shape[1] != len(checked["prompt_phones"]):
        raise _refused(
            f"prompt_bert covers {bert.shape[1]} phones, prompt_phones has {len(checked['prompt_phones'])}",
            where,
            "one column for each phone",
        )
    return VoiceFeatures(arrays=checked, language=language, model_sha256=model_sha256)


def _checked_array(name: str, array: np.ndarray, where: str) -> np.ndarray:
    rule = RULES[name]
    if array.ndim != rule.rank:
        raise _refused(f"{name} has shape {array.shape}", where, rule.meaning)
    if array.nbytes > MAX_ARRAY_BYTES:
        raise _refused(f"{name} has {array.nbytes:,} bytes", where, f"at most {MAX_ARRAY_BYTES:,}")
    wants_integers = rule.dtype == "<i4"
    if wants_integers != np.issubdtype(array.dtype, np.integer) or array.dtype.kind not in "iuf":
        raise _refused(f"{name} is {array.dtype}", where, rule.meaning)
    if wants_integers:
        if array.size and (array.min() < 0 or array.max() > np.iinfo(np.int32).max):
            raise _refused(f"{name} holds {array.min()}..{array.max()}", where, "ids are 0 or more")
    elif not np.isfinite(array).all():
        raise _refused(f"{name} holds a value that is not finite", where, "enrol again")
    return np.ascontiguousarray(array.astype(rule.dtype))


def _refused(message: str, where: str, hint: str) -> VoiceError:
    return VoiceError(message, code="voices/bad-features", where=where, hint=hint)
