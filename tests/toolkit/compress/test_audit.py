"""The audit must see what TensorFlow leaves in float without a word."""

import dataclasses

import pytest

from converters import frameworks
from converters.keras_to_tflite import TfliteOptions, to_tflite
from converters.tflite_graph.float16_constants import float16_constants
from converters.tflite_graph.read import read_tflite
from tests.toolkit.compress.small_parts import inputs, reshaped_part, residual_part
from toolkit.compress.audit import audit, operators_asking, read_back
from toolkit.compress.precision import plan_precision
from toolkit.errors import AuditError
from toolkit.recipe.schema import PrecisionPolicy, PrecisionRule


@pytest.fixture(scope="module")
def part():
    return residual_part()


@pytest.fixture(scope="module")
def files(part):
    def write(kind):
        options = TfliteOptions(quantization=kind, representative_dataset=inputs())
        return to_tflite(part.model, part.interface, options)

    return {kind: write(kind) for kind in ("none", "int8", "int16x8")}


def plan(part, default, *rules):
    rules = tuple(PrecisionRule(match=m, use=u, because="a reason for it") for m, u in rules)
    return plan_precision(part, PrecisionPolicy(default=default, rules=rules), "decoder")


@pytest.mark.parametrize(
    ("kind", "asked", "ratio"), [("none", "float32", 1.0), ("int8", "int8", 0.0), ("int16x8", "int16x8", 0.0)]
)
def test_a_file_as_asked_passes(part, files, kind, asked, ratio):
    report = audit(files[kind], plan(part, asked), part.torch_names)
    assert report.differences == ()
    assert report.float_macs_ratio == ratio
    assert report.macs == 16 * 3 * 8 * (3 * 8 + 4)
    assert len(report.rows) == len(read_tflite(files[kind]).ops)
    convolutions = [row for row in report.rows if row.kind == "CONV_2D"]
    assert {row.realised for row in convolutions} == {asked}
    assert [row.op.split(" + ")[-1] for row in convolutions] == [
        "dec.conv_pre/Conv", "dec.resblocks.0.convs.0/Conv", "dec.resblocks.1.convs.0/Conv", "dec.conv_post/Conv",
    ]  # fmt: skip
    assert convolutions[0].op == "dec/Relu + dec.conv_pre/Conv"  # the activation is merged
    assert all(row.bytes > 0 for row in convolutions)


def test_a_float_file_is_not_an_int8_file(part, files):
    with pytest.raises(AuditError) as caught:
        audit(files["none"], plan(part, "int8"), part.torch_names)
    assert caught.value.code == "precision/not-realised"
    assert "dec.conv_pre/Conv" in caught.value.message and "asked int8, is float32" in caught.value.message


def test_one_rule_the_file_does_not_follow_is_found(part, files):
    flipped = plan(part, "int8", ("dec.resblocks.1.convs.0", "float32"))
    report = read_back(files["int8"], flipped, part.torch_names)
    assert [(d.op, d.asked, d.realised) for d in report.differences] == [
        ("dec.resblocks.1.convs.0/Conv", "float32", "int8")
    ]
    with pytest.raises(AuditError, match=r"1 of \d+ operators.*\n.*dec.resblocks.1.convs.0"):
        audit(files["int8"], flipped, part.torch_names)


def test_an_addition_without_weights_is_judged_too(part, files):
    report = read_back(files["int8"], plan(part, "int8", ("dec.resblocks.0/Add", "float32")))
    assert [(d.op, d.kind, d.macs) for d in report.differences] == [("dec.resblocks.0/Add", "ADD", 0)]


def test_a_merged_activation_asked_to_be_float_is_named(part, files):
    (difference,) = read_back(files["int8"], plan(part, "int8", ("dec/Relu", "float32"))).differences
    assert difference.kind == "CONV_2D" and "dec/Relu" in difference.reason


def test_reshapes_go_with_their_neighbours_and_a_convolution_between_them_is_judged():
    part = reshaped_part()
    content = to_tflite(part.model, part.interface)
    report = read_back(content, plan(part, "float32", ("enc.middle", "int8")))
    assert [(d.op, d.asked, d.realised) for d in report.differences] == [("enc.middle/Conv", "int8", "float32")]
    moving = [row for row in report.rows if row.kind == "RESHAPE"]
    assert moving and all(row.asked == row.realised for row in moving)
    assert not read_back(content, plan(part, "float32", ("enc.*/Reshape", "int8"))).differences


