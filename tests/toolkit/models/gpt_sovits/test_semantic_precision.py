"""Token graphs in 8 bits as a whole, with rules for single layers, and trained."""

import hashlib
import re

import numpy as np
import pytest

from converters.keras_graph.run import keras_runner
from converters.tflite_graph.run import tflite_runner
from tests.toolkit.models.gpt_sovits.semantic_bundle import convert
from tests.toolkit.models.gpt_sovits.semantic_vectors import tiny_model
from toolkit.compress import finetune as training
from toolkit.compress.losses import output_matching
from toolkit.compress.run import compress_part
from toolkit.compress.unroundable import NORMS, SCORES, WHOLE_NUMBERS
from toolkit.errors import AuditError, RecipeError
from toolkit.models.gpt_sovits.semantic_graphs import SemanticBuckets, prefill_probe, step_probe
from toolkit.recipe.schema import Compression, Finetune, PrecisionPolicy

STEP, PREFILL = "t2s_step_48", "t2s_prefill_40"
SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    buckets = SemanticBuckets(prefill=((24, 16),), cache_rows=(48,))
    return convert(tiny_model(), buckets, tmp_path_factory.mktemp("chain"), features=True)


def _sentences(item, seed=0):
    probe = step_probe if item.graph.kind == "t2s_step" else prefill_probe
    return [probe(tiny_model(), item.graph.spec, share, seed + n) for n, share in enumerate(SHARES)]


def _policy(default, *rules):
    made = [{"match": match, "use": use, "because": "chosen by the test"} for match, use in rules]
    return PrecisionPolicy.model_validate({"default": default, "rules": made})


def _settings(steps, rate, **more):
    return Compression(equalise=False, finetune=Finetune(steps=steps, learning_rate=rate, **more))


def _loss(run, item, sentences):
    """Distance of a runner to the float graph on sentences nothing was trained on."""
    exact = keras_runner(item.float_part.relayered.model, item.float_part.relayered.interface)
    found = [(exact(s), run(s)) for s in sentences]
    terms = [output_matching([a[n] for n in a], [np.asarray(b[n], np.float32) for n in a]) for a, b in found]
    return float(np.mean(terms))


def _file_loss(made, item):
    return _loss(tflite_runner(made.tflite, made.relayered.interface), item, _sentences(item, seed=100))


@pytest.mark.parametrize("name", [STEP, PREFILL])
def test_a_whole_graph_is_int8_but_for_what_cannot_be(converted, name):
    item = converted[name]
    made = compress_part(item.float_part.relayered, _policy("int8"), _settings(0, 1e-4), _sentences(item))
    assert not made.audit.differences
    assert made.audit.float_macs_ratio == 0.0
    linears = [row for row in made.audit.rows if row.kind in ("FULLY_CONNECTED", "BATCH_MATMUL", "GATHER")]
    assert len(linears) >= 2 * 6 + 2 and {row.realised for row in linears} == {"int8"}
    reasons = {item.because for item in made.plan.layers if item.asked == "float32"}
    assert reasons == {WHOLE_NUMBERS, SCORES, NORMS}
    assert _file_loss(made, item) < 0.03


@pytest.mark.parametrize("name", [STEP, PREFILL])
def test_one_layer_of_the_stack_can_have_another_precision(converted, name):
    item = converted[name]
    rules = (("h.layers.0.*", "float16"), ("h.layers.1.linear?", "int8"), ("h.layers.1/Relu", "int8"))
    policy = _policy("int8-weights", *rules)
    made = compress_part(item.float_part.relayered, policy, _settings(0, 1e-4), _sentences(item))
    rows = [row for row in made.audit.rows if row.kind == "FULLY_CONNECTED"]

    def kinds(linear):
        """Precisions of the linear layers named so; a norm before one may have been merged into it."""
        return [row.realised for row in rows if re.search(linear, row.op)]

    assert kinds(r"h\.layers\.0\.(self_attn\.\w+_proj|linear\d)") == ["float16"] * 6
    assert kinds(r"h\.layers\.1\.self_attn\.\w+_proj") == ["int8-weights"] * 4
    assert kinds(r"h\.layers\.1\.linear\d") == ["int8"] * 2
    assert set(made.plan.matched["h.layers.0.*"]) > {"h.layers.0.linear1", "h.layers.0.self_attn.q_proj"}


def test_a_name_no_layer_has_is_an_error(converted):
    item = converted[STEP]
    with pytest.raises(RecipeError, match=r"h\.layers\.7") as caught:
        compress_part(item.float_part.relayered, _policy("int8", ("h.layers.7.*", "float16")), Compression(), [])
    assert caught.value.code == "recipe/rule-matches-nothing" and "h.layers." in caught.value.hint


def test_an_override_that_is_not_realised_stops_the_run(converted, monkeypatch):
    item = converted[STEP]
    monkeypatch.setattr("toolkit.compress.run.store_float16", lambda content, plan, relayered: content)
    with pytest.raises(AuditError, match=r"h\.layers\.0.*asked float16, is float32"):
        policy = _policy("int8-weights", ("h.layers.0.*", "float16"))
        compress_part(item.float_part.relayered, policy, _settings(0, 1e-4), _sentences(item))


