"""Runs a measurement in a child process, so that a file that crashes or hangs LiteRT ends in an error.

LiteRT trusts the files it is given: a damaged one can end the process, take all memory or never return. The child is
forked, so it starts at once; it may use the memory that is free and no more, and has to say within a time limit that
every file has run once.
"""

from __future__ import annotations

import faulthandler
import gc
import multiprocessing
import os
import resource
import signal
import tempfile
import time
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
_NEWS = "on its way"


class Parent:
    """What the child may tell its parent; calling it says that every file has run once.

    Args:
        answers: where it is heard.
    """

    def __init__(self, answers: Connection) -> None:
        self._answers = answers

    def __call__(self) -> None:
        """Every file has run once: the time limit ends."""
        self._answers.send((_READY, None))

    def tell(self, *news: Any) -> None:
        """Hands something to ``on_news`` of the parent; the time limit goes on."""
        self._answers.send((_NEWS, news))


def seconds_for(size_bytes: int) -> float:
    """How long loading and running files of this size once may take: 6 s, and 1 s more for every 10 MB."""
    return _LEAST_SECONDS + size_bytes / _SLOWEST_SHARE_BYTES_PER_SECOND


def guarded(
    work: Callable[[Parent], T], *, seconds: float, where: str, on_news: Callable[..., None] = lambda *news: None
) -> T:
    """Result of ``work`` in a child process.

    Args:
        work: what to do; it is given what to call once every file has run. The result is pickled.
        seconds: time until it must have called that; there is no limit afterwards.
        where: the files, for messages.
        on_news: called with what the child tells on its way.

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
            return _result(child, receiving, said, seconds, where, on_news)
        finally:
            child.kill()
            child.join()


def _child(work: Callable[[Parent], Any], unused: Connection, answers: Connection, said: int) -> None:
    # A compiled model the parent has dropped and not collected: collected here, it joins threads that a fork does not
    # have, and the process ends (SIGSEGV, LiteRT 2.3.0 with two threads, every time).
    gc.freeze()
    unused.close()
    faulthandler.disable()  # the parent says what ended the child
    os.dup2(said, 1)
    os.dup2(said, 2)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _address_space_bytes() + int(available_bytes() * _SHARE_OF_FREE_MEMORY)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    try:
        answers.send(("result", work(Parent(answers))))
    except ToolError as error:
        fields = {"message": error.message, "code": error.code, "where": error.where, "hint": error.hint}
        answers.send(("error", fields))
    except MemoryError:
        answers.send(("error", {"message": "the file needs more memory than is free", "code": "bench/too-large"}))


def _address_space_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def _result(
    child: Any, answers: Connection, said: Any, seconds: float, where: str, on_news: Callable[..., None]
) -> Any:
    end: float | None = time.monotonic() + seconds
    while True:
        if end is not None and not answers.poll(max(0.0, end - time.monotonic())):
            raise BenchError(
                f"loading and running it once took longer than {seconds:.0f} s",
                code="bench/too-slow",
                where=where,
                hint="is it damaged? --patience SECONDS waits longer",
            )
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
        if kind == _READY:
            end = None
        if kind == _NEWS:
            on_news(*content)
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
