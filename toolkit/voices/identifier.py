"""User ids: short, plain, the same on every file system and in every shell."""

from __future__ import annotations

import re

from toolkit.errors import VoiceError

# A letter or digit first (no "-option", no ".." and no hidden file), then what is safe everywhere.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def checked_id(user_id: str) -> str:
    """The id itself, when it is one.

    Raises:
        VoiceError: it is empty, longer than 64 characters, or holds anything but letters, digits, ``.``, ``_``, ``-``.
    """
    if not isinstance(user_id, str) or _ID.fullmatch(user_id) is None:
        raise VoiceError(
            f"not a user id: {str(user_id)[:80]!r}",
            code="voices/bad-id",
            where="user id",
            hint="1 to 64 of A-Z a-z 0-9 . _ - and a letter or digit first",
        )
    return user_id
