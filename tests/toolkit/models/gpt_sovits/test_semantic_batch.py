"""Sentences side by side give what each gives alone, and a mask that lets padding in is seen."""

import numpy as np
import pytest
import torch

from tests.toolkit.models.gpt_sovits.semantic_vectors import tiny_model
from toolkit.models.gpt_sovits.semantic_batch import Pair, SemanticBatch, batch_logits, batch_of

LENGTHS = ((5, 9), (12, 3), (7, 20))


def _pairs():
    draw = np.random.default_rng(0)
    return [
        Pair(phones=draw.integers(0, 732, n).astype(np.int32), codes=draw.integers(0, 1024, m).astype(np.int32))
        for n, m in LENGTHS
    ]


def _difference(batch: SemanticBatch) -> float:
    model = tiny_model()
    alone = [
        model.whole(torch.from_numpy(pair.phones[None]).long(), torch.from_numpy(pair.codes[None]).long())
        for pair in _pairs()
    ]
    with torch.inference_mode():
        return float((batch_logits(model, batch) - torch.cat(alone)).abs().max())


def test_batch_gives_what_each_sentence_gives_alone():
    batch = batch_of(_pairs(), 1024)
    assert _difference(batch) < 2e-5
    assert len(batch.predicted) == sum(m + 1 for _, m in LENGTHS)
    assert int((batch.predicted == 1024).sum()) == len(LENGTHS)


@pytest.mark.parametrize("row, column", [(0, 10), (0, 13)], ids=["padding of the text", "codes seen by the text"])
def test_comparison_sees_a_mask_that_lets_too_much_in(row, column):
    batch = batch_of(_pairs(), 1024)
    batch.blocked[0, 0, row:5, column] = False
    assert _difference(batch) > 1e-3


def test_dropout_changes_the_logits():
    batch, model = batch_of(_pairs(), 1024), tiny_model()
    assert not torch.equal(batch_logits(model, batch, 0.5), batch_logits(model, batch))
