"""Reading, float16 constants, metadata and merging of TFLite files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import InputError
from converters.keras_graph.run import keras_runner
from converters.parity import compare
from converters.tflite_graph.flatbuffer import dump, load
from converters.tflite_graph.float16_constants import float16_constants
from converters.tflite_graph.merge import merge_signatures
from converters.tflite_graph.metadata import read_metadata, write_metadata
from converters.tflite_graph.names import layer_of
from converters.tflite_graph.read import TfliteOp, read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.converters.chain import Chain, build


@pytest.fixture(scope="module")
def flow() -> Chain:
    return build("vits_wavenet")


@pytest.fixture(scope="module")
def content(flow: Chain) -> bytes:
    return flow.tflite()


def _convolution(op: TfliteOp) -> bool:
    return op.kind == "CONV_2D"


def test_read_gives_operators_options_and_constants(flow: Chain, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    graph = read_tflite(path)
    assert len(graph.ops) == len(read_tflite(content).ops)
    convolution = next(op for op in graph.ops if op.kind == "CONV_2D")
    assert convolution.options["stride_w"] == 1
    assert convolution.options["padding"] == "SAME"
    assert convolution.options["fused_activation_function"] == "NONE"
    kernel = graph.tensors[convolution.inputs[1]]
    assert kernel.is_constant
    assert kernel.data.shape == kernel.shape
    assert kernel.nbytes == kernel.data.size * 4
    output = graph.tensors[convolution.outputs[0]].shape
    assert graph.multiply_adds(convolution) == int(np.prod(output)) * int(np.prod(kernel.shape[1:]))


def test_every_operator_leads_back_to_its_layer(flow: Chain, content: bytes) -> None:
    names = flow.relayered.torch_names
    found = [layer_of(op.name, names) for op in read_tflite(content).ops]
    assert None not in found
    assert len({name for name in found if name.endswith(("Conv", "Conv_1", "Conv_2"))}) >= 6


@pytest.mark.parametrize("cut", [0, 3, 20, 200, 2000, -100])
def test_cut_file_is_an_input_error(content: bytes, cut: int) -> None:
    with pytest.raises(InputError):
        read_tflite(content[:cut])


def test_damaged_files_never_crash(content: bytes) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        for position in rng.integers(8, len(content), 30):
            damaged[position] = int(rng.integers(0, 256))
        try:
            read_tflite(bytes(damaged))
        except InputError:
            continue


def test_foreign_and_missing_files_are_input_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a TFLite file"):
        read_tflite(b"PK\x03\x04" + bytes(100))
    with pytest.raises(InputError, match="cannot read"):
        read_tflite(tmp_path / "nowhere.tflite")


def test_float16_file_computes_with_rounded_weights_bit_for_bit(flow: Chain, content: bytes) -> None:
    halved = float16_constants(content, _convolution)
    graph = read_tflite(halved)
    constants = [t for t in graph.tensors if t.dtype in ("FLOAT16", "FLOAT32") and t.is_constant and t.data.size > 1]
    assert {tensor.dtype for tensor in constants} == {"FLOAT16"}
    assert sum(op.kind == "DEQUANTIZE" for op in graph.ops) == 2 * sum(op.kind == "CONV_2D" for op in graph.ops)
    inputs = flow.case.inputs(4)
    saved = {layer.name: layer.get_weights() for layer in flow.relayered.model.layers}
    try:
        for layer in flow.relayered.model.layers:
            if type(layer).__name__ == "Conv2D":
                layer.set_weights([w.astype(np.float16).astype(np.float32) for w in layer.get_weights()])
        rounded = flow.tflite()
    finally:
        for layer in flow.relayered.model.layers:
            layer.set_weights(saved[layer.name])
    for reference in (False, True):
        one, two = (
            tflite_runner(file, flow.relayered.interface, use_reference_kernels=reference)(inputs)
            for file in (halved, rounded)
        )
        for name in one:
            assert np.array_equal(one[name], two[name])


def test_float16_of_chosen_operators_only(content: bytes, flow: Chain) -> None:
    halved = float16_constants(content, lambda op: "in_layers" in op.name and op.kind == "CONV_2D")
    graph = read_tflite(halved)
    for op in graph.ops:
        if op.kind == "CONV_2D":
            assert graph.tensors[op.inputs[1]].is_constant == ("in_layers" not in op.name)
    assert float16_constants(content, lambda op: False) == float16_constants(content, lambda op: False)


def test_value_beyond_float16_is_refused(flow: Chain) -> None:
    chain = build("conv1d")
    layer = chain.relayered.model.layers[-1]
    kernel, bias = layer.get_weights()
    kernel[0, 0, 0, 0] = 1e6
    layer.set_weights([kernel, bias])
    with pytest.raises(InputError, match="65504"):
        float16_constants(chain.tflite(), _convolution)


def test_metadata_returns_what_was_written(content: bytes, flow: Chain) -> None:
    facts = {"recipe": "ab12", "names": {"b": 1, "a": [1, 2]}, "voice": "jó"}
    written = write_metadata(write_metadata(content, {"old": True}), facts)
    assert read_metadata(written) == facts
    assert written == write_metadata(content, facts)
    assert read_metadata(content) == {}
    inputs = flow.case.inputs(0)
    before, after = (tflite_runner(file, flow.relayered.interface)(inputs) for file in (content, written))
    assert compare(before, after).max_abs == 0
    with pytest.raises(InputError):
        write_metadata(content, {"x": object()})


def test_merged_file_shares_weights_and_keeps_every_signature(flow: Chain, content: bytes) -> None:
    other = float16_constants(content, _convolution)
    merged = merge_signatures([("at_16", content), ("again", content), ("half", other)])
    stored = {tensor.buffer for tensor in read_tflite(merged, signature="at_16").tensors if tensor.is_constant}
    assert stored == {tensor.buffer for tensor in read_tflite(merged, signature="again").tensors if tensor.is_constant}
    inputs = flow.case.inputs(5)
    for key, file in (("at_16", content), ("again", content), ("half", other)):
        expected = tflite_runner(file, flow.relayered.interface)(inputs)
        found = tflite_runner(merged, flow.relayered.interface, signature=key)(inputs)
        assert compare(expected, found).max_abs == 0
    assert {s.key for s in read_tflite(merged).signatures} == {"at_16", "again", "half"}
    assert merged == merge_signatures([("at_16", content), ("again", content), ("half", other)])


def test_merged_recurrent_graphs_call_their_own_bodies() -> None:
    chain = build("lstm")
    content = chain.tflite()
    merged = merge_signatures([("a", content), ("b", content)])
    inputs = chain.case.inputs(1)
    expected = keras_runner(chain.relayered.model, chain.relayered.interface)(inputs)
    found = tflite_runner(merged, chain.relayered.interface, signature="b")(inputs)
    assert compare(expected, found).worst_snr_db > 90


def test_merge_refuses_equal_keys_and_unknown_signature(content: bytes, flow: Chain) -> None:
    with pytest.raises(InputError):
        merge_signatures([("a", content), ("a", content)])
    with pytest.raises(InputError):
        merge_signatures([])
    with pytest.raises(InputError, match="signature"):
        tflite_runner(content, flow.relayered.interface, signature="other")
    with pytest.raises(InputError, match="signature"):
        read_tflite(content, signature="other")


def test_equal_scales_are_written_once(content: bytes) -> None:
    def sized(scales: list[np.ndarray]) -> tuple[int, list[np.ndarray]]:
        model = load(content)
        tensors = model.subgraphs[0].tensors
        for tensor, values in zip(tensors, scales, strict=False):
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = values
            tensor.quantization.zeroPoint = np.zeros(len(values), np.int64)
            tensor.quantization.quantizedDimension = 1
        written = dump(model)
        again = load(written)
        assert dump(again) == written
        read = [again.subgraphs[0].tensors[place].quantization for place in range(len(scales))]
        assert all(item.quantizedDimension == 1 and len(item.zeroPoint) == len(item.scale) for item in read)
        return len(written), [item.scale for item in read]

    values = np.linspace(1, 2, 4096, dtype=np.float32)
    (one, _), (equal, read) = sized([values]), sized([values, values.copy()])
    other, read_other = sized([values, values + 1])
    np.testing.assert_array_equal(read, [values, values])
    np.testing.assert_array_equal(read_other, [values, values + 1])
    assert equal - one < 100 < values.nbytes <= other - equal < 1.1 * values.nbytes
