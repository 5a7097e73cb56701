"""What an int8 part keeps in float, on a small attention."""

from typing import Any

import numpy as np
import pytest

from converters import frameworks
from converters.keras_graph.relayer import RelayeredModel
from converters.keras_graph.run import keras_runner
from converters.spec import Interface, Layout, PartSpec, TensorSpec
from converters.tflite_graph.run import tflite_runner
from toolkit.compress import precision
from toolkit.compress.precision import plan_precision
from toolkit.compress.run import compress_part
from toolkit.compress.unroundable import NORMS, QUOTIENTS, SCORES, WHOLE_NUMBERS
from toolkit.errors import AuditError
from toolkit.recipe.schema import Compression, PrecisionPolicy

ROWS, WIDTH = 6, 8


def attention_part() -> RelayeredModel:
    """Ids, a table, attention with a bias of -10000, a residual sum and its norm, an output layer."""
    keras = frameworks.tf_keras()
    from converters.keras_graph.layers import BinaryMath, ConstantMath, MatMul, Reduce, Reshape, UnaryMath

    layers = keras.layers
    ids = keras.Input(batch_size=1, shape=(ROWS,), dtype="int32", name="ids")
    bias = keras.Input(batch_size=1, shape=(1, ROWS), name="bias")
    flat = Reshape((ROWS,), name="top/Reshape")(ids)
    x = layers.Embedding(12, WIDTH, name="table/Gather")(flat)
    query, key, value = (layers.Dense(WIDTH, name=f"att.{name}/MatMul")(x) for name in ("q", "k", "v"))
    scores = MatMul(transpose_b=True, name="att/MatMul")([query, key])
    scores = BinaryMath("add", name="att/Add")([scores, Reshape((1, ROWS), name="top/Reshape_1")(bias)])
    mixed = MatMul(name="att/MatMul_1")([layers.Softmax(name="att/Softmax")(scores), value])
    x = layers.Add(name="top/Add")([x, mixed])
    centred = layers.Subtract(name="norm/Sub")([x, Reduce("mean", (1,), True, name="norm/ReduceMean")(x)])
    square = layers.Multiply(name="norm/Mul")([centred, centred])
    spread = ConstantMath("add", (), name="norm/Add")(Reduce("mean", (1,), True, name="norm/ReduceMean_1")(square))
    x = BinaryMath("divide", name="norm/Div")([centred, UnaryMath("sqrt", name="norm/Sqrt")(spread)])
    x = layers.Dense(5, name="out/MatMul")(x)
    model = keras.Model([ids, bias], x, name="part")
    spec = PartSpec(
        name="part",
        inputs=(TensorSpec(name="ids", shape=(1, ROWS), dtype="int32"), TensorSpec(name="bias", shape=(1, 1, ROWS))),
        outputs=(TensorSpec(name="logits", shape=(ROWS, 5)),),
    )
    return _filled(model, spec, {"norm/Add": 1e-5})


def _filled(model: Any, spec: PartSpec, constants: dict[str, float]) -> RelayeredModel:
    """The part with random weights, but for layers of one constant; its layouts are torch's."""
    noise = np.random.default_rng(0)
    for layer in model.layers:
        layer.set_weights([(0.5 * noise.standard_normal(w.shape)).astype(np.float32) for w in layer.get_weights()])
    for name, value in constants.items():
        model.get_layer(name).set_weights([np.float32(value)])
    plain = {t.name: Layout(t.shape, t.shape, tuple(range(len(t.shape)))) for t in (*spec.inputs, *spec.outputs)}
    names = {layer.name: layer.name for layer in model.layers if type(layer).__name__ != "InputLayer"}
    return RelayeredModel(model=model, interface=Interface(spec=spec, layouts=plain), torch_names=names)


def given(count=6):
    noise = np.random.default_rng(1)
    blocked = [np.where(np.arange(ROWS) < used, 0.0, -1e4).astype(np.float32) for used in range(2, 2 + count)]
    return [{"ids": noise.integers(0, 12, (1, ROWS)).astype(np.int32), "bias": row[None, None]} for row in blocked]


@pytest.fixture(scope="module")
def part():
    return attention_part()


def _worst_error(tflite, part):
    run, exact = tflite_runner(tflite, part.interface), keras_runner(part.model, part.interface)
    pairs = [(exact(arrays)["logits"], run(arrays)["logits"]) for arrays in given()]
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs)


def test_each_operator_is_asked_what_it_can_be_and_says_why(part):
    plan = plan_precision(part, PrecisionPolicy(default="int8"), "part").by_layer()
    reasons = {name: item.because for name, item in plan.items() if item.asked == "float32"}
    norms = [f"norm/{op}" for op in ("ReduceMean", "Sub", "Mul", "ReduceMean_1", "Add", "Sqrt", "Div")]
    assert reasons == {
        "top/Reshape": WHOLE_NUMBERS,
        "att/Softmax": SCORES, "att/Add": SCORES, "top/Reshape_1": SCORES,
        **dict.fromkeys(norms, NORMS),
    }  # fmt: skip
    assert plan["att/MatMul"].asked == plan["att.q/MatMul"].asked == plan["table/Gather"].asked == "int8"


