"""The history: idempotent, whole after kills, safe under parallel use, and clear about damage."""

import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.toolkit.history.made_results import latency, placement, result, size
from toolkit.errors import HistoryError
from toolkit.history.database import History, digest
from toolkit.history.judgement import judged
from toolkit.history.trends import up_to
from toolkit.results import Trend, TrendPoint

ROOT = Path(__file__).resolve().parents[3]


def run(number, centre=10.0, **more):
    return result(
        latency(centre, seed=number), run_id=f"r{number}", started=f"2026-11-{number:02d}T10:00:00+00:00", **more
    )


def test_same_result_is_added_once_even_with_other_formatting(tmp_path):
    with History(tmp_path / "h.sqlite3", create=True, now=lambda: datetime(2026, 11, 28, tzinfo=UTC)) as history:
        assert history.add(run(1)) == "added"
    with History(tmp_path / "h.sqlite3") as history:
        assert history.add(type(run(1)).model_validate_json(run(1).model_dump_json(by_alias=True))) == "unchanged"
        assert history.add(run(2)) == "added"
        assert [entry.id for entry in history.entries()] == ["r1", "r2"]
        assert history.entries()[0].added == "2026-11-28T00:00:00+00:00"
        assert history.read(digest(run(1))) == run(1)


def test_trends_follow_part_and_metric_and_keep_places_apart(tmp_path):
    with History(tmp_path / "h.sqlite3", create=True) as history:
        for number, centre in ((3, 12.0), (1, 10.0), (2, 10.2)):  # added out of order
            history.add(run(number, centre, size=size(1000 - number), delegation=(placement(5, 2),)))
        history.add(result(latency(5.0, where="host CPU: another"), run_id="r4", started="2026-11-09T10:00:00+00:00"))
        history.add(result(latency(1.0), model="other"))
        trends = {(t.part, t.metric, t.where): t for t in history.trends("voice")}
    time = trends["decoder", "latency p50, result, 2 threads", "host CPU: made up"]
    assert [p.run_id for p in time.points] == ["r1", "r2", "r3"]
    assert judged(time) == "worse" and judged(time, 1) == "same" and judged(time, 0) == "not known"
    assert len(trends["decoder", "latency p50, result, 2 threads", "host CPU: another"].points) == 1
    small = trends["whole", "size on disk", ""]
    assert [p.value for p in small.points] == [999, 998, 997] and judged(small) == "better"
    assert judged(trends["decoder", "partitions on nnapi", ""]) == "same"


def trend(*points, higher=False):
    made = [
        TrendPoint(run_sha256=str(i), run_id="r", started="", value=v, low=low, high=high, valid=ok)
        for i, (v, low, high, ok) in enumerate(points)
    ]
    return Trend(metric="m", part="p", unit="ms", higher_is_better=higher, points=tuple(made))


def test_nothing_is_said_without_interval_and_invalid_values_are_skipped():
    assert judged(trend((10, None, None, True), (20, None, None, True))) == "not known"
    assert judged(trend((10, 9, 11, True), (50, 40, 60, False), (10.1, 9, 11, True))) == "same"
    assert judged(trend((10, 9, 11, True), (20, 19, 21, False))) == "not known"
    assert judged(trend((10, 9, 11, True), (20, 19, 21, True), higher=True)) == "better"


def test_report_trends_end_with_the_result_which_need_not_be_stored(tmp_path):
    with History(tmp_path / "h.sqlite3", create=True) as history:
        history.add(run(1))
        history.add(run(9, 30.0))
        now = run(5, 12.0)
        (time,) = up_to(now, history)
        assert [p.run_id for p in time.points] == ["r1", "r5"]  # r9 was measured later
        history.add(now)
        assert up_to(now, history) == (time,)
        (alone,) = up_to(result(latency(1.0), model="unseen"), history)
        assert len(alone.points) == 1


