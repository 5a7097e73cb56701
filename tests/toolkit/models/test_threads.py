"""Inputs that choose ranges are computed by one thread, whatever the process has."""

import numpy as np
import pytest
import torch

from tests.toolkit.models.gpt_sovits.semantic_vectors import tiny_model
from toolkit.models.gpt_sovits.calibration import SpokenSentences
from toolkit.models.gpt_sovits.semantic_graphs import STEP, SemanticBuckets, semantic_graphs
from toolkit.models.seeded import seeded_voice
from toolkit.models.threads import threads_of
from toolkit.models.vits.probe import probe_inputs


@pytest.fixture
def seen(monkeypatch):
    """Threads at every linear layer and convolution that runs."""
    found = set()
    for kind in (torch.nn.Conv1d, torch.nn.Linear):
        whole = kind.forward

        def watched(self, value, whole=whole):
            found.add(torch.get_num_threads())
            return whole(self, value)

        monkeypatch.setattr(kind, "forward", watched)
    with threads_of(3):
        yield found


def test_threads_are_those_asked_for_and_come_back_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), threads_of(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_inputs_of_a_vits_voice(seen):
    inputs = probe_inputs(seeded_voice(0), "decoder", 256)
    assert seen == {1} and np.isfinite(inputs[0]["z"]).all()
    assert torch.get_num_threads() == 3


def test_inputs_of_gpt_sovits(seen):
    buckets = SemanticBuckets(prefill=((96, 64),), cache_rows=(400,))
    step = next(graph for graph in semantic_graphs(tiny_model(), buckets) if graph.kind == STEP)
    speech = SpokenSentences(tiny_model(), None)
    seen.clear()  # the graphs were tried when they were made
    assert speech.utterances and seen == {1}
    seen.clear()
    assert speech.calibration(step) and seen == {1}
    assert torch.get_num_threads() == 3


def test_the_watch_sees_other_threads(seen):
    torch.nn.Linear(2, 2)(torch.zeros(1, 2))
    assert seen == {3}
