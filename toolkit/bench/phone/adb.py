"""The only module that runs adb. Every call has a deadline, and a failure says which step it was."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import BenchError

_GRACE_SECONDS = 5.0
_GONE = ("not found", "device offline", "no devices", "device still", "closed", "protocol fault", "transport")
_HINTS = {
    "unauthorized": "unlock the phone and allow USB debugging for this computer",
    "offline": "plug the cable in again, or run: adb reconnect",
    "no permissions": "add a udev rule for the phone, or start the adb server as a user who may use it",
    "recovery": "boot the phone into Android",
    "bootloader": "boot the phone into Android",
}


class DeviceGone(BenchError):
    """The phone is no longer reachable: unplugged, switched off, or adb's server died."""

    code = "bench/phone-gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command on the phone left.

    Attributes:
        code: its exit code.
        text: what it printed, standard error included.
    """

    code: int
    text: str


class Adb:
    """One phone behind one adb.

    Args:
        serial: adb's name of the phone.
        program: adb itself; found on PATH otherwise.

    Raises:
        BenchError: there is no adb.
    """

    def __init__(self, serial: str, program: Path | None = None) -> None:
        found = shutil.which(str(program) if program else "adb")
        if found is None:
            raise BenchError(
                f"no adb at {program}" if program else "adb is not installed, or not on PATH",
                code="bench/no-adb",
                hint="install it (Debian: apt install adb) or give --adb PATH",
            )
        self.serial = serial
        self._program = found

    def check(self) -> None:
        """Makes sure that the phone is there and may be used.

        Raises:
            BenchError: it is not, with what adb sees instead.
        """
        code, text = self._run(["-s", self.serial, "get-state"], 60.0, "asking adb for the phone")
        state = text.strip().splitlines()[-1].strip() if text.strip() else ""
        if code == 0 and state == "device":
            return
        words = next((word for word in _HINTS if word in text), "")
        raise BenchError(
            f"phone {self.serial!r} cannot be used: {state or 'adb said nothing'}",
            code="bench/phone-unusable",
            where=self._program,
            hint=_HINTS.get(words, f"adb sees {self._seen()}"),
        )

    def shell(self, command: str, step: str, timeout_seconds: float = 60.0) -> Answer:
        """Runs a command on the phone.

        Older phones do not hand on exit codes, and a cut cable looks like the end of the output. So the command's code
        is printed behind a word made up for this call: without the word, the output is not whole.

        Args:
            command: for the phone's shell.
            step: what it is for, in the words of an error.
            timeout_seconds: how long it may take.

        Raises:
            DeviceGone: the connection broke.
            BenchError: it took too long, or its output has no end.
        """
        word = f"toolkit-{secrets.token_hex(8)}"
        code, text = self._run(
            ["-s", self.serial, "shell", f"( {command}\n) 2>&1; echo {word}=$?"], timeout_seconds, step
        )
        text = text.replace("\r\n", "\n")
        end = re.search(rf"{word}=(\d+)\s*\Z", text)
        if end is None:
            if code != 0 and any(mark in text for mark in _GONE):
                raise self._gone(step, text)
            raise DeviceGone(
                f"the phone's answer broke off while {step}",
                where=self.serial,
                hint="was the phone unplugged, or did it run out of memory?",
            )
        return Answer(code=int(end[1]), text=text[: end.start()])

    def push(self, source: Path, target: str, timeout_seconds: float = 600.0) -> None:
        """Copies a file to the phone.

        Raises:
            DeviceGone: the connection broke.
            BenchError: the phone refused it, e.g. because it is full.
        """
        self._copy(["push", str(source), target], f"pushing {source.name}", timeout_seconds)

    def pull(self, source: str, target: Path, timeout_seconds: float = 120.0) -> None:
        """Copies a file from the phone.

        Raises:
            DeviceGone: the connection broke.
            BenchError: it is not there.
        """
        self._copy(["pull", source, str(target)], f"pulling {source.rpartition('/')[2]}", timeout_seconds)

    def _copy(self, arguments: list[str], step: str, timeout_seconds: float) -> None:
        code, text = self._run(["-s", self.serial, *arguments], timeout_seconds, step)
        if code == 0:
            return
        if "No space left" not in text and any(mark in text for mark in _GONE):
            raise self._gone(step, text)
        raise BenchError(
            f"{step} failed: {_last(text)}",
            code="bench/phone-copy",
            where=self.serial,
            hint="is there room in /data/local/tmp? adb shell df /data",
        )

    def _gone(self, step: str, text: str) -> DeviceGone:
        return DeviceGone(
            f"the phone went away while {step}: {_last(text)}", where=self.serial, hint="plug it in and run again"
        )

    def _seen(self) -> str:
        _, text = self._run(["devices", "-l"], 60.0, "listing phones")
        rows = [line.split() for line in text.splitlines() if "\t" in line or "  " in line]
        return ", ".join(f"{row[0]} ({row[1]})" for row in rows if len(row) > 1) or "no phone at all"

    def _run(self, arguments: list[str], timeout_seconds: float, step: str) -> tuple[int, str]:
        """Runs adb in a session of its own: Ctrl-C must not kill it before what it pushed is removed."""
        try:
            process = subprocess.Popen(
                [self._program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise BenchError(
                f"adb cannot be run: {error.strerror}", code="bench/no-adb", where=self._program, hint="give --adb PATH"
            ) from error
        try:
            output, _ = process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired as error:
            raise BenchError(
                f"{step} took more than {timeout_seconds:g} s",
                code="bench/phone-timeout",
                where=self.serial,
                hint="give --timeout SECONDS, or fewer --runs",
            ) from error
        finally:
            _end(process)
        text = output.decode("utf-8", "replace")
        lines = [line for line in text.splitlines(keepends=True) if not line.startswith("* daemon")]
        return process.returncode, "".join(lines)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends adb if it still runs; never the server, which has a session of its own."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "adb said nothing"
