"""The sampler against upstream's own results (vectors: upstream code on random logits)."""

from pathlib import Path

import numpy as np
import pytest

from toolkit.engine.positions import position_rows
from toolkit.engine.sampling import Sampler, SamplingSettings, draw, penalised, probabilities
from toolkit.errors import EngineError

VECTORS = np.load(Path(__file__).parent / "vectors" / "sampler.npz")


@pytest.mark.parametrize("case", [f"c{number}" for number in range(6)])
def test_sampler_equals_upstream(case):
    top_k, top_p, temperature, penalty = VECTORS[f"{case}_params_topk_topp_temp_rp"]
    settings = SamplingSettings(
        top_k=int(top_k), top_p=float(top_p), temperature=float(temperature), repetition_penalty=float(penalty)
    )
    logits = VECTORS[f"{case}_logits"][0]
    before = logits.copy()
    changed = penalised(logits, VECTORS[f"{case}_prev"][0], settings.repetition_penalty)
    np.testing.assert_array_equal(logits, before)
    np.testing.assert_allclose(changed, VECTORS[f"{case}_logits_after_inplace_penalty"][0], rtol=1e-6)
    chances = probabilities(changed, settings)
    np.testing.assert_allclose(chances, VECTORS[f"{case}_probs"][0], atol=1e-6)
    assert draw(chances, VECTORS[f"{case}_expnoise"][0]) == VECTORS[f"{case}_sample"].item()


def test_same_seed_draws_the_same_and_top_k_1_is_greedy():
    logits = np.random.default_rng(0).standard_normal(1025).astype(np.float32)
    said = np.arange(5, dtype=np.int32)
    drawn = [Sampler(SamplingSettings(), np.random.default_rng(4)).next(logits, said)[0] for _ in range(2)]
    assert drawn[0] == drawn[1]
    greedy = Sampler(SamplingSettings(top_k=1), np.random.default_rng(5))
    token, likeliest = greedy.next(logits, said)
    assert token == likeliest == int(np.argmax(penalised(logits, said, 1.35)))


def test_draws_follow_the_probabilities():
    logits = np.log(np.array([0.6, 0.3, 0.1], np.float32))
    sampler = Sampler(SamplingSettings(top_k=3, repetition_penalty=1.0), np.random.default_rng(0))
    counts = np.bincount([sampler.next(logits, np.empty(0, np.int32))[0] for _ in range(6000)], minlength=3) / 6000
    np.testing.assert_allclose(counts, [0.6, 0.3, 0.1], atol=0.02)


@pytest.mark.parametrize(
    "setting", [{"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.1}, {"temperature": -1.0}, {"temperature": float("nan")}]
)
def test_setting_out_of_range_is_refused(setting):
    with pytest.raises(EngineError) as caught:
        SamplingSettings(**setting)
    assert caught.value.code == "engine/bad-setting"


def test_positions_are_zero_based_interleaved_and_independent_of_where_they_start():
    rows = position_rows(0, 50, 16)
    np.testing.assert_array_equal(rows[0], np.tile([0.0, 1.0], 8))
    np.testing.assert_array_equal(position_rows(17, 5, 16), rows[17:22])
    assert rows[3, 0] == np.sin(np.float32(3))
    assert rows[3, 1] == np.cos(np.float32(3))
