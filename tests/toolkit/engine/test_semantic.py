"""The token loop in static buckets with a cache against the same model computed all at once."""

import json

import numpy as np
import pytest

from tests.toolkit.engine.toy_model import SYMBOLS, VOCABULARY, ToyGraph, toy_bundle, whole_logits
from toolkit.engine.bundle import read_bundle
from toolkit.engine.cache import cache_rows
from toolkit.engine.sampling import Sampler, SamplingSettings
from toolkit.engine.semantic import SemanticDecoder
from toolkit.errors import EngineError


def _decoder(tmp_path, **changes):
    bundle, made = toy_bundle(tmp_path, **changes), {}

    def graphs(fact):
        return made.setdefault(fact.name, ToyGraph(fact))

    return SemanticDecoder(bundle, graphs), made


def _expected(phones, prompt, settings, seed, limit, bert=None, steps_min=11):
    """The loop of upstream, written plainly."""
    sampler, said = Sampler(settings, np.random.default_rng(seed)), np.array(prompt, np.int32)
    for step in range(limit + 1):
        logits = whole_logits(phones, said, bert)
        token, likeliest = sampler.next(logits[:-1] if step < steps_min else logits, said)
        if VOCABULARY - 1 in (token, likeliest):
            return said[len(prompt) :], "stop"
        if step < limit:
            said = np.append(said, np.int32(token))
    return said[len(prompt) :], "limit"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "settings", [SamplingSettings(top_k=1), SamplingSettings(top_k=5, temperature=0.8)], ids=["greedy", "drawn"]
)
@pytest.mark.parametrize("write_mask", [True, False], ids=["blended", "beside"])
@pytest.mark.parametrize("stacked", [True, False], ids=["stacked", "by layer and head"])
def test_loop_equals_the_model_computed_whole(tmp_path, seed, settings, write_mask, stacked):
    generator = np.random.default_rng(seed)
    phones = generator.integers(0, SYMBOLS, generator.integers(1, 60)).astype(np.int32)
    prompt = generator.integers(0, VOCABULARY - 1, generator.integers(0, 30)).astype(np.int32)
    bert = generator.standard_normal((1024, len(phones))).astype(np.float32) if seed % 2 else None
    decoder, _ = _decoder(tmp_path, write_mask=write_mask, stacked=stacked)
    for _ in range(2):  # the second time the cache still holds the first sentence
        found = decoder.decode(phones, prompt, Sampler(settings, np.random.default_rng(seed)), bert=bert, limit=40)
        codes, stopped = _expected(phones, prompt, settings, seed, 40, bert)
        np.testing.assert_array_equal(found.codes, codes)
        assert found.stopped == stopped


@pytest.mark.parametrize("stacked", [True, False])
def test_cache_moves_to_a_longer_bucket_in_the_middle_of_a_sentence(tmp_path, stacked):
    settings, phones = SamplingSettings(top_k=8, temperature=2.0), np.arange(30, dtype=np.int32)
    for seed in range(40):
        codes, _ = _expected(phones, [1, 2, 3], settings, seed, 100)
        if len(codes) > 75:
            break
    decoder, made = _decoder(tmp_path, stacked=stacked)
    found = decoder.decode(
        phones, np.array([1, 2, 3], np.int32), Sampler(settings, np.random.default_rng(seed)), limit=100
    )
    np.testing.assert_array_equal(found.codes, codes)
    assert {"t2s_step_64", "t2s_step_96", "t2s_step_160"} <= set(made)


def test_stop_token_cannot_come_first_and_full_cache_is_a_limit(tmp_path):
    decoder, _ = _decoder(tmp_path, graphs=("t2s_prefill_64", "t2s_step_64"))
    phones, prompt = np.arange(30, dtype=np.int32), np.array([4], np.int32)
    settings = SamplingSettings(top_k=30, temperature=5.0)
    lengths = [
        len(decoder.decode(phones, prompt, Sampler(settings, np.random.default_rng(seed))).codes) for seed in range(8)
    ]
    assert min(lengths) >= 11
    assert max(lengths) <= 64 - 31 + 1


def test_no_code_is_dropped_when_the_limit_ends_the_sentence(tmp_path):
    decoder, _ = _decoder(tmp_path)
    phones, settings = np.arange(20, dtype=np.int32), SamplingSettings(top_k=1)
    whole = decoder.decode(phones, np.array([5, 6], np.int32), Sampler(settings, np.random.default_rng(0)), limit=8)
    part = decoder.decode(phones, np.array([5, 6], np.int32), Sampler(settings, np.random.default_rng(0)), limit=5)
    assert (len(whole.codes), len(part.codes), part.stopped) == (8, 5, "limit")
    np.testing.assert_array_equal(part.codes, whole.codes[:5])


@pytest.mark.parametrize(
    ("phones", "prompt", "code"),
    [
        ([SYMBOLS], [1], "engine/bad-ids"),
        ([-1], [1], "engine/bad-ids"),
        ([1], [VOCABULARY - 1], "engine/bad-ids"),
        ([], [1], "engine/nothing-to-say"),
        ([1] * 65, [1], "engine/too-long"),
        ([1], [1] * 65, "engine/too-long"),
    ],
)
def test_input_that_cannot_be_is_one_error(tmp_path, phones, prompt, code):
    decoder, _ = _decoder(tmp_path)
    with pytest.raises(EngineError) as caught:
        decoder.decode(
            np.array(phones, np.int32),
            np.array(prompt, np.int32),
            Sampler(SamplingSettings(), np.random.default_rng(0)),
        )
    assert caught.value.code == code


@pytest.mark.parametrize("told", [False, True], ids=["as the engine sees it", "as a file stores it"])
def test_a_cache_with_another_number_of_rows_than_its_bias_is_refused(tmp_path, told):
    path = toy_bundle(tmp_path, stacked=False).folder / "engine.json"
    facts = json.loads(path.read_text())
    for name, graph in facts["graphs"].items():
        for tensor, fact in graph["tensors"].items() if name.startswith("t2s_step") and told else ():
            if "cache" in tensor:
                heads, rows, width = fact["torch_shape"]
                fact["torch_shape"] = fact["expanded"] = [heads, width, rows]
    path.write_text(json.dumps(facts))
    bundle = read_bundle(tmp_path)

    def said():
        greedy, decoder = (
            Sampler(SamplingSettings(top_k=1), np.random.default_rng(0)),
            SemanticDecoder(bundle, ToyGraph),
        )
        return decoder.decode(np.arange(9, dtype=np.int32), np.array([4], np.int32), greedy, limit=3).codes

    if not told:
        assert len(said()) == 3 and cache_rows(bundle.of_kind("t2s_step")[0]) == 64
        return
    with pytest.raises(EngineError, match=r"k_cache_0 has 8 rows and attention_bias is over 64") as caught:
        said()
    assert caught.value.code == "engine/bundle"
