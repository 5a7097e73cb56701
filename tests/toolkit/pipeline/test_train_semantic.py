"""``train t2s-small`` in seconds, on a voice of random weights: whole, repeatable, resumable."""

from dataclasses import replace

import pytest

from toolkit.data.semantic_corpus import load_corpus
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.seeded import seeded_voice
from toolkit.pipeline.events import Silent
from toolkit.pipeline.gpt_sovits import semantic_model
from toolkit.pipeline.train_semantic import SmallModel, train_small_model
from toolkit.quality.semantic import judge_semantic

TINY = SmallModel(sentences=4, held_out=2, codes=12, width=16, layers=1, heads=2, steps=4, batch=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    pytest.importorskip("resemblyzer")
    out = tmp_path_factory.mktemp("train") / "small"
    return out, train_small_model(TINY, out, Silent(), voice=seeded_voice())


def test_run_holds_checkpoint_corpus_codebook_and_card(made):
    out, _ = made
    assert {p.name for p in out.iterdir()} == {
        "t2s_small.ckpt", "t2s_small.json", "corpus.npz", "codebook.npz", "README.md", "manifest.json"
    }  # fmt: skip
    assert [p.name for p in out.parent.iterdir()] == ["small"], "nothing is left behind"
    assert "random weights" in (out / "README.md").read_text() and "lessac" in (out / "README.md").read_text()


def test_checkpoint_is_an_ordinary_one_and_as_good_as_the_json_says(made):
    out, result = made
    found = read_checkpoint(out / "t2s_small.ckpt", "gpt")
    assert (found.version, found.dtype) == ("v2", "float16")
    again = judge_semantic(semantic_model(found), load_corpus(out / "corpus.npz").held_out)
    assert again.cross_entropy_nats == pytest.approx(result["quality"]["held_out"]["cross_entropy_nats"], abs=2e-3)
    assert again.predictions == result["quality"]["held_out"]["predictions"]


class _Stopping(Silent):
    def progress(self, stage, done, total, note):
        if stage == "training" and done == 3:
            raise KeyboardInterrupt


def test_same_command_gives_the_same_bytes_also_after_an_interruption(made, tmp_path):
    out, _ = made
    with pytest.raises(KeyboardInterrupt):
        train_small_model(TINY, tmp_path / "small", _Stopping(), voice=seeded_voice())
    assert not (tmp_path / "small").exists()
    train_small_model(TINY, tmp_path / "small", Silent(), voice=seeded_voice())
    for file in out.iterdir():
        assert file.read_bytes() == (tmp_path / "small" / file.name).read_bytes(), file.name


def test_another_seed_gives_other_weights(made, tmp_path):
    out, _ = made
    train_small_model(replace(TINY, seed=1), tmp_path / "other", Silent(), voice=seeded_voice())
    assert (tmp_path / "other" / "t2s_small.ckpt").read_bytes() != (out / "t2s_small.ckpt").read_bytes()
