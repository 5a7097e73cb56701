"""The phone's graphs in torch against the model, and against being wrong on purpose."""

import numpy as np
import pytest
import torch

from tests.toolkit.models.gpt_sovits.semantic_vectors import given, tiny_model
from toolkit.engine.buckets import bias, filled
from toolkit.engine.semantic import prefill_bias
from toolkit.models.gpt_sovits.semantic_graphs import SemanticBuckets, semantic_graphs
from toolkit.models.gpt_sovits.semantic_parts import StepPart

BUCKETS = SemanticBuckets(prefill=((24, 16),), cache_rows=(48,))


def _graphs(features=True):
    return {graph.kind: graph for graph in semantic_graphs(tiny_model(), BUCKETS, features=features)}


def _run(graph, feeds):
    with torch.inference_mode():
        return [out.numpy() for out in graph.module(*(torch.from_numpy(feeds[t.name]) for t in graph.spec.inputs))]


def _feeds(graph, phones, prompt, bert):
    """The probe's inputs with the vectors' sentence instead."""
    model, text, codes = tiny_model(), phones.shape[1], prompt.shape[1]
    positions = np.zeros((1, 40, 64), np.float32)
    positions[0, :text] = (model.text_rows(phones, bert) - model.ar_text_embedding(phones))[0] - model.bert_proj(
        bert.transpose(1, 2)
    )[0]
    positions[0, 24 : 24 + codes] = (model.code_rows(prompt) - model.ar_audio_embedding(prompt))[0]
    return {
        "phones": filled(phones.numpy().astype(np.int32), 24),
        "bert": filled(bert.numpy(), 24),
        "prompts": filled(prompt.numpy().astype(np.int32), 16),
        "attention_bias": prefill_bias(text, codes, 24, 40),
        "positions": positions,
        "last_row": (np.arange(40) == 24 + codes - 1).astype(np.float32)[None, None],
    }


def _prefill_difference(change=lambda feeds: None, features=True):
    phones, prompt, bert = given()
    bert = bert if features else bert * 0
    graph = _graphs(features)["t2s_prefill"]
    feeds = _feeds(graph, phones, prompt, bert)
    change(feeds)
    logits, keys, values = _run(graph, feeds)
    state = tiny_model().prefill(phones, prompt, bert if features else None)
    valid = np.r_[0:20, 24:36]
    pairs = (
        (logits, state.logits.numpy()),
        (keys[:, :, valid], state.keys.numpy()),
        (values[:, :, valid], state.values.numpy()),
    )
    assert all(ours.shape == theirs.shape for ours, theirs in pairs)
    return max(np.abs(ours - theirs).max() for ours, theirs in pairs)


@pytest.mark.parametrize("features", [True, False])
def test_prefill_equals_the_model(features):
    assert _prefill_difference(features=features) < 1e-4


def _unmasked(feeds):
    feeds["attention_bias"] *= 0


def _other_row(feeds):
    feeds["last_row"] = np.roll(feeds["last_row"], 1)


def _shifted(feeds):
    feeds["positions"] = np.roll(feeds["positions"], 1, axis=1)


@pytest.mark.parametrize("change", [_unmasked, _other_row, _shifted], ids=lambda change: change.__name__)
def test_prefill_comparison_sees_what_is_wrong(change):
    assert _prefill_difference(change) > 1e-2


def _step_difference(spoil=lambda part: None, rows_seen=32):
    phones, prompt, bert = given()
    model = tiny_model()
    part, state = StepPart(model), model.prefill(phones, prompt, bert)
    spoil(part)
    token, worst = torch.tensor([[77]]), 0.0
    position = (model.code_rows(token, 12) - model.ar_audio_embedding(token)).numpy()
    caches = {"k": [], "v": []}
    for layer in range(2):
        for name, cache in (("k", state.keys), ("v", state.values)):
            by_head = cache[layer, 0].numpy().reshape(32, 4, 16).transpose(1, 2, 0)
            padded = np.pad(by_head, ((0, 0), (0, 0), (0, 16)), constant_values=3.0)  # rows that must not count
            caches[name].append(padded)
    arrays = [token.numpy(), position, bias(rows_seen, 48), *caches["k"], *caches["v"]]
    with torch.inference_mode():
        logits, keys, values = part(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))
        after = model.step(token, 12, state)
    for ours, theirs in ((logits, after.logits), (keys, after.keys[:, :, -1:]), (values, after.values[:, :, -1:])):
        assert ours.shape == theirs.shape
        worst = max(worst, float((ours - theirs).abs().max()))
    return worst


def test_step_equals_the_model():
    assert _step_difference() < 1e-4


def test_step_comparison_sees_what_is_wrong():
    def changed(part):
        layer = part.h.layers[1].linear1
        layer.weight = torch.nn.Parameter(layer.weight * 1.05, requires_grad=False)  # the tensor is the model's

    assert _step_difference(changed) > 1e-3
    assert _step_difference(rows_seen=33) > 1e-2  # a row of padding that counts
    assert _step_difference(rows_seen=31) > 1e-3  # a token that is not seen


def test_probes_are_what_the_interface_says():
    for graph in semantic_graphs(tiny_model(), SemanticBuckets(prefill=((8, 4), (16, 8)), cache_rows=(16, 32))):
        for probe in graph.probes:
            assert {n: (a.shape, a.dtype.name) for n, a in probe.items()} == {
                t.name: (t.shape, t.dtype) for t in graph.spec.inputs
            }
            found = _run(graph, probe)
            assert [out.shape for out in found] == [t.shape for t in graph.spec.outputs]
            assert all(np.isfinite(out).all() for out in found)