@pytest.fixture
def from_afar(monkeypatch):
    """The student starts a tenth away from its teacher: a small model in 8 bits is else as near as it gets."""
    right = training.wrap

    def disturbed(*args, **kwargs):
        student = right(*args, **kwargs)
        draw = np.random.default_rng(0)
        for variable in training.learned_variables(student):
            if "kernel" in variable.name:
                variable.assign(variable * (1.0 + 0.1 * draw.standard_normal(variable.shape)))
        return student

    monkeypatch.setattr(training, "wrap", disturbed)


@pytest.mark.parametrize(("name", "default"), [(STEP, "int8-weights"), (PREFILL, "int8-weights"), (PREFILL, "int8")])
def test_training_brings_a_rounded_graph_nearer_to_its_float_form(converted, name, default, from_afar):
    item, steps = converted[name], 16
    told = []
    made = compress_part(
        item.float_part.relayered, _policy(default), _settings(steps, 3e-3), _sentences(item),
        on_progress=lambda stage, done, total, fact: told.append((stage, done, fact)),
    )  # fmt: skip
    assert made.tuned is not None and made.tuned.kept and not made.audit.differences
    before, after = made.tuned.held_out
    assert after < 0.9 * before
    assert np.mean(made.tuned.losses[-6:]) < np.mean(made.tuned.losses[:6])
    assert [done for stage, done, _ in told if stage == "finetune"] == [*range(1, steps + 1), steps]
    assert any(fact.startswith("held-out loss") and fact.endswith(", kept") for _, _, fact in told)


def test_a_gradient_that_points_uphill_is_caught(converted, monkeypatch):
    """The twin: the loss rises on what was held out, and the weights stay as they were."""
    item = converted[STEP]
    right = training._Trainer._add_slopes

    def uphill(self, batch):
        loss = right(self, batch)
        for total in self._sums:
            total.assign(-total)
        return loss

    monkeypatch.setattr(training._Trainer, "_add_slopes", uphill)
    settings = _settings(8, 1e-2, batch_size=1)
    made = compress_part(item.float_part.relayered, _policy("int8-weights"), settings, _sentences(item))
    assert made.tuned is not None and not made.tuned.kept
    assert made.tuned.held_out[1] > made.tuned.held_out[0]
    plain = compress_part(item.float_part.relayered, _policy("int8-weights"), _settings(0, 1e-2), _sentences(item))
    assert made.tflite == plain.tflite


def test_a_wrong_teacher_is_seen_in_the_file(converted, monkeypatch):
    """The twin: a teacher that says something else draws the file away from the float graph."""
    item = converted[STEP]
    right = compress_part(item.float_part.relayered, _policy("int8-weights"), _settings(16, 1e-2), _sentences(item))
    loss_of = training._Trainer._loss_of

    def louder(self, batch, training):
        teacher = self.teacher
        self.teacher = lambda inputs, training: [2.0 * value for value in teacher(inputs, training=training)]
        try:
            return loss_of(self, batch, training)
        finally:
            self.teacher = teacher

    monkeypatch.setattr(training._Trainer, "_loss_of", louder)
    wrong = compress_part(item.float_part.relayered, _policy("int8-weights"), _settings(16, 1e-2), _sentences(item))
    assert _file_loss(wrong, item) > 3 * _file_loss(right, item)


def test_training_goes_on_where_it_stopped_and_gives_the_same_bytes(converted, tmp_path):
    item = converted[STEP]
    arguments = (item.float_part.relayered, _policy("int8-weights"), _settings(6, 1e-3, checkpoint_every_steps=2))
    once = compress_part(*arguments, _sentences(item), seed=5)

    def stop(stage, done, total, fact):
        if stage == "finetune" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress_part(*arguments, _sentences(item), seed=5, checkpoint_dir=tmp_path, on_progress=stop)
    told = []
    resumed = compress_part(
        *arguments, _sentences(item), seed=5, checkpoint_dir=tmp_path, on_progress=lambda *event: told.append(event[:2])
    )
    assert [done for stage, done in told if stage == "finetune"] == [5, 6, 6]
    assert hashlib.sha256(resumed.tflite).digest() == hashlib.sha256(once.tflite).digest()
    # A checkpoint of other weights is not taken up.
    other = converted[PREFILL]
    told.clear()
    compress_part(
        other.float_part.relayered, *arguments[1:], _sentences(other), seed=5, checkpoint_dir=tmp_path,
        on_progress=lambda *event: told.append(event[:2]),
    )  # fmt: skip
    assert [done for stage, done in told if stage == "finetune"] == [1, 2, 3, 4, 5, 6, 6]


def test_fine_tuning_of_a_float_graph_is_refused(converted):
    item = converted[STEP]
    with pytest.raises(RecipeError) as caught:
        compress_part(item.float_part.relayered, _policy("float16"), _settings(4, 1e-3), _sentences(item))
    assert caught.value.code == "finetune/nothing-rounded"
