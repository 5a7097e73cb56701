"""A search as a user runs it, on a model of three convolutions."""

import json
import shutil

import pytest

pytest.importorskip("optuna", reason="optuna (extra `search`) is not installed")

from toolkit.cli.app import outcome
from toolkit.pipeline.sources import Request
from toolkit.recipe import load as recipes
from toolkit.search import job as search_job
from toolkit.search import run as search_run
from toolkit.search.intent import read_intent

MODEL = "tests.end_to_end.small_models:convolutions"
BENCH = ("--set", "bench.runs=1", "--set", "bench.warmup=0", "--set", "bench.min_seconds=0", "--set",
         "bench.threads=[1]")  # fmt: skip
ARGUMENTS = ("convert", MODEL, "--input", "x:1x4x24", "--device", "snapdragon-7-gen-3", "--quiet", *BENCH)


def _search(out, *limits):
    return outcome([*ARGUMENTS, *limits, "--out", str(out)])


def _found(out):
    return json.loads((out / "search.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A search that finds something."""
    out = tmp_path_factory.mktemp("search") / "out"
    # float32 takes 3856 bytes and is best; int8 and int16x8 take more, for they are tiny and bring scales along
    assert _search(out, "--max-size", "4kB", "--max-latency", "1ms") == 0
    return out


def test_best_version_is_an_ordinary_run_that_keeps_the_limits(done):
    found = _found(done)
    results = json.loads((done / "best/results.json").read_text())
    best = next(v for v in found["versions"] if v["number"] == found["best"])
    files = [path.stat().st_size for path in (done / "best/bundle").iterdir()]
    assert sum(files) == results["size"]["total_bytes"] == best["size_bytes"] <= 4000
    gates = {gate["id"]: gate["status"] for gate in results["gates"]}
    assert gates["total_bytes"] == gates["estimated_latency"] == gates["output_snr"] == "pass"
    assert results["latency"], "the best version is timed on the host"
    assert results["estimates"][-1]["estimated"] is True


def test_every_version_was_measured_and_estimated(done):
    found = _found(done)
    assert len(found["versions"]) == found["combinations"] == 5
    for version in found["versions"]:
        assert version["size_bytes"] > 0 and version["score"]["unit"] == "dB"
        assert version["latency"]["estimated"] is True and version["latency"]["device"].endswith("7 Gen 3")
        report = json.loads((done / f"versions/{version['number']:04d}/results.json").read_text())
        assert report["size"]["total_bytes"] == version["size_bytes"]
        assert "latency" in report["not_measured"]
    kept = {v["number"] for v in found["versions"] if v["size_bytes"] <= 4000}
    assert {v["number"] for v in found["versions"] if not v["violations"]} == kept


def test_float_hops_were_done_once(done):
    work = _found(done)["work"]
    assert (work["float made"], work["float reused"]) == (1, 5)  # five versions and the best one
    assert (work["shipped made"], work["shipped reused"]) == (5, 1)


def test_page_is_there_and_nothing_half_written(done):
    assert "✓ FOUND" in (done / "index.html").read_text(encoding="utf-8")
    names = sorted(path.name for path in done.iterdir())
    assert names == ["best", "index.html", "search.json", "search.sqlite3", "versions"]
    assert [path.name for path in done.parent.iterdir()] == ["out"]


def test_the_same_search_again_does_no_work(done, monkeypatch):
    def forbidden(*arguments, **named):
        raise AssertionError("a version was tried again")

    monkeypatch.setattr(search_run, "try_version", forbidden)
    monkeypatch.setattr(search_job, "run", forbidden)
    before = (done / "best/manifest.json").read_bytes()
    assert _search(done, "--max-size", "4kB", "--max-latency", "1ms") == 0
    assert (done / "best/manifest.json").read_bytes() == before
    assert _found(done)["best"]


def test_other_limits_in_the_same_place_are_refused(done, capfd):
    assert _search(done, "--max-size", "5kB", "--max-latency", "1ms") == 2
    assert "error[search/other-study]" in capfd.readouterr().err


def test_interrupted_search_goes_on_where_it_was(tmp_path, monkeypatch, capfd):
    out, tried = tmp_path / "out", []
    real = search_job.run

    def interrupted(*arguments, **named):
        if len(tried) == 2:
            raise KeyboardInterrupt
        tried.append(arguments[1])
        return real(*arguments, **named)

    monkeypatch.setattr(search_job, "run", interrupted)
    assert _search(out, "--max-size", "4kB") == 2
    assert "error[run/interrupted]" in capfd.readouterr().err
    assert not (out / "best").exists() and not (out / "index.html").exists()
    again = []
    monkeypatch.setattr(search_job, "run", lambda *a, **n: (again.append(a[1]), real(*a, **n))[1])
    assert _search(out, "--max-size", "4kB") == 0
    assert len(again) == 4  # three versions and the best one
    digests = [recipes.sha256(recipe) for recipe in (*tried, *again)]
    assert len(set(digests[:-1])) == 5 and digests[-1] in digests[:-1]


def test_nothing_fits(tmp_path, capfd):
    out = tmp_path / "out"
    arguments = ("--max-size", "3kB", "--trials", "2")
    assert _search(out, *arguments) == 1
    shown = capfd.readouterr().out
    assert "NOTHING FITS" in shown and "nearest miss" in shown
    assert "blocked by  Whole bundle on disk: no version keeps 3,000 bytes" in shown
    found = _found(out)
    assert found["best"] is None and found["nearest"] and found["blockers"]
    assert len(found["versions"]) == 2
    assert not (out / "best").exists()
    assert "NOTHING FITS" in (out / "index.html").read_text(encoding="utf-8")


def test_a_best_version_that_fails_in_full_is_not_returned(done, tmp_path, monkeypatch):
    """The twin of keeping the limits: what the full run finds outweighs what the search measured."""
    out = tmp_path / "out"
    shutil.copytree(done, out)
    shutil.rmtree(out / "best")
    real = search_job.run
    runs = []

    def failing(*arguments, **named):
        made = real(*arguments, **named)
        runs.append(made)
        gates = tuple(gate.model_copy(update={"status": "fail"}) for gate in made.result.gates)
        broken = made.result.model_copy(update={"gates": gates})
        return type(made)(result=broken, verdict="", passed=False, judged=made.judged)

    monkeypatch.setattr(search_job, "run", failing)
    request = Request(model=MODEL, inputs=("x:1x4x24",))
    intent = read_intent(None, {"device": "snapdragon-7-gen-3", "max_size": "4kB", "max_latency": "1ms"})
    changes = ("gates={output_snr_db_min: 20}", "delegate.name=nnapi", *BENCH[1::2])
    from toolkit.pipeline.events import Silent

    job = search_job.RequestJob(request=request, listener=Silent())
    found = search_run.search(job, recipes.load("any-model", changes), intent, out, Silent())
    assert not found.found and runs
    assert not (out / "best").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--max-size", "4kB", "--device", "toaster"), "device/unknown"),
        (("--max-size", "potatoes"), "search/intent"),
        (("--trials", "3"), "search/intent"),
        (("--intent", "absent.yaml"), "search/intent"),
        (("--max-size", "4kB", "--keep-keras"), "usage/invalid"),
    ],
)
def test_bad_wishes_are_one_error_and_leave_nothing(tmp_path, capfd, arguments, code):
    out = tmp_path / "out"
    assert _search(out, *arguments) == 2
    assert f"error[{code}]" in capfd.readouterr().err
    assert not out.exists()


def test_foreign_directory_is_left_alone(tmp_path, capfd):
    (tmp_path / "letter.txt").write_text("dear")
    assert _search(tmp_path, "--max-size", "4kB") == 2
    assert "error[output/exists]" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_half_a_gpt_sovits_model_that_is_not_there_is_refused(tmp_path, capfd):
    asked = ["convert", str(tmp_path / "a.ckpt"), "--device", "snapdragon-7-gen-3", "--max-size", "80MB"]
    assert outcome([*asked, "--out", str(tmp_path / "out")]) == 2
    assert "error[checkpoint/" in capfd.readouterr().err and not (tmp_path / "out").exists()


def test_unknown_device_of_a_pair_is_refused_before_any_work(capfd):
    assert outcome(["convert", "a.ckpt", "b.pth", "--device", "toaster"]) == 2
    assert "error[device/unknown]" in capfd.readouterr().err
