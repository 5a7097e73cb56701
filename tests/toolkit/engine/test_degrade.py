"""The ladder alone: when it moves, when it does not, and how it climbs back."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as some

from toolkit.engine.degrade import Ladder, Patience, Rung
from toolkit.errors import EngineError

RUNGS = (Rung(name="gpu", delegate="libgpu.so"), Rung(name="cpu"), Rung(name="light", light=True))
PATIENCE = Patience(window=4, misses=3, recovery=5, recovery_most=20)


def _told(ladder: Ladder, factors: list[float]) -> list[str]:
    moves = [ladder.observe(elapsed_seconds=factor, audio_seconds=1.0) for factor in factors]
    return [f"{move.before}>{move.after}:{move.cause}" for move in moves if move]


def test_stays_when_the_deadline_is_missed_now_and_then():
    ladder = Ladder(RUNGS[-1:], PATIENCE)
    assert _told(ladder, [1.5, 0.8, 1.5, 0.8, 0.8] * 10) == [] and not ladder.unmet
    assert _told(Ladder(RUNGS, PATIENCE), [1.5, 0.8, 1.5, 0.8, 0.8] * 10) == []


def test_goes_down_rung_by_rung_when_the_deadline_is_missed_several_times():
    ladder = Ladder(RUNGS, PATIENCE)
    assert _told(ladder, [1.5] * 3) == ["gpu>cpu:deadline"]
    assert _told(ladder, [1.5] * 3) == ["cpu>light:deadline"]
    assert _told(ladder, [1.5] * 30) == []
    assert ladder.rung.name == "light"
    assert ladder.unmet.startswith("light, and nothing lighter to fall to: 3 of the last")
    assert "3 of the last 3 chunks were slower than 1 x real time, the last one 1.50" in ladder.moves[0].reason


def test_climbs_after_sustained_headroom_only():
    ladder = Ladder(RUNGS, PATIENCE)
    _told(ladder, [1.5] * 3)
    assert _told(ladder, [0.4] * 4 + [0.7] + [0.4] * 4) == []
    assert _told(ladder, [0.4]) == ["cpu>gpu:headroom"]


def test_does_not_swing_when_the_upper_rung_keeps_failing():
    ladder = Ladder(RUNGS, PATIENCE)
    climbs, chunk = [], 0
    for chunk in range(400):
        slow = ladder.rung.name == "gpu"
        move = ladder.observe(elapsed_seconds=1.5 if slow else 0.3, audio_seconds=1.0)
        if move and move.cause == "headroom":
            climbs.append(chunk)
    gaps = [later - earlier for earlier, later in itertools.pairwise(climbs)]
    assert gaps[:2] == sorted(gaps[:2])
    assert gaps[-1] >= PATIENCE.recovery_most
    assert len(climbs) < 400 / PATIENCE.recovery_most + 4


def test_a_climb_that_held_restores_the_patience():
    ladder = Ladder(RUNGS, PATIENCE)
    _told(ladder, [1.5] * 3 + [0.3] * 5)  # down, up
    _told(ladder, [1.5] * 3 + [0.3] * 10)  # down in probation, up after twice as long
    assert ladder.rung.name == "gpu"
    _told(ladder, [0.3] * 4)  # probation over
    assert _told(ladder, [1.5] * 3 + [0.3] * 5) == ["gpu>cpu:deadline", "cpu>gpu:headroom"]


def test_delegate_that_cannot_load_is_never_climbed_to_again():
    ladder = Ladder(RUNGS, PATIENCE)
    assert ladder.failed("no such library", permanent=True).cause == "failure"
    assert _told(ladder, [0.1] * 100) == []
    assert ladder.rung.name == "cpu"


def test_short_memory_goes_down_at_once_and_holds_it_there():
    ladder = Ladder(RUNGS, PATIENCE)
    assert ladder.observe(elapsed_seconds=0.1, audio_seconds=1.0, memory_short=True).cause == "memory"
    for _ in range(50):
        ladder.observe(elapsed_seconds=0.1, audio_seconds=1.0, memory_short=True)
    assert ladder.rung.name == "light"
    assert _told(ladder, [0.1] * 5) == ["light>cpu:headroom"]


def test_failure_on_the_last_rung_is_final():
    ladder = Ladder(RUNGS[-1:], PATIENCE)
    assert ladder.failed("broken") is None


@given(some.lists(some.one_of(some.floats(0.01, 3.0), some.just("fail"), some.just("short")), max_size=200))
def test_every_history_keeps_the_ladder_on_a_rung_and_moves_by_neighbours(history):
    ladder = Ladder(RUNGS, PATIENCE)
    names = [rung.name for rung in RUNGS]
    for event in history:
        if event == "fail":
            ladder.failed("x")
        else:
            short = event == "short"
            ladder.observe(elapsed_seconds=0.1 if short else event, audio_seconds=1.0, memory_short=short)
    assert ladder.rung in RUNGS
    at = "gpu"
    for move in ladder.moves:
        assert move.before == at
        assert abs(names.index(move.after) - names.index(at)) == 1
        assert (names.index(move.after) < names.index(at)) == (move.cause == "headroom")
        at = move.after
    assert at == ladder.rung.name


@pytest.mark.parametrize(
    "setting", [{"headroom_factor": 1.0}, {"misses": 0}, {"misses": 9}, {"recovery": 0}, {"deadline_factor": 0.1}]
)
def test_patience_that_would_swing_is_refused(setting):
    with pytest.raises(EngineError):
        Patience(**setting)
