"""Text to the phonemes Piper's voices were trained on: espeak-ng's IPA, with the punctuation put back."""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata

from converters.errors import ExtraMissing, ForeignToolFailed

_CLAUSE = re.compile(r"([^,.;:!?]+)([,.;:!?]*)")


def espeak_phonemes(text: str, language: str = "en-us") -> str:
    """Phonemes of a text.

    espeak-ng drops punctuation, and Piper's voices pause and intone by it: each clause is given to espeak-ng by
    itself and its punctuation mark is put back, as Piper's own front end does.

    Args:
        text: one sentence.
        language: espeak voice.

    Raises:
        ExtraMissing: espeak-ng is not installed.
        ForeignToolFailed: espeak-ng refused.
    """
    program = shutil.which("espeak-ng")
    if program is None:
        raise ExtraMissing(
            "program 'espeak-ng' is not installed",
            code="environment/espeak-missing",
            where="text to phonemes",
            hint="apt-get install espeak-ng (the committed sentences carry their phonemes and need it not)",
        )
    clauses: list[str] = []
    for words, marks in _CLAUSE.findall(text):
        if not words.strip():
            continue
        run = subprocess.run(
            [program, "-q", "-v", language, "--ipa", "--", words.strip()], capture_output=True, text=True, check=False
        )
        if run.returncode != 0:
            raise ForeignToolFailed(
                f"espeak-ng stopped with code {run.returncode}: {run.stderr.strip()[-200:]}",
                where=words.strip(),
                hint=f"check that espeak-ng knows the language {language!r}",
            )
        spoken = " ".join(run.stdout.split())
        clauses.append(spoken + marks[:1])
    return unicodedata.normalize("NFD", " ".join(clauses))
