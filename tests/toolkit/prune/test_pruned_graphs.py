"""A pruned model goes through the whole chain, and the engine says with it what torch says."""

import numpy as np
import pytest
import torch

from tests.toolkit.models.gpt_sovits.semantic_bundle import convert, write_bundle
from tests.toolkit.models.gpt_sovits.semantic_vectors import HEADS, given, tiny_model
from toolkit.engine.compiled import CompiledFile
from toolkit.engine.sampling import Sampler, SamplingSettings
from toolkit.engine.semantic import SemanticDecoder
from toolkit.models.gpt_sovits.semantic import load_semantic
from toolkit.models.gpt_sovits.semantic_graphs import SemanticBuckets
from toolkit.models.gpt_sovits.semantic_loop import generate
from toolkit.prune.groups import cut, semantic_groups

BUCKETS = SemanticBuckets(prefill=((24, 16),), cache_rows=(48,))
CODES = 16


def pruned_model(head=1):
    """The small model without one head a layer, and with 40 and 24 channels left."""
    model = tiny_model()
    keeps = {}
    for group in semantic_groups(model.config):
        if group.kind == "mlp":
            keeps[group] = torch.arange(40 if group.place.endswith("0") else 24)
        else:
            keeps[group] = torch.tensor([each for each in range(HEADS) if each != head])
    return load_semantic(cut(model.state_dict(), keeps), heads=HEADS - 1)


def _sampler():
    return Sampler(SamplingSettings(top_k=1), np.random.default_rng(0))


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    return convert(pruned_model(), BUCKETS, tmp_path_factory.mktemp("chain"), features=True)


def test_graphs_stay_near_torch_and_caches_hold_what_heads_are_left(converted):
    for item in converted.values():
        assert min(row.snr_db for row in item.float_part.parity) >= 100.0
    caches = {t.name: t.shape for t in converted["t2s_step_48"].graph.spec.inputs if "cache" in t.name}
    assert set(caches.values()) == {(HEADS - 1, 16, 48)}


def test_engine_says_what_torch_says_and_not_what_another_pruning_says(tmp_path, converted):
    model = pruned_model()
    alphas = [float(p.alpha) for p in (model.ar_text_position, model.ar_audio_position)]
    files = {n: (item.float_part.tflite, item.float_part.relayered.interface) for n, item in converted.items()}
    bundle = write_bundle(tmp_path, model.config, alphas, files)
    opened = {}

    def graphs(fact):
        if "file" not in opened:
            opened["file"] = CompiledFile(tmp_path / fact.file, threads=1)
        return opened.setdefault(fact.name, opened["file"].graph(fact))

    phones, prompt, features = given()
    found = SemanticDecoder(bundle, graphs).decode(
        phones[0].numpy().astype(np.int32), prompt[0].numpy().astype(np.int32), _sampler(),
        bert=features[0].numpy(), limit=CODES,
    ).codes  # fmt: skip
    said, other = (
        generate(each, phones, prompt, _sampler(), bert=features, steps_max=CODES).codes
        for each in (model, pruned_model(head=2))
    )
    np.testing.assert_array_equal(found, said)
    assert not np.array_equal(found, other)
