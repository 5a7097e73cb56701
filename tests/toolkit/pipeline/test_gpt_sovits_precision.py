"""The precisions of a bundle's graphs: when sentences are needed, what is compared, whose weights a length has."""

from types import SimpleNamespace

import numpy as np
import pytest

from converters import frameworks
from converters.keras_graph.run import keras_runner
from converters.keras_to_tflite import to_tflite
from tests.toolkit.compress.small_parts import inputs, residual_part
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.gpt_sovits_precision import (
    GraphPrecision,
    fidelity,
    needs_sentences,
    same_choices,
    with_weights,
)
from toolkit.recipe.load import load
from toolkit.recipe.schema import Part, Recipe

RATE = 1e-3


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        ({"precision": {"default": "int8-weights"}}, False),
        ({"precision": {"default": "float16"}}, False),
        ({"precision": {"default": "int8"}}, True),
        ({"precision": {"rules": [{"match": "a", "use": "int16x8", "because": "for a test"}]}}, True),
        ({"precision": {"default": "int8-weights"}, "compress": {"finetune": {"steps": 1}}}, True),
        ({"compress": {"sparsity": {"steps": 1}}}, True),
    ],
)
def test_sentences_are_said_only_where_they_are_needed(settings, needed):
    assert needs_sentences(Part.model_validate(settings)) is needed


def test_another_length_takes_the_weights_but_not_what_holds_its_own_length():
    def part(frames, seed):
        made = residual_part(seed=seed, frames=frames)
        from converters.keras_graph.layers import ConstantMath

        held = ConstantMath("add", (1, 1, frames, 1), name="dec/Position")(made.model.output)
        model = frameworks.tf_keras().Model(made.model.input, held)
        model.get_layer("dec/Position").set_weights([np.full((1, 1, frames, 1), seed, np.float32)])
        return SimpleNamespace(model=model), made

    (short, _), (long, whole) = part(8, 1), part(16, 2)
    from dataclasses import replace

    found = with_weights(replace(whole, model=long.model), replace(whole, model=short.model)).model
    for layer in short.model.layers:
        if layer.name != "dec/Position":
            for mine, theirs in zip(found.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True):
                np.testing.assert_array_equal(mine, theirs)
    assert (found.get_layer("dec/Position").get_weights()[0] == 2).all()


def test_fidelity_counts_choices_and_sees_a_wrong_file():
    part = residual_part()
    part = SimpleNamespace(tflite=to_tflite(part.model, part.interface), relayered=part)
    run = keras_runner(part.relayered.model, part.relayered.interface)
    samples = inputs(5)
    right = fidelity(part, [(s, run(s)) for s in samples], "five inputs")
    assert right.snr_db["audio"] > 100 and right.same_choice is None and right.inputs == "five inputs"
    wrong = fidelity(part, [(s, {"audio": 1.1 * run(s)["audio"]}) for s in samples], "five inputs")
    assert 20 < wrong.snr_db["audio"] < 22


class _Graph(SimpleNamespace):
    """One length of a graph: what `GraphPrecision` reads of it."""


class _Speech:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def calibration(self, graph):
        self.asked.append(graph.name)
        return tuple(inputs(9))

    def held_out(self, graph):
        yield from inputs(2, seed=50)


def _given(tmp_path, monkeypatch, **compress):
    part = residual_part()
    exact = keras_runner(part.model, part.interface)
    monkeypatch.setattr("toolkit.pipeline.gpt_sovits_precision.reference_runner", lambda source: exact)
    floats = SimpleNamespace(
        relayered=part, tflite=to_tflite(part.model, part.interface), source=SimpleNamespace(key="dec@16"), reference=()
    )
    recipe = Recipe.model_validate(
        {"schema": 1, "name": "x", "parts": {"dec": {"precision": {"default": "int8"}, "compress": compress}}}
    )
    told = []

    class Listener(Silent):
        def progress(self, stage, done, total, note):
            told.append((stage, done, total, note.split()[0]))

    clock = StageClock(Listener())
    precision = GraphPrecision(recipe, _Speech(), clock, tmp_path)
    graphs = [_Graph(name=name, kind="dec", probes=()) for name in ("dec_16", "dec_16_again")]
    return precision, graphs, floats, clock, told


def test_a_second_length_is_not_trained_again(tmp_path, monkeypatch):
    settings = {"equalise": False, "finetune": {"steps": 4, "learning_rate": RATE, "checkpoint_every_steps": 2}}
    precision, graphs, floats, clock, told = _given(tmp_path, monkeypatch, **settings)
    (first, lost), (second, _) = (precision.give(graph, floats) for graph in graphs)
    assert first.tuned is not None and second.tuned is None
    assert (tmp_path / "dec_16" / "finetune.npz").exists() and not (tmp_path / "dec_16_again").exists()
    assert ("dec@16: precision", 4, 4, "finetune") in told
    assert lost.inputs == "held-out sentences" and lost.snr_db["audio"] > 10
    assert "held-out loss" in clock.records[0].fact


def test_a_second_length_has_the_weights_the_first_was_given(tmp_path, monkeypatch):
    settings = {"equalise": False, "sparsity": {"target_ratio": 0.5, "steps": 4}}
    precision, graphs, floats, _, _ = _given(tmp_path, monkeypatch, **settings)
    first, second = (precision.give(graph, floats)[0] for graph in graphs)
    assert first.sparse is not None and second.sparse is None
    kernels = [made.relayered.model.get_layer("dec.conv_pre/Conv").get_weights()[0] for made in (first, second)]
    assert (kernels[0] == 0).mean() >= 0.5
    np.testing.assert_array_equal(*kernels)


def test_lengths_with_scales_of_their_own_are_trained_by_themselves(tmp_path, monkeypatch):
    settings = {"equalise": True, "finetune": {"steps": 1, "learning_rate": RATE, "segment_frames": 8}}
    precision, graphs, floats, _, _ = _given(tmp_path, monkeypatch, **settings)
    first, second = (precision.give(graph, floats)[0] for graph in graphs)
    assert first.tuned is not None and second.tuned is not None


def test_the_built_in_recipe_asks_for_integers_everywhere_but_in_the_flow():
    recipe = load("gpt-sovits-int8")
    for kind in ("t2s_prefill", "t2s_step", "text_encoder", "vocoder_stream"):
        assert "int8" in {rule.use for rule in recipe.part(kind).precision.rules}, kind
    assert {recipe.part("flow").precision.default, *(r.use for r in recipe.part("flow").precision.rules)} == {"float16"}


def test_choices_are_counted_frame_by_frame_and_padding_is_not():
    expected = np.random.default_rng(0).standard_normal((1, 5, 7)).astype(np.float32)
    expected[:, :, 5:] = 0.0  # what a mask leaves
    found = expected + np.float32(1e-3)
    assert same_choices(expected, found).tolist() == [True] * 5
    found[0, :, 2] *= -1
    assert same_choices(expected, found).tolist() == [True, True, False, True, True]
    assert same_choices(expected[:, :, 0], found[:, :, 0]).tolist() == [True]
