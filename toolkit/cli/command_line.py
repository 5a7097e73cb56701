"""The command as it was given, for reports."""

from __future__ import annotations

import shlex
import sys


def command_line() -> str:
    """The words of this command, quoted for a shell."""
    return shlex.join(["toolkit", *sys.argv[1:]])