def test_the_whole_part_in_int8_is_as_asked_and_near_the_float_part(part):
    made = compress_part(part, PrecisionPolicy(default="int8"), Compression(equalise=False), given())
    assert not made.audit.differences
    products = {row.realised for row in made.audit.rows if row.kind in ("FULLY_CONNECTED", "BATCH_MATMUL", "GATHER")}
    assert products == {"int8"}
    assert {row.because for row in made.audit.rows if row.kind == "SOFTMAX"} == {SCORES}
    assert _worst_error(made.tflite, part) < 0.1


def test_without_the_rules_it_is_stopped_or_wrong(part, monkeypatch):
    """The twin: scores beside -10000 have a handful of steps, and roots are refused."""
    monkeypatch.setattr(precision, "kept_in_float", lambda model, modules: {})
    with pytest.raises(AuditError, match="norm"):
        compress_part(part, PrecisionPolicy(default="int8"), Compression(equalise=False), given())
    monkeypatch.undo()
    rules = [{"match": name, "use": "int8", "because": "for a test"} for name in ("att/*", "top/Reshape_1")]
    policy = PrecisionPolicy.model_validate({"default": "int8", "rules": rules})
    made = compress_part(part, policy, Compression(equalise=False), given())
    assert _worst_error(made.tflite, part) > 0.1


def test_a_rule_asking_int8_of_ids_is_harmless(part):
    """They have no range; the audit says what they are."""
    policy = PrecisionPolicy.model_validate(
        {"default": "float32", "rules": [{"match": "top/Reshape", "use": "int8", "because": "for a test"},
                                         {"match": "out", "use": "int8", "because": "for a test"}]}
    )  # fmt: skip
    made = compress_part(part, policy, Compression(equalise=False), given())
    assert {row.realised for row in made.audit.rows if row.kind == "RESHAPE" and "top" in row.op} >= {"int32"}


def gelu_part() -> RelayeredModel:
    """Linear layers around a function that ends in a quotient of polynomials, as GELU's error function does."""
    keras = frameworks.tf_keras()
    from converters.keras_graph.layers import BinaryMath, ConstantMath

    layers = keras.layers
    x = keras.Input(batch_size=1, shape=(ROWS, WIDTH), name="x")
    inner = layers.Dense(WIDTH, name="first/MatMul")(x)
    square = layers.Multiply(name="act/Mul")([inner, inner])
    above = ConstantMath("add", (), name="act/Add")(square)
    below = ConstantMath("add", (), name="act/Add_1")(square)
    ratio = BinaryMath("divide", name="act/Div")([layers.Multiply(name="act/Mul_1")([inner, above]), below])
    gated = layers.Multiply(name="act/Mul_2")([inner, ratio])
    model = keras.Model(x, layers.Dense(5, name="last/MatMul")(gated), name="part")
    spec = PartSpec(
        name="part",
        inputs=(TensorSpec(name="x", shape=(1, ROWS, WIDTH)),),
        outputs=(TensorSpec(name="y", shape=(1, ROWS, 5)),),
    )
    return _filled(model, spec, {"act/Add": 2.0, "act/Add_1": 1.0})


def gelu_inputs():
    return [{"x": np.random.default_rng(n).standard_normal((1, ROWS, WIDTH)).astype(np.float32)} for n in range(6)]


def test_a_quotient_and_what_it_divides_stay_in_float_and_what_reads_it_does_not():
    part = gelu_part()
    inputs = gelu_inputs()
    policy = PrecisionPolicy(default="int8")
    plan = plan_precision(part, policy, "part").by_layer()
    reasons = {name: item.because for name, item in plan.items() if item.asked == "float32"}
    assert reasons == dict.fromkeys(("act/Mul", "act/Add", "act/Add_1", "act/Mul_1", "act/Div"), QUOTIENTS)
    made = compress_part(part, policy, Compression(equalise=False), inputs)
    assert not made.audit.differences
    run, exact = tflite_runner(made.tflite, part.interface), keras_runner(part.model, part.interface)
    worst = max(float(np.abs(run(a)["y"] - exact(a)["y"]).max() / np.abs(exact(a)["y"]).max()) for a in inputs)
    assert worst < 0.15  # four 8-bit roundings of 40 numbers


def test_a_quotient_that_is_asked_to_be_int8_stops_the_run(monkeypatch):
    """The twin: without the rule the audit finds a division that is float after all."""
    part = gelu_part()
    monkeypatch.setattr("toolkit.compress.unroundable._divides", lambda layer: False)
    with pytest.raises(AuditError, match="act/Div"):
        compress_part(part, PrecisionPolicy(default="int8"), Compression(equalise=False), gelu_inputs())
