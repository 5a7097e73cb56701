"""A directory on the phone that is gone afterwards, however the benchmark ends."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from toolkit.bench.phone.adb import Adb, Answer
from toolkit.errors import BenchError

ROOT = "/data/local/tmp"
_PREFIX = "toolkit-bench-"
_TRIES = 3
_CLEAN_SECONDS = 20.0


class Workspace:
    """A fresh directory under /data/local/tmp, and what runs in it. A context manager.

    On leaving it ends what still runs there and removes the directory, after success, failure, timeout and Ctrl-C
    alike. A phone that is gone is tried a few times; then the error says what may be left, and where.

    Args:
        adb: the phone.
        wait: sleeps between tries; replaced in tests.
    """

    def __init__(self, adb: Adb, wait: Callable[[float], None] = time.sleep) -> None:
        self._adb = adb
        self._wait = wait
        self.path = f"{ROOT}/{_PREFIX}{secrets.token_hex(8)}"

    def __enter__(self) -> Workspace:
        try:
            made = self._adb.shell(f"mkdir {self.path}", "making a directory on the phone")
            if made.code != 0:
                raise BenchError(
                    f"no directory can be made on the phone: {made.text.strip()}",
                    code="bench/phone-copy",
                    where=self.path,
                    hint="is /data/local/tmp writable and not full?",
                )
        except BaseException as error:
            self._leave(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(error)

    def others(self) -> tuple[str, ...]:
        """Directories of other sessions on the phone: running now, or left by one that could not clean up."""
        listed = self._adb.shell(f"ls -d {ROOT}/{_PREFIX}*", "looking for other sessions").text.split()
        own = self.path.rpartition("/")[2]
        return tuple(sorted(name for name in listed if _PREFIX in name and name.rpartition("/")[2] != own))

    def push(self, source: Path, name: str, *, executable: bool = False) -> str:
        """Copies a file there and checks that it arrived whole; returns its path on the phone.

        Raises:
            BenchError: it did not, or the phone is gone.
        """
        target = f"{self.path}/{name}"
        self._adb.push(source, target)
        path = shlex.quote(target)
        mode = f"chmod 700 {path} && " if executable else ""
        said = self._adb.shell(f"{mode}wc -c < {path}", f"checking {source.name} on the phone")
        size = said.text.strip()
        if said.code != 0 or size != str(source.stat().st_size):
            raise BenchError(
                f"{source.name} has {source.stat().st_size} bytes here; on the phone: {size or 'nothing'}",
                code="bench/phone-copy",
                where=target,
                hint="is the phone's storage full? adb shell df /data",
            )
        return target

    def run(self, arguments: list[str], step: str, timeout_seconds: float, environment: str = "") -> Answer:
        """Runs a program there. Its process id is kept on the phone, so that cleaning up can end it."""
        command = " ".join(shlex.quote(word) for word in arguments)
        pid = f"{self.path}/pid"
        return self._adb.shell(
            f"cd {self.path} || exit 1; {environment} {command} & echo $! > {pid}; wait $!; code=$?; rm -f {pid}; "
            "exit $code",
            step,
            timeout_seconds,
        )

    def pull(self, name: str, target: Path) -> bytes | None:
        """Content of a file written there, kept at ``target``; None when the program did not write it."""
        path = shlex.quote(f"{self.path}/{name}")
        if self._adb.shell(f"[ -s {path} ]", f"looking for {name}").code != 0:
            return None
        self._adb.pull(f"{self.path}/{name}", target)
        return target.read_bytes()

    def remove(self, name: str) -> None:
        """Removes a file there."""
        self._adb.shell(f"rm -f {shlex.quote(f'{self.path}/{name}')}", f"removing {name}")

    def _leave(self, error: BaseException | None) -> None:
        with _uninterrupted():
            problem = self._clean()
        if problem:
            because = f"; before that: {_summary(error)}" if error is not None else ""
            raise BenchError(
                f"the phone could not be cleaned up ({problem}){because}",
                code="bench/phone-not-clean",
                where=f"{self._adb.serial}:{self.path}",
                hint=f"benchmark_model may still run there and the directory may be left; when the phone is back: "
                f"adb -s {self._adb.serial} shell rm -rf {self.path}",
            ) from error

    def _clean(self) -> str:
        """Ends what runs, removes the directory, looks whether it is gone. Returns what went wrong, or nothing."""
        pid = f"{self.path}/pid"
        command = (
            f"[ -f {pid} ] && kill -9 $(cat {pid}); rm -rf {self.path}; if [ -e {self.path} ]; then exit 9; fi; exit 0"
        )
        problem = ""
        for attempt in range(_TRIES):
            if attempt:
                self._wait(1.0)
            try:
                answer = self._adb.shell(command, "cleaning up", _CLEAN_SECONDS)
            except BenchError as error:
                problem = error.message
                continue
            if answer.code == 0:
                return ""
            problem = answer.text.strip() or "the directory is still there"
        return problem


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Holds back Ctrl-C, SIGTERM and SIGHUP while the phone is cleaned; that takes a bounded time."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before = signal.signal(number, signal.SIG_IGN)
            stack.callback(signal.signal, number, before if before is not None else signal.SIG_DFL)
        yield


def _summary(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return error.message if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
