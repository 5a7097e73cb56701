"""Lines say what begins, what it came to, and when."""

import pytest
from progress import Progress, duration


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (75.2, "1 min 15 s")])
def test_durations_are_in_minutes_and_seconds(seconds, text):
    assert duration(seconds) == text


def test_a_step_says_when_it_begins_and_what_it_came_to():
    lines, times = [], iter([0.0, 1.0, 1.0, 66.0, 66.0, 67.0])
    progress = Progress(lines.append, lambda: next(times))
    with progress.step("build") as step:
        step.result = "id"
    progress.fault("error", "no more")
    assert lines == ["  0:01  ..  build", "  1:06  ok  build: id (1 min 5 s)", "  1:07  error  no more"]
    assert step.seconds == 65.0


def test_a_step_that_raises_is_not_said_to_be_well():
    lines = []
    progress = Progress(lines.append)
    with pytest.raises(RuntimeError), progress.step("build"):
        raise RuntimeError
    assert [line.split()[1] for line in lines] == [".."]