def test_unknown_model_and_missing_file_say_what_there_is(tmp_path):
    with pytest.raises(HistoryError) as caught:
        History(tmp_path / "none.sqlite3")
    assert caught.value.code == "history/none" and not list(tmp_path.iterdir())
    with History(tmp_path / "h.sqlite3", create=True) as history:
        history.add(run(1))
        with pytest.raises(HistoryError) as caught:
            history.trends("vioce")
        assert caught.value.code == "history/unknown" and "voice" in caught.value.hint
        with pytest.raises(HistoryError) as caught:
            history.read("0" * 64)
        assert caught.value.code == "history/unknown"


def test_foreign_newer_and_damaged_files_are_refused_untouched(tmp_path):
    foreign = tmp_path / "foreign.sqlite3"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = foreign.read_bytes()
    newer = tmp_path / "newer.sqlite3"
    History(newer, create=True).__exit__(None, None, None)
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    noise = tmp_path / "noise.sqlite3"
    noise.write_bytes(b"x" * 5000)
    for path, code in ((foreign, "history/foreign"), (newer, "history/other-schema"), (noise, "history/damaged")):
        with pytest.raises(HistoryError) as caught:
            History(path, create=True)
        assert caught.value.code == code
    assert foreign.read_bytes() == before and noise.read_bytes() == b"x" * 5000


def test_altered_content_is_noticed(tmp_path):
    path = tmp_path / "h.sqlite3"
    with History(path, create=True) as history:
        history.add(run(1))
        history.add(run(2))
        connection = sqlite3.connect(path)
        other = connection.execute("SELECT content FROM run WHERE id = 'r2'").fetchone()[0]
        with connection:
            connection.execute("UPDATE run SET content = ? WHERE id = 'r1'", (other,))
        connection.close()
        with pytest.raises(HistoryError) as caught:
            history.read(digest(run(1)))
    assert caught.value.code == "history/damaged"


_HEAD = """
import sys
from pathlib import Path
from tests.toolkit.history.test_database import run
from toolkit.history.database import History
path, first = Path(sys.argv[1]), int(sys.argv[2])
"""
_WRITER = (
    _HEAD
    + """
for number in range(first, first + 6):
    with History(path, create=True) as history:
        history.add(run(number))
        history.add(run(1, 77.0))
"""
)
_KILLED = (
    _HEAD
    + """
import time
with History(path, create=True) as history, history._transaction():
    history._connection.execute("DELETE FROM run")
    print("inside", flush=True)
    time.sleep(600)
"""
)


def start(code, path, number):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(number)], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_parallel_writers_lose_nothing_even_while_creating_the_file(tmp_path):
    path = tmp_path / "h.sqlite3"
    writers = [start(_WRITER, path, first) for first in (2, 8, 14)]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 3
    with History(path) as history:
        assert len(history.entries()) == 18 + 1
        assert all(history.read(entry.sha256).run.id == entry.id for entry in history.entries())


def test_kill_inside_a_transaction_leaves_the_history_as_before(tmp_path):
    path = tmp_path / "h.sqlite3"
    with History(path, create=True) as history:
        history.add(run(1))
    killed = start(_KILLED, path, 1)
    assert killed.stdout.readline().strip() == "inside"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stdout.close()
    with History(path) as history:
        assert [entry.id for entry in history.entries()] == ["r1"]
        assert history.add(run(2)) == "added"


def test_full_disk_is_one_error_and_changes_nothing(tmp_path):
    path = tmp_path / "h.sqlite3"
    with History(path, create=True) as history:
        history.add(run(1))
        pages = history._connection.execute("PRAGMA page_count").fetchone()[0]
        history._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(HistoryError) as caught:
            history.add(result(*[latency(10.0, seed=n).model_copy(update={"part": f"p{n}"}) for n in range(60)]))
        assert caught.value.code == "output/disk-full"
        assert [entry.id for entry in history.entries()] == ["r1"]
