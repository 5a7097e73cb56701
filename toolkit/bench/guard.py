"""Runs a measurement in a child process, so that a file that crashes or hangs LiteRT ends in an error.

LiteRT trusts the files it is given: a damaged one can end the process, take all memory or never return. The child is
forked, so it starts at once; it may use the memory that is free and no more, and has to say within a time limit that
every file has run once.
"""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import resource
import signal
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from converters.errors import ToolError
from toolkit.engine.memory import available_bytes
from toolkit.errors import BenchError

T = TypeVar("T")
_SLOWEST_SHARE_BYTES_PER_SECOND = 10_000_000
_LEAST_SECONDS = 6.0
_SHARE_OF_FREE_MEMORY = 0.8
_CHATTER = ("INFO:", "WARNING:", "VERBOSE:")
_READY = "every file has run once"


def seconds_for(size_bytes: int) -> float:
    """How long loading and running files of this size once may take: 6 s, and 1 s more for every 10 MB."""
    return _LEAST_SECONDS + size_bytes / _SLOWEST_SHARE_BYTES_PER_SECOND


def guarded(work: Callable[[Callable[[], None]], T], *, seconds: float, where: str) -> T:
    """Result of ``work`` in a child process.

    Args:
        work: what to do; it is given a function to call once every file has run. The result is pickled.
        seconds: time until it must have called that function; there is no limit afterwards.
        where: the files, for messages.

    Raises:
        ToolError: what ``work`` raised, with its own code.
        BenchError: the child crashed (``bench/crashed``) or was not ready in time (``bench/too-slow``).
    """
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    with tempfile.TemporaryFile() as said:
        child = context.Process(target=_child, args=(work, receiving, sending, said.fileno()), daemon=True)
        child.start()
        sending.close()
        try:
            return _result(child, receiving, said, seconds, where)
        finally:
            child.kill()
            child.join()


def _child(work: Callable[[Callable[[], None]], Any], unused: Connection, answers: Connection, said: int) -> None:
    unused.close()
    faulthandler.disable()  # the parent says what ended the child
    os.dup2(said, 1)
    os.dup2(said, 2)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _address_space_bytes() + int(available_bytes() * _SHARE_OF_FREE_MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        answers.send(("result", work(lambda: answers.send((_READY, None)))))
    except ToolError as error:
        fields = {"message": error.message, "code": error.code, "where": error.where, "hint": error.hint}
        answers.send(("error", fields))
    except MemoryError:
        answers.send(("error", {"message": "the file needs more memory than is free", "code": "bench/too-large"}))


def _address_space_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def _result(child: Any, answers: Connection, said: Any, seconds: float, where: str) -> Any:
    if not answers.poll(seconds):
        raise BenchError(
            f"loading and running it once took longer than {seconds:.0f} s",
            code="bench/too-slow",
            where=where,
            hint="is it damaged? --patience SECONDS waits longer",
        )
    while True:
        try:
            kind, content = answers.recv()
        except EOFError:
            child.join()
            raise BenchError(
                f"LiteRT {_death(child.exitcode)} while loading or running it{_last_words(said)}",
                code="bench/crashed",
                where=where,
                hint="the file is damaged, or this runtime cannot run it; toolkit inspect shows what is in it",
            ) from None
        if kind == "result":
            return content
        if kind == "error":
            raise BenchError(content["message"], **{"where": where, **_known(content)})


def _known(fields: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in fields.items() if key != "message" and value}


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"crashed ({signal.Signals(-code).name})"
    return f"ended (exit code {code})"


def _last_words(said: Any) -> str:
    said.seek(0)
    lines = [line.strip() for line in said.read().decode("utf-8", "replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith(_CHATTER)]
    return f": {lines[-1][:200]}" if lines else ""
