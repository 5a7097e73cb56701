"""int8 weights beside float activations: what is stored, what is left, and a run that stops when it cannot be had."""

import numpy as np
import pytest
import torch
from torch import nn

from converters.keras_to_tflite import to_tflite
from converters.spec import PartSpec, TensorSpec
from converters.tflite_graph.int8_storage import int8_storage
from converters.tflite_graph.int8_weights import int8_weights, rounded_rows
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.converters.chain import relayered_of
from tests.toolkit.compress.small_parts import inputs, residual_part
from toolkit.compress.audit import read_back
from toolkit.compress.precision import plan_precision
from toolkit.compress.run import compress_part
from toolkit.errors import AuditError
from toolkit.recipe.schema import Compression, PrecisionPolicy


def test_rows_are_rounded_to_half_a_step_and_a_row_of_zeros_stays():
    matrix = np.random.default_rng(0).standard_normal((5, 40)).astype(np.float32)
    matrix[2] = 0.0
    rounded, scales = rounded_rows(matrix)
    assert (rounded.dtype, np.abs(rounded).max()) == (np.int8, 127)
    assert np.all(np.abs(rounded * scales[:, None] - matrix) <= scales[:, None] * 0.5001)
    assert np.isfinite(scales).all()
    assert np.all(rounded[2] == 0)


def test_a_dilated_convolution_asked_to_have_int8_weights_stops_the_run():
    """No kernel computes it so; left in float without a word it would be a lie in the report."""
    with pytest.raises(AuditError, match=r"dec\.resblocks\.1\.convs\.0.*asked int8-weights, is float32"):
        compress_part(residual_part(), PrecisionPolicy(default="int8-weights"), Compression(), inputs())


def test_convolutions_multiply_float_signals_by_int8_weights():
    rules = [{"match": "dec.resblocks.1.convs*", "use": "float32", "because": "dilated: no kernel computes it so"}]
    policy = PrecisionPolicy.model_validate({"default": "int8-weights", "rules": rules})
    made = compress_part(residual_part(), policy, Compression(), inputs())
    plain = [row for row in made.audit.rows if row.kind == "CONV_2D" and "resblocks.1" not in row.op]
    assert len(plain) == 3 and {row.realised for row in plain} == {"int8-weights"}
    part = residual_part()
    exact = tflite_runner(to_tflite(part.model, part.interface), part.interface)
    for reference_kernels in (False, True):  # the delegate's kernels, and those of a runtime without it
        run = tflite_runner(made.tflite, made.relayered.interface, use_reference_kernels=reference_kernels)
        for probe in inputs():
            expected, found = exact(probe)["audio"], run(probe)["audio"]
            noise = np.square(found - expected).mean() / np.square(expected).mean()
            assert 1e-7 < noise < 1e-3  # rounded, and by 8 bits


def test_operators_without_matrices_stay_in_float_and_that_is_as_asked():
    part = residual_part()
    rules = [{"match": "dec*conv*", "use": "float32", "because": "convolutions, for a test"}]
    policy = PrecisionPolicy.model_validate({"default": "int8-weights", "rules": rules})
    made = compress_part(part, policy, Compression(), inputs())
    assert {row.realised for row in made.audit.rows if row.kind in ("ADD", "LEAKY_RELU")} <= {"int8-weights", "float32"}


def test_a_file_with_nothing_chosen_keeps_its_operators():
    part = residual_part()
    content = to_tflite(part.model, part.interface)
    same = int8_weights(content, lambda op: False)
    assert [op.kind for op in read_tflite(same).ops] == [op.kind for op in read_tflite(content).ops]
    plan = plan_precision(part, PrecisionPolicy(default="int8-weights"), "decoder")
    assert {row.asked for row in read_back(same, plan).differences} == {"int8-weights"}


STORED = PrecisionPolicy(default="int8-storage")


def _rounded(part):
    """The part with its kernels rounded as they are to be stored."""
    for layer in part.model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            rows, scales = rounded_rows(np.moveaxis(kernel, 3, 0).reshape(kernel.shape[3], -1))
            back = (rows * scales[:, None]).reshape(np.moveaxis(kernel, 3, 0).shape)
            layer.set_weights([np.moveaxis(back, 0, 3), bias])
    return part


def test_stored_kernels_are_the_float_file_with_rounded_weights_and_nothing_else():
    made = compress_part(residual_part(), STORED, Compression(), inputs())
    convolutions = [row for row in made.audit.rows if row.kind == "CONV_2D"]
    assert {row.realised for row in convolutions} == {"int8-storage"}
    assert made.audit.float_macs_ratio == 1.0  # bytes are saved, arithmetic is not
    twin = _rounded(residual_part())
    expected = tflite_runner(to_tflite(twin.model, twin.interface), twin.interface)
    stored = tflite_runner(made.tflite, made.relayered.interface)
    plain = tflite_runner(to_tflite(residual_part().model, twin.interface), twin.interface)
    for probe in inputs():
        audio = stored(probe)["audio"]
        np.testing.assert_allclose(audio, expected(probe)["audio"], rtol=1e-5, atol=1e-6)
        assert np.abs(audio - plain(probe)["audio"]).max() > 1e-4  # it is really rounded


def test_a_kernel_left_in_float_where_storage_was_asked_is_told():
    part = residual_part()
    plan = plan_precision(part, STORED, "decoder")
    content = to_tflite(part.model, part.interface)
    assert {row.asked for row in read_back(content, plan).differences} == {"int8-storage"}
    some = int8_storage(content, lambda op: "conv_pre" in op.name)
    left = read_back(some, plan).differences
    assert left and all("conv_pre" not in row.op for row in left)


class _Tables(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.out = nn.Embedding(20, 8), nn.Linear(8, 4)
        self.register_buffer("places", torch.randn(1, 6, 8))

    def forward(self, tokens):
        return self.out(self.emb(tokens) * self.places)


def test_tables_are_stored_and_constants_that_scale_are_not_matrices():
    tokens = TensorSpec(name="tokens", shape=(1, 6), dtype="int32")
    spec = PartSpec(name="p", inputs=(tokens,), outputs=(TensorSpec(name="y", shape=(1, 6, 4)),))
    module = _Tables().eval()
    part = relayered_of(module, spec)
    feeds = [{"tokens": np.array([[3, 1, 4, 1, 5, 9]], np.int32)}]
    made = compress_part(part, STORED, Compression(), feeds)
    rows = {row.kind: row for row in made.audit.rows}
    assert rows["GATHER"].realised == "int8-storage" and not made.audit.differences
    kinds = {
        op.kind: [read_tflite(made.tflite).tensors[i].dtype for i in op.inputs] for op in read_tflite(made.tflite).ops
    }
    assert kinds["MUL"] == ["FLOAT32", "FLOAT32"] and rows["MUL"].bytes == 6 * 8 * 4
    expected = module(torch.from_numpy(feeds[0]["tokens"])).detach().numpy()
    for reference_kernels in (False, True):
        found = tflite_runner(made.tflite, part.interface, use_reference_kernels=reference_kernels)(feeds[0])["y"]
        assert 1e-7 < np.square(found - expected).mean() / np.square(expected).mean() < 1e-3
