"""Sentences a model says, as inputs of its graphs."""

import json
from importlib import resources

import numpy as np
import pytest
import torch

from tests.toolkit.models.gpt_sovits.semantic_vectors import tiny_model
from toolkit.data.manifest import load_manifest
from toolkit.models.gpt_sovits.calibration import CALIBRATION, HELD_OUT, Prompt, SpokenSentences, calibration_phones
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.gpt_sovits.seeded import seeded_weights, small_config, write_sovits
from toolkit.models.gpt_sovits.semantic import load_semantic
from toolkit.models.gpt_sovits.semantic_config import SemanticConfig, semantic_shapes
from toolkit.models.gpt_sovits.semantic_graphs import SemanticBuckets, semantic_graphs
from toolkit.models.gpt_sovits.sovits_graphs import SovitsBuckets, random_style, sovits_graphs
from toolkit.text.front_end import phones_of

ROWS = 400


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return read_checkpoint(write_sovits(tmp_path_factory.mktemp("sovits") / "tiny.pth", small_config("v2Pro")))


@pytest.fixture(scope="module")
def speech(checkpoint):
    return SpokenSentences(tiny_model(), checkpoint, seed=3)


@pytest.fixture(scope="module")
def graphs():
    buckets = SemanticBuckets(prefill=((96, 64),), cache_rows=(ROWS,))
    return {graph.kind: graph for graph in semantic_graphs(tiny_model(), buckets)}


def test_the_phones_are_those_of_the_front_end_and_of_calibration_sentences_only():
    text = resources.files("toolkit.models.gpt_sovits").joinpath("calibration_phones.json").read_text(encoding="utf-8")
    rows = json.loads(text)
    known = {sentence.text for sentence in load_manifest().split("calibration")}
    for row in rows:
        assert row["text"] in known
        assert row["phones"] == phones_of(row["text"], "en", 732) == phones_of(row["text"], "en", 322)
    assert [found.tolist() for found in calibration_phones(732)] == [row["phones"] for row in rows]
    assert max(found.max() for found in calibration_phones(20)) < 20


def test_steps_stand_along_what_was_said_with_the_cache_it_leaves(speech, graphs):
    """The cache of a step equals the one that grew code by code."""
    model, graph = tiny_model(), graphs["t2s_step"]
    found = speech.calibration(graph)
    utterance = speech.utterances[0]
    text, config = utterance.phones.shape[1], model.config
    inputs = found[0]
    used = int((inputs["attention_bias"] == 0).sum())
    place = used - text  # codes before this one
    assert len(utterance.prompt) <= place < len(utterance.said)
    assert inputs["token"] == utterance.said[place]
    state = model.prefill(
        torch.from_numpy(utterance.phones).long(),
        torch.from_numpy(utterance.prompt[None]).long(),
        torch.from_numpy(utterance.bert),
    )
    for position in range(len(utterance.prompt), place):
        state = model.step(torch.tensor([[int(utterance.said[position])]]), position, state)
    for layer in range(config.layers):
        grown = state.keys[layer, 0].numpy().reshape(used, config.heads, -1).transpose(1, 2, 0)
        np.testing.assert_allclose(inputs[f"k_cache_{layer}"][..., :used], grown, atol=2e-5)
        assert not inputs[f"k_cache_{layer}"][..., used:].any()
    other = found[1]
    assert np.abs(other["k_cache_0"][..., :used] - inputs["k_cache_0"][..., :used]).max() > 1e-2
    assert len({int((each["attention_bias"] == 0).sum()) for each in found}) == len(found)


def test_every_graph_is_given_what_it_takes(checkpoint):
    speech = SpokenSentences(_tiny_of(checkpoint), checkpoint)
    buckets = SovitsBuckets(text=((60, 48),), flow=(60,), vocoder=(20,), vocoder_stream=(64,))
    for graph in sovits_graphs(checkpoint, buckets):
        found = (*speech.calibration(graph), *speech.held_out(graph))
        assert len(found) == CALIBRATION + HELD_OUT
        for inputs in found:
            assert {name: (array.shape, array.dtype.name) for name, array in inputs.items()} == {
                tensor.name: (tensor.shape, tensor.dtype) for tensor in graph.spec.inputs
            }
            assert all(np.isfinite(array).all() for array in inputs.values())
        graph.module(*(torch.from_numpy(found[0][tensor.name]) for tensor in graph.spec.inputs))


def test_held_out_sentences_are_others(speech, graphs):
    told = {graph: {i["token"].tobytes() + i["k_cache_0"].tobytes() for i in inputs} for graph, inputs in (
        ("calibration", speech.calibration(graphs["t2s_step"])), ("held out", speech.held_out(graphs["t2s_step"])),
    )}  # fmt: skip
    assert told["calibration"] and told["held out"] and not told["calibration"] & told["held out"]


def test_the_same_seed_says_the_same_and_the_voice_decides_the_prompt(checkpoint, speech, graphs):
    again = SpokenSentences(tiny_model(), checkpoint, seed=3)
    other = SpokenSentences(tiny_model(), checkpoint, seed=4)
    assert all(np.array_equal(a.codes, b.codes) for a, b in zip(speech.utterances, again.utterances, strict=True))
    assert not all(np.array_equal(a.codes, b.codes) for a, b in zip(speech.utterances, other.utterances, strict=True))
    bert = np.full((tiny_model().config.features, 7), 0.5, np.float32)
    prompt = Prompt(phones=np.arange(7, dtype=np.int32), codes=np.arange(20, dtype=np.int32), bert=bert)
    voiced = SpokenSentences(tiny_model(), checkpoint, prompt=prompt, voice=random_style(checkpoint), seed=3)
    said = voiced.utterances[0]
    assert said.prompt.tolist() == list(range(20)) and said.phones[0, :7].tolist() == list(range(7))
    assert (said.bert[0, :, :7] == 0.5).all()


def _tiny_of(checkpoint):
    """A transformer with as many codes as the small SoVITS knows."""
    config = SemanticConfig(width=32, heads=4, layers=1, inner=64, symbols=732, vocabulary=checkpoint.sovits.codes + 1)
    return load_semantic(seeded_weights(semantic_shapes(config)), heads=4)
