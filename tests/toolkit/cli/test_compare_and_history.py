"""``toolkit compare`` and ``toolkit history`` from the outside, and the history in the report."""

import json

import pytest

from tests.toolkit.bench.phone.small_file import small_file
from tests.toolkit.history.made_results import latency, result, size
from toolkit.cli.app import outcome
from toolkit.pipeline.benchmark import FileBench
from toolkit.results import load, save


@pytest.fixture
def runs(tmp_path):
    for name, centre, day in (("a", 10.0, 1), ("b", 8.0, 2), ("c", 8.02, 3)):
        made = result(latency(centre, seed=day), run_id=name, started=f"2026-11-0{day}T10:00:00+00:00", size=size(9000))
        save(made, tmp_path / name / "results.json")
    return tmp_path


def test_compare_marks_only_what_differs_beyond_noise(runs, capsys):
    assert outcome(["compare", str(runs / "a"), str(runs / "b" / "results.json")]) == 0
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if "decoder, result, 2 thread(s)" in line]
    assert "better" in line and "[0.7" in line and "not paired" in text
    assert "1 of 3 quantities differ beyond noise" in text
    assert outcome(["compare", str(runs / "b"), str(runs / "c")]) == 0
    text = capsys.readouterr().out
    assert "better" not in text and "WORSE" not in text and "0 of 3" in text
    assert outcome(["compare", str(runs / "b"), str(runs / "a"), "--json"]) == 0  # worse, and still no failure
    found = json.loads(capsys.readouterr().out)
    assert (found["differences"][0]["verdict"], found["differences"][0]["significant"]) == ("worse", True)


def test_compare_says_beside_a_quantity_why_it_cannot_be_compared(runs, capsys):
    bad = load(runs / "b" / "results.json")
    why = ("second half 41% slower; at most 10%", "median known to 39% only")
    noisy = bad.latency[0].model_copy(update={"valid": False, "reasons": why})
    save(bad.model_copy(update={"latency": (noisy,)}), runs / "noisy" / "results.json")
    assert outcome(["compare", str(runs / "a"), str(runs / "noisy")]) == 0
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if "decoder, result, 2 thread(s)" in line]
    assert line.endswith("? not comparable: the second is INVALID: second half 41% slower (and 2 more)")
    assert "INVALID" not in text.replace(line, "") and "better" not in text


def test_compare_of_what_is_no_result_is_one_error(runs, capsys):
    (runs / "bad.json").write_text("{}")
    assert outcome(["compare", str(runs / "a"), str(runs / "bad.json")]) == 2
    assert "error[results/unreadable]" in capsys.readouterr().err
    assert outcome(["compare", str(runs / "a"), str(runs / "nowhere")]) == 2


def test_files_raced_by_bench_pair_in_compare(tmp_path, capsys):
    files = [small_file(tmp_path / f"{name}.tflite") for name in ("one", "two")]
    words = ["--threads", "1", "--runs", "5", "--out", str(tmp_path / "out")]
    assert outcome(["bench", *map(str, files), *words]) == 0
    folders = sorted(path for path in (tmp_path / "out").iterdir() if path.is_dir())
    assert [path.name for path in folders] == ["1-one", "2-two"]
    one, two = (load(path / "results.json").latency[0] for path in folders)
    assert one.race and one.race == two.race and len(one.samples_ms) == len(two.samples_ms)
    capsys.readouterr()
    assert outcome(["compare", *map(str, folders), "--json"]) == 0
    how = [d["how"] for d in json.loads(capsys.readouterr().out)["differences"] if d["kind"] == "latency"]
    assert "rounds of one race" in how[0] or "INVALID" in how[0]


def test_history_add_list_show_and_report(runs, capsys):
    database = ["--database", str(runs / "h.sqlite3")]
    assert outcome(["history", "add", str(runs / "a"), str(runs / "b"), *database]) == 0
    assert capsys.readouterr().out.count("added") == 2
    assert outcome(["history", "add", str(runs / "a"), *database]) == 0
    assert "unchanged" in capsys.readouterr().out
    assert outcome(["history", "list", "--json", *database]) == 0
    assert [entry["id"] for entry in json.loads(capsys.readouterr().out)] == ["a", "b"]
    assert outcome(["history", "list", *database]) == 0
    assert "2 result(s)" in capsys.readouterr().out
    assert outcome(["history", "show", "voice", *database]) == 0
    text = capsys.readouterr().out
    (line,) = [line for line in text.splitlines() if "latency p50" in line]
    assert "10.0" in line and "→" in line and "better" in line
    assert outcome(["history", "show", "voice", "--json", *database]) == 0
    trends = json.loads(capsys.readouterr().out)["trends"]
    assert {t["metric"]: t["last_change"] for t in trends}["latency p50, result, 2 threads"] == "better"
    assert outcome(["report", str(runs / "b"), "--history", str(runs / "h.sqlite3")]) == 0
    page = (runs / "b" / "index.html").read_text()
    section = page[page.index('id="history"') : page.index('id="warnings"')]
    assert "latency p50, result, 2 threads" in section and "+ better" in section and "spark" in section
    assert outcome(["report", str(runs / "b")]) == 0
    page = (runs / "b" / "index.html").read_text()
    assert "no history was given" in page[page.index('id="history"') :]


def test_history_errors(runs, capsys):
    assert outcome(["history", "list", "--database", str(runs / "none.sqlite3")]) == 2
    assert "error[history/none]" in capsys.readouterr().err
    (runs / "bad.json").write_text("{}")
    database = runs / "h.sqlite3"
    assert outcome(["history", "add", str(runs / "a"), str(runs / "bad.json"), "--database", str(database)]) == 2
    assert "error[results/unreadable]" in capsys.readouterr().err
    assert not database.exists()  # all runs are read before the first is added
    assert outcome(["report", str(runs / "a"), "--history", str(runs / "none.sqlite3")]) == 2
    assert "error[history/none]" in capsys.readouterr().err


def test_a_file_of_microseconds_is_not_shown_as_zero():
    made = latency(0.00175, seed=1)
    text = FileBench(latency=(made,), comparisons=(), memory=()).as_text()
    row = text.splitlines()[1]
    assert f"{made.stats.p50_ms:.3g}" in row and " 0.00 " not in row
