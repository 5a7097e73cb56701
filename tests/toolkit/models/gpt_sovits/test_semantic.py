"""The text-to-semantic model against upstream's own outputs; every comparison must see a model that is wrong."""

import numpy as np
import pytest
import torch

from converters.errors import InputError
from tests.toolkit.models.gpt_sovits.semantic_vectors import HEADS, given, tiny_model, tiny_weights, vectors
from toolkit.engine.positions import position_rows
from toolkit.engine.sampling import Sampler, SamplingSettings
from toolkit.models.gpt_sovits import semantic
from toolkit.models.gpt_sovits.semantic import load_semantic, position_table, prefill_blocked
from toolkit.models.gpt_sovits.semantic_config import semantic_config, semantic_shapes
from toolkit.models.gpt_sovits.semantic_loop import generate

TOLERANCE = 1e-4


def _near(name, found):
    expected = vectors()[name]
    found = found.numpy() if isinstance(found, torch.Tensor) else found
    assert found.shape == expected.shape, name
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE, err_msg=name)


@torch.inference_mode()
def _compare(model):
    phones, prompt, bert = given()
    text, codes = phones.shape[1], prompt.shape[1]
    _near("x", model.text_rows(phones, bert))
    _near("xy_pos", torch.cat([model.text_rows(phones, bert), model.code_rows(prompt)], 1))
    np.testing.assert_array_equal(prefill_blocked(text, codes).numpy(), vectors()["attn_mask_true_is_masked"])
    state = model.prefill(phones, prompt, bert)
    _near("hidden_prefill", state.hidden)
    _near("logits_prefill", state.logits)
    _near("k_prefill", state.keys)
    _near("v_prefill", state.values)
    rows, hidden, logits = [], [], []
    forced = torch.from_numpy(vectors()["forced_tokens"])
    for index, token in enumerate(forced):
        state = model.step(token.reshape(1, 1), codes + index, state)
        rows.append(model.code_rows(token.reshape(1, 1), codes + index)[0, 0])
        hidden.append(state.hidden[0, 0])
        logits.append(state.logits[0])
    _near("step_xy_pos", torch.stack(rows))
    _near("step_hidden", torch.stack(hidden))
    _near("step_logits", torch.stack(logits))
    _near("k_final", state.keys)
    _near("v_final", state.values)
    _near("logits_full_sequence", model.whole(phones, torch.cat([prompt, forced[None]], 1), bert)[codes:])


def test_model_equals_upstream_on_every_array():
    _compare(tiny_model())


def test_position_table_equals_upstreams_and_the_engines():
    _near("pe_table_head", position_table(0, 64, 64))
    np.testing.assert_allclose(position_table(7, 30, 64).numpy(), position_rows(7, 30, 64), atol=5e-6)


def _one_based(monkeypatch, model):
    table = semantic.position_table
    monkeypatch.setattr(semantic, "position_table", lambda first, count, width: table(first + 1, count, width))


def _causal_text(monkeypatch, model):
    monkeypatch.setattr(semantic, "prefill_blocked", lambda a, b: torch.ones(a + b, a + b).triu(1).bool())


def _text_sees_codes(monkeypatch, model):
    monkeypatch.setattr(semantic, "prefill_blocked", lambda a, b: torch.zeros(a + b, a + b, dtype=torch.bool))


def _other_heads(monkeypatch, model):
    for layer in model.h.layers:
        layer.self_attn.heads = 2 * HEADS


def _no_alpha(monkeypatch, model):
    model.ar_audio_position.alpha.data.fill_(1.0)


def _changed_weight(monkeypatch, model):
    """Upstream's copies would go on with the old tensor when a parameter is replaced."""
    layer = model.h.layers[1]
    layer.linear1.weight = torch.nn.Parameter(layer.linear1.weight * 1.01, requires_grad=False)


@pytest.mark.parametrize(
    "spoil", [_one_based, _causal_text, _text_sees_codes, _other_heads, _no_alpha, _changed_weight],
    ids=lambda spoil: spoil.__name__,
)  # fmt: skip
def test_comparison_sees_a_model_that_is_wrong(monkeypatch, spoil):
    model = tiny_model()
    spoil(monkeypatch, model)
    with pytest.raises(AssertionError):
        _compare(model)


def _greedy(penalty):
    return Sampler(SamplingSettings(top_k=1, repetition_penalty=penalty), np.random.default_rng(0))


