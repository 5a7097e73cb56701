"""Training data comes back as it was written, from either kind of source, and damage is one error."""

import numpy as np
import pytest

from tests.toolkit.train.small_semantic import small_corpus
from toolkit.data.semantic_corpus import load_corpus, save_corpus
from toolkit.errors import DataError
from toolkit.text.symbols import ids_of


def test_file_holds_every_number(tmp_path):
    save_corpus(small_corpus(), tmp_path / "a.npz")
    save_corpus(load_corpus(tmp_path / "a.npz"), tmp_path / "b.npz")
    assert load_corpus(tmp_path / "a.npz").sha256 == small_corpus().sha256
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_digest_sees_one_code(tmp_path):
    corpus = small_corpus()
    before, code = corpus.sha256, corpus.training[3].codes
    code[0] += 1
    assert corpus.sha256 != before
    code[0] -= 1


def _upstream(folder, codes="7 8 9"):
    names = [f"clip{n}.wav" for n in range(45)]
    said = "".join(f"{name}\tHH AH0 L OW1 .\t[1]\thello.\n" for name in names)
    (folder / "2-name2text.txt").write_text(said)
    (folder / "6-name2semantic.tsv").write_text("".join(f"{name}\t{codes}\n" for name in names))


def test_directory_upstream_prepares_is_read(tmp_path):
    _upstream(tmp_path)
    corpus = load_corpus(tmp_path, 732)
    assert (len(corpus.training), len(corpus.held_out)) == (42, 3)
    assert corpus.training[0].phones.tolist() == ids_of(["HH", "AH0", "L", "OW1", "."], 732)
    assert corpus.training[0].codes.tolist() == [7, 8, 9]


def _truncated(folder):
    save_corpus(small_corpus(), folder / "c.npz")
    (folder / "c.npz").write_bytes((folder / "c.npz").read_bytes()[:200])
    return folder / "c.npz"


def _wrong_lengths(folder):
    save_corpus(small_corpus(), folder / "c.npz")
    with np.load(folder / "c.npz") as stored:
        arrays = dict(stored)
    arrays["training_codes"] = arrays["training_codes"][:-1]
    np.savez(folder / "c.npz", **arrays)
    return folder / "c.npz"


def _wrong_durations(folder):
    save_corpus(small_corpus(), folder / "c.npz")
    with np.load(folder / "c.npz") as stored:
        arrays = dict(stored)
    arrays["training_durations_ms"] = np.full(len(arrays["training_phones"]) - 1, 40, np.int16)
    np.savez(folder / "c.npz", **arrays)
    return folder / "c.npz"


def _empty_directory(folder):
    _upstream(folder, codes="no numbers")
    return folder


@pytest.mark.parametrize(
    "damaged, code",
    [
        (lambda folder: folder / "absent.npz", "data/missing"),
        (_truncated, "data/damaged"),
        (_wrong_lengths, "data/damaged"),
        (_wrong_durations, "data/damaged"),
        (_empty_directory, "data/damaged"),
    ],
)
def test_damage_is_one_error(tmp_path, damaged, code):
    with pytest.raises(DataError) as caught:
        load_corpus(damaged(tmp_path))
    assert caught.value.code == code


def test_ids_another_model_has_are_refused():
    corpus = small_corpus()
    corpus.check(12, 16, "here")
    for symbols, stop in ((8, 16), (12, 9)):
        with pytest.raises(DataError) as caught:
            corpus.check(symbols, stop, "here")
        assert caught.value.code == "data/foreign-ids"
