"""A search on a GPT checkpoint alone: students and fewer channels, judged by agreement with the model given."""

import json

import pytest

pytest.importorskip("optuna", reason="optuna (extra `search`) is not installed")

from tests.toolkit.train.small_semantic import written_on_one_thread
from toolkit.cli.app import outcome
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.gpt_sovits.semantic_file import write_semantic
from toolkit.pipeline.gpt_sovits import semantic_model
from toolkit.search import codes_job
from toolkit.search import run as search_run
from toolkit.train.small_semantic import untrained

LENGTHS = ("gpt_sovits.prefill=[[24, 8]]", "gpt_sovits.cache_rows=[48]", "gpt_sovits.text_features=false",
           "bench.threads=[1]", "bench.runs=1", "bench.warmup=0", "bench.min_seconds=0.0")  # fmt: skip
LONG = ("gpt_sovits.prefill=[[320, 8]]", "gpt_sovits.cache_rows=[512]", *LENGTHS[2:])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    model, data = written_on_one_thread(folder)
    given = read_checkpoint(model, "gpt")
    config = semantic_model(given).config
    write_semantic(folder / "bad.ckpt", untrained(config, 5), "a student that learned nothing", given.config)
    return model, data, folder


def _search(model, out, *words, lengths=LENGTHS):
    settings = [word for change in lengths for word in ("--set", change)]
    asked = ["convert", model, "--device", "snapdragon-7-gen-3", "--quiet", *settings, *words, "--out", out]
    return outcome([str(word) for word in asked])


def _found(out):
    return json.loads((out / "search.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def done(files, tmp_path_factory):
    model, data, folder = files
    out = tmp_path_factory.mktemp("search") / "out"
    words = ("--students", folder / "bad.ckpt", "--prune-ratios", "0,0.5", "--data", data, "--trials", "3")
    assert _search(model, out, "--max-size", "400kB", *words) == 0
    return out


def test_a_pruned_model_is_smaller_and_agrees_less_than_the_given_and_more_than_a_bad_student(done):
    found = _found(done)
    label = next(name for name in found["positions"]["student.model"] if name != "given")
    assert found["positions"]["channels.model"] == ["given", "50% out"]
    forms = {(v["chosen"]["student.model"], v["chosen"]["channels.model"]): v for v in found["versions"]}
    whole, bad, pruned = forms["given", "given"], forms[label, "given"], forms["given", "50% out"]
    assert pruned["size_bytes"] < whole["size_bytes"]
    assert {v["score"]["metric"] for v in found["versions"]} == {"code_agreement"}
    assert bad["score"]["value"] < 0.5 < pruned["score"]["value"] <= whole["score"]["value"] <= 1.0
    assert pruned["latency"]["estimated"] is True
    best = next(v for v in found["versions"] if v["number"] == found["best"])
    assert best["chosen"]["student.model"] == "given", "a student that is bad is not chosen"


def test_pruned_checkpoints_are_kept_by_content_and_load(done):
    (path,) = (done / "models").glob("t2s-pruned-*/pruned.ckpt")
    model = semantic_model(read_checkpoint(path, "gpt"))
    assert sum(model.config.inners) == 64
    assert any("training on the corpus in between" in note for note in _found(done)["notes"])
    page = (done / "index.html").read_text(encoding="utf-8")
    assert "50% out" in page and "✓ FOUND" in page and "same next code as the model given" in page


def test_the_same_search_again_does_no_work(done, files, monkeypatch):
    def forbidden(*arguments, **named):
        raise AssertionError("a version was made again")

    model, data, folder = files
    monkeypatch.setattr(search_run, "try_version", forbidden)
    monkeypatch.setattr(codes_job, "convert_codes", forbidden)
    words = ("--students", folder / "bad.ckpt", "--prune-ratios", "0,0.5", "--data", data, "--trials", "3")
    assert _search(model, done, "--max-size", "400kB", *words) == 0


def test_an_interrupted_search_goes_on_and_prunes_once(files, tmp_path, monkeypatch, capfd):
    """Without a corpus: one cut, nothing trained, and that is said."""
    model, _, _ = files
    out, real, tried = tmp_path / "out", codes_job.convert_codes, []

    def interrupted(*arguments, **named):
        if len(tried) == 1:
            raise KeyboardInterrupt
        tried.append(arguments[0])
        return real(*arguments, **named)

    monkeypatch.setattr(codes_job, "convert_codes", interrupted)
    words = ("--max-size", "1kB", "--prune-ratios", "0.25", "--trials", "4")
    assert _search(model, out, *words, lengths=LONG) == 2
    (cut,) = (out / "models").glob("t2s-cut-*/pruned.ckpt")
    before = cut.stat().st_mtime_ns
    monkeypatch.setattr(codes_job, "convert_codes", real)
    capfd.readouterr()
    assert _search(model, out, *words, lengths=LONG) == 1
    said = capfd.readouterr().out
    assert "NOTHING FITS" in said and "nearest miss" in said and "nothing was trained afterwards" in said
    assert cut.stat().st_mtime_ns == before
    assert sum(semantic_model(read_checkpoint(cut, "gpt")).config.inners) == 96
    plain = [v for v in _found(out)["versions"] if v["chosen"]["precision.transformer"] == "recipe"]
    scores = {v["chosen"]["channels.model"]: v["score"]["value"] for v in plain}
    assert scores["25% out"] < scores["given"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--students", "none.ckpt"), "checkpoint/"),
        (("--data", "none.npz"), "data/missing"),
        (("--prune-ratios", "1.5"), "search/intent"),
        (("--voice", "a.npz"), "usage/invalid"),
    ],
)
def test_bad_wishes_are_one_error_and_leave_nothing(files, tmp_path, capfd, words, code):
    assert _search(files[0], tmp_path / "out", "--max-size", "1MB", *words) == 2
    assert f"error[{code}" in capfd.readouterr().err and not (tmp_path / "out").exists()


def test_students_and_channels_of_a_pair_are_refused(tmp_path, capfd):
    for words in (("--students", "x.ckpt"), ("--prune-ratios", "0.5")):
        asked = ["convert", "a.ckpt", "b.pth", "--device", "snapdragon-7-gen-3", "--max-size", "80MB", *words]
        assert outcome([*asked, "--out", str(tmp_path / "out")]) == 2
        assert "GPT" in capfd.readouterr().err and not (tmp_path / "out").exists()