@pytest.mark.parametrize("penalty", [1.0, 1.35])
def test_greedy_loop_equals_upstream(penalty):
    phones, prompt, bert = given()
    early_stop = int(vectors()["early_stop_num"])
    found = generate(tiny_model(), phones, prompt, _greedy(penalty), bert=bert, early_stop=early_stop)
    np.testing.assert_array_equal(found.sequence[None], vectors()[f"greedy_y_rp{penalty}"])
    assert found.index == int(vectors()[f"greedy_idx_rp{penalty}"])


def test_greedy_loop_without_prompt_equals_upstream():
    phones, _, bert = given()
    found = generate(tiny_model(), phones, None, _greedy(1.35), bert=bert, early_stop=60)
    np.testing.assert_array_equal(found.sequence[None], vectors()["greedy_noprompt_y"])
    assert found.index == int(vectors()["greedy_noprompt_idx"]) == 0
    assert not np.array_equal(
        generate(tiny_model(), phones, None, _greedy(1.0), bert=bert, early_stop=60).sequence, found.sequence
    )


def test_penalty_changes_the_sentence():
    """Else the comparisons above would say nothing about it."""
    assert not np.array_equal(vectors()["greedy_y_rp1.0"], vectors()["greedy_y_rp1.35"])


def _stopping_model():
    """A model whose last token is always by far the likeliest."""
    model = tiny_model()
    model.ar_predict_layer.weight.data[-1] = model.h.layers[-1].norm2.weight * 0
    model.h.layers[-1].norm2.bias.data += 3.0
    model.ar_predict_layer.weight.data[-1] += 1.0
    return model


def test_stop_token_cannot_come_in_the_first_steps_and_is_left_out():
    phones, prompt, _ = given()
    found = generate(_stopping_model(), phones, prompt, _greedy(1.0))
    assert (found.stopped, found.index, len(found.codes)) == (True, 11, 11)
    assert 1024 not in found.sequence
    np.testing.assert_array_equal(found.upstream_codes, found.codes)  # nothing is lost after a stop token


def test_upstream_drops_the_first_code_at_a_limit_and_we_do_not():
    phones, prompt, bert = given()
    found = generate(tiny_model(), phones, prompt, _greedy(1.35), bert=bert, early_stop=20)
    assert len(found.codes) == 21
    np.testing.assert_array_equal(found.upstream_codes, found.codes[1:])


def test_no_features_are_zero_features():
    phones, prompt, bert = given()
    model = tiny_model()
    left_out = model.prefill(phones, prompt)
    np.testing.assert_allclose(left_out.logits, model.prefill(phones, prompt, bert * 0).logits, atol=1e-5)


@pytest.mark.parametrize(("width", "heads", "layers", "inner"), [(32, 2, 3, 48), (48, 6, 1, 192)])
def test_sizes_are_read_from_the_tensors(width, heads, layers, inner):
    shapes = semantic_shapes(
        semantic.SemanticConfig(
            width=width, heads=heads, layers=layers, inner=inner, symbols=40, vocabulary=65, features=1024
        )
    )
    weights = {name: torch.full(shape, 0.01, dtype=torch.float16) for name, shape in shapes.items()}
    model = load_semantic(weights, heads=heads)
    assert set(model.state_dict()) == set(weights)
    assert (model.config.width, model.config.layers, model.config.inner) == (width, layers, inner)
    assert (model.config.symbols, model.config.vocabulary, model.config.stop_token) == (40, 65, 64)


@pytest.mark.parametrize(
    ("change", "heads", "says"),
    [
        ({}, None, "heads"),
        ({}, 7, "divide"),
        ({"h.layers.1.norm2.bias": None}, HEADS, "norm2.bias"),
        ({"bert_proj.weight": None}, HEADS, "bert_proj"),
        ({"h.layers.0.linear2.weight": torch.zeros(64, 255)}, HEADS, "linear2"),
        ({"ar_predict_layer.weight": torch.full((1025, 64), torch.nan)}, HEADS, "NaN"),
    ],
)
def test_weights_that_do_not_fit_are_one_clear_error(change, heads, says):
    weights = {k: v for k, v in (tiny_weights() | change).items() if v is not None}
    with pytest.raises(InputError, match=says):
        load_semantic(weights, heads=heads)
    if says not in ("NaN",):
        with pytest.raises(InputError):
            semantic_config(weights, heads=heads)