def test_float16_is_about_constants(part, files):
    """Additions hold no constants: float16 and float32 are the same there."""
    report = read_back(files["none"], plan(part, "float16"))
    assert {row.kind for row in report.rows if row.asked != row.realised} == {"CONV_2D"}


def test_constants_are_stored_in_float16_where_asked_and_seen_through_their_widening(part, files):
    asked = plan(part, "float32", ("dec.conv_p*", "float16"))
    chosen = operators_asking(files["none"], asked, "float16")
    half = float16_constants(files["none"], lambda op: op.index in chosen)
    report = audit(half, asked)
    assert [row.realised for row in report.rows if row.kind == "CONV_2D"] == [
        "float16", "float32", "float32", "float16"
    ]  # fmt: skip
    assert report.float_macs_ratio == 1.0
    differences = read_back(half, plan(part, "float32")).differences
    assert {(d.op.split(" + ")[-1], d.realised) for d in differences} == {
        ("dec.conv_pre/Conv", "float16"), ("dec.conv_post/Conv", "float16")
    }  # fmt: skip
    assert sum(row.bytes for row in report.rows) < sum(row.bytes for row in read_back(files["none"], asked).rows)


def test_names_of_wrapped_layers_are_understood(part, files):
    graph = read_tflite(files["none"])
    renamed = tuple(
        dataclasses.replace(tensor, name=tensor.name.replace("decoder/dec", "decoder/quant_dec"))
        for tensor in graph.tensors
    )
    report = audit(dataclasses.replace(graph, tensors=renamed), plan(part, "float32"))
    assert "dec.resblocks.0.convs.0/Conv" in {row.op for row in report.rows}


@pytest.mark.parametrize(("rounding", "named"), [("/quantize/FakeQuantWithMinMaxVars", False), ("/Conv2D", True)])
def test_a_layer_that_only_rounds_what_was_computed_is_not_what_computed_it(part, files, rounding, named):
    graph = read_tflite(files["int8"])
    (add, *_) = (op for op in graph.ops if op.kind == "ADD")
    name = f"decoder/dec.resblocks.0/Add;decoder/dec.conv_pre/Conv{rounding}"
    tensors = tuple(dataclasses.replace(t, name=name) if t.index == add.outputs[0] else t for t in graph.tensors)
    report = read_back(dataclasses.replace(graph, tensors=tensors), plan(part, "int8"))
    assert ("dec.conv_pre" in report.rows[add.index].op) is named


def test_a_convolution_that_cannot_be_traced_is_a_difference(part, files):
    graph = read_tflite(files["none"])
    renamed = tuple(dataclasses.replace(tensor, name=f"t{tensor.index}") for tensor in graph.tensors)
    report = read_back(dataclasses.replace(graph, tensors=renamed), plan(part, "float32", ("dec.conv_pre", "float16")))
    assert any("cannot be traced" in difference.reason for difference in report.differences)


def test_what_tensorflow_leaves_in_float_around_trained_convolutions_is_found(part):
    """Only the convolutions are annotated for TF-MOT: the converter says nothing, and every addition runs in float."""
    keras, quantization = frameworks.tf_keras(), frameworks.tfmot().quantization.keras

    def annotate(layer):
        return quantization.quantize_annotate_layer(layer) if type(layer).__name__ == "Conv2D" else layer

    model = quantization.quantize_apply(keras.models.clone_model(part.model, clone_function=annotate))
    content = to_tflite(model, part.interface, TfliteOptions(quantization="qat_int8"))
    report = read_back(content, plan(part, "int8"))
    assert {d.op for d in report.differences} >= {"dec.resblocks.0/Add", "dec.resblocks.1/Add"}
    assert report.float_macs_ratio == 0.0
    assert {row.realised for row in report.rows if row.kind in ("QUANTIZE", "DEQUANTIZE")} == {"conversion"}
    with pytest.raises(AuditError, match=r"dec\.resblocks\.0/Add"):
        audit(content, plan(part, "int8"))
    floats = ("dec/Relu", "dec.resblocks.*/LeakyRelu", "dec.resblocks.*/Add")
    audit(content, plan(part, "int8", *((name, "float32") for name in floats)))
