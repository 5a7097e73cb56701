"""A child process that crashes, hangs or raises ends in an error with a code."""

import gc
import os
import signal
import time

import numpy as np
import pytest

from toolkit.bench.guard import guarded, seconds_for
from toolkit.engine.memory import available_bytes
from toolkit.errors import BenchError


def test_guarded_gives_back_what_the_work_returns():
    def work(ready):
        ready()
        return {"p50": 1.5}

    assert guarded(work, seconds=20, where="a.tflite") == {"p50": 1.5}


class EndsTheChild:
    """What a compiled model with two threads does where it is collected in a fork of the process that made it."""

    def __init__(self):
        self.itself, self.pid = self, os.getpid()

    def __del__(self):
        if os.getpid() != self.pid:
            os.kill(os.getpid(), signal.SIGSEGV)


def test_the_child_does_not_collect_what_the_parent_dropped():
    gc.disable()
    try:
        EndsTheChild()
        assert guarded(lambda ready: gc.collect() >= 0, seconds=20, where="")
    finally:
        gc.enable()


@pytest.mark.parametrize("end", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
@pytest.mark.parametrize("ready_first", [True, False])
def test_guarded_names_the_signal_that_ended_the_child(end, ready_first):
    def work(ready):
        if ready_first:
            ready()
        os.write(2, b"INFO: nothing to see\nERROR: tensor 7 is odd\n")
        os.kill(os.getpid(), end)

    with pytest.raises(BenchError, match=f"crashed .{end.name}.*: ERROR: tensor 7 is odd") as caught:
        guarded(work, seconds=20, where="a.tflite")
    assert caught.value.code == "bench/crashed" and caught.value.where == "a.tflite"


def test_guarded_stops_a_child_that_is_not_ready_in_time():
    before = time.monotonic()
    with pytest.raises(BenchError, match="longer than") as caught:
        guarded(lambda ready: time.sleep(600), seconds=0.2, where="a.tflite")
    assert caught.value.code == "bench/too-slow" and time.monotonic() - before < 60


def test_guarded_waits_as_long_as_it_takes_once_the_child_is_ready():
    def work(ready):
        ready()
        time.sleep(0.6)
        return 1

    assert guarded(work, seconds=0.5, where="") == 1


def test_guarded_hears_of_the_way_and_is_not_held_up_by_it():
    heard = []

    def work(parent):
        parent.tell(1, "first")
        parent()
        parent.tell(2, "second")
        return 7

    assert guarded(work, seconds=20, where="", on_news=lambda *news: heard.append(news)) == 7
    assert heard == [(1, "first"), (2, "second")]

    def talks(parent):
        for number in range(1000):
            parent.tell(number)
            time.sleep(0.05)

    with pytest.raises(BenchError, match="longer than"):
        guarded(talks, seconds=0.5, where="")


def test_guarded_passes_errors_on_with_their_code():
    def work(ready):
        raise BenchError("no such operator", code="bench/unloadable", hint="convert again")

    with pytest.raises(BenchError, match="no such operator") as caught:
        guarded(work, seconds=20, where="a.tflite")
    assert (caught.value.code, caught.value.where, caught.value.hint) == (
        "bench/unloadable",
        "a.tflite",
        "convert again",
    )


def test_guarded_refuses_more_memory_than_is_free():
    with pytest.raises(BenchError) as caught:
        guarded(lambda ready: np.ones(available_bytes() // 4), seconds=20, where="a.tflite")
    assert caught.value.code == "bench/too-large"


def test_seconds_for_grows_with_the_file():
    assert seconds_for(1000) == pytest.approx(6.0, abs=0.01) and seconds_for(30_000_000) == pytest.approx(9.0)
