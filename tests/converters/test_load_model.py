"""Models of every kind open; anything damaged, foreign or wrongly declared is one InputError."""

from __future__ import annotations

import contextlib
import io
import pickle
import sys
import zipfile

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from converters.errors import ConversionError, InputError, ShapeNotStatic, UnsupportedOp
from converters.load_model import load_model
from converters.onnx_graph.pipeline import rewrite
from converters.onnx_graph.run import onnx_runner
from converters.parity import compare
from converters.spec import TensorSpec
from converters.torch_run import torch_runner
from converters.torch_to_onnx import export

X = (TensorSpec(name="x", shape=(1, 3, 16)),)
ARRAYS = {"x": np.random.default_rng(0).standard_normal((1, 3, 16)).astype(np.float32)}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3, padding=1)
        self.up = nn.ConvTranspose1d(4, 2, 4, 2, padding=1)

    def forward(self, x):
        return self.up(torch.relu(self.conv(x)))


def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture
def script(tmp_path):
    torch.jit.trace(net(), torch.zeros(1, 3, 16)).save(tmp_path / "net.pt")
    return tmp_path / "net.pt"


@pytest.fixture
def program(tmp_path):
    torch.export.save(torch.export.export(net(), (torch.zeros(1, 3, 16),)), tmp_path / "net.pt2")
    return tmp_path / "net.pt2"


@pytest.fixture
def onnx_file(tmp_path):
    path = tmp_path / "net.onnx"
    torch.onnx.export(
        net(), (torch.zeros(1, 3, 16),), path, dynamo=False, input_names=["x"], output_names=["y"],
        dynamic_axes={"x": {2: "time"}, "y": {2: "time2"}}, opset_version=15,
    )  # fmt: skip
    return path


@pytest.mark.parametrize("kind", ["factory", "script", "program", "onnx_file"])
def test_every_kind_converts_to_the_same_numbers(kind, request):
    text = f"{__name__}:net" if kind == "factory" else str(request.getfixturevalue(kind))
    loaded = load_model(text, X)
    model = loaded.model if kind == "onnx_file" else export(loaded.model, loaded.spec)
    result = rewrite(model, loaded.spec, ARRAYS)
    found = onnx_runner(result.model, result.interface)(ARRAYS)
    (output,) = loaded.spec.outputs
    assert output.shape == (1, 2, 32)
    expected = net()(torch.from_numpy(ARRAYS["x"])).detach().numpy()
    assert compare({output.name: expected}, found).max_abs <= 1e-5
    if kind in ("script", "program"):
        assert compare(torch_runner(loaded.model, loaded.spec)(ARRAYS), found).max_abs <= 1e-5
    names = [n.name for n in result.model.graph.node]
    assert "conv/Conv" in names and "up/DepthToTime/Transpose" in names


def test_program_needs_no_declaration(program):
    assert load_model(str(program)).spec.inputs[0].shape == (1, 3, 16)


def test_program_exported_for_int64_takes_int32(tmp_path):
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)).eval()
    path = tmp_path / "ids.pt2"
    torch.export.save(torch.export.export(model, (torch.zeros(1, 5, dtype=torch.int64),)), path)
    loaded = load_model(str(path), (TensorSpec(name="ids", shape=(1, 5), dtype="int32"),))
    arrays = {"ids": np.asarray([[1, 2, 3, 8, 0]], np.int32)}
    result = rewrite(export(loaded.model, loaded.spec), loaded.spec, arrays)
    assert (
        compare(
            torch_runner(loaded.model, loaded.spec)(arrays), onnx_runner(result.model, result.interface)(arrays)
        ).max_abs
        < 1e-6
    )
    assert "Cast" not in {n.op_type for n in result.model.graph.node}


def test_module_class_and_instance_are_factories():
    assert load_model(f"{__name__}:Net", X).spec.outputs[0].shape == (1, 2, 32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere.at_all:make", "no module"),
        ("json:loads", "failed"),
        ("json:nothing", "has no"),
        ("math:pi", "neither"),
        ("collections:OrderedDict", "not an nn.Module"),
        ("missing.onnx", "no model"),
        ("", "no model"),
        ("a b", "no model"),
    ],
)
def test_wrong_names_are_input_errors(text, message):
    with pytest.raises(InputError, match=message):
        load_model(text, X)


def test_undeclared_inputs_are_refused(script, onnx_file):
    for path in (script, onnx_file):
        with pytest.raises(ShapeNotStatic):
            load_model(str(path))


@pytest.mark.parametrize(
    "inputs",
    [
        (TensorSpec(name="x", shape=(1, 4, 16)),),
        (TensorSpec(name="x", shape=(1, 3, 16), dtype="int32"),),
        (TensorSpec(name="y", shape=(1, 3, 16)), TensorSpec(name="z", shape=(1, 3, 16))),
        (TensorSpec(name="x", shape=(1, 0, 16)),),
        (TensorSpec(name="x", shape=(1, 3, 16)), TensorSpec(name="x", shape=(1, 3, 16))),
        (TensorSpec(name="x", shape=(1, 3, 16), dtype="float64"),),
    ],
    ids=["channels", "dtype", "count", "zero", "twice", "float64"],
)
@pytest.mark.parametrize("kind", ["script", "program", "onnx_file"])
def test_declarations_that_do_not_fit_are_input_errors(kind, inputs, request):
    with pytest.raises(InputError):
        load_model(str(request.getfixturevalue(kind)), inputs)


@pytest.mark.parametrize("suffix", [".pt", ".pt2", ".onnx", ".ts"])
@pytest.mark.parametrize(
    "content",
    [b"", b"garbage" * 100, b"PK\x03\x04" + b"\0" * 60, pickle.dumps({"a": 1}), b"\x08\x07" + b"\xff" * 40],
    ids=["empty", "text", "zip-head", "pickle", "protobuf-ish"],
)
def test_foreign_files_are_input_errors(tmp_path, suffix, content):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError):
        load_model(str(path), X)


@pytest.mark.parametrize("kind", ["script", "program", "onnx_file"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.995])
def test_truncated_files_are_input_errors(kind, share, request):
    path = request.getfixturevalue(kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError):
        load_model(str(path), X)


@pytest.mark.parametrize("kind", ["script", "program", "onnx_file"])
def test_flipped_bytes_never_end_in_a_foreign_exception(kind, request):
    path = request.getfixturevalue(kind)
    data = path.read_bytes()
    rng = np.random.default_rng(5)
    for _ in range(25):
        spoiled = bytearray(data)
        for position in rng.integers(0, len(data), 3):
            spoiled[position] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(spoiled))
        with contextlib.suppress(ConversionError):
            load_model(str(path), X)


class _Bomb:
    def __reduce__(self):
        return (exec, ("import sys; sys.modules['bomb_went_off'] = sys",))


def test_pickles_are_never_run(tmp_path, program):
    torch.save(net(), tmp_path / "module.pt")
    with pytest.raises(InputError, match=r"torch\.save checkpoint"):
        load_model(str(tmp_path / "module.pt"), X)
    stream = io.BytesIO()
    torch.save(_Bomb(), stream)
    for entry, data in (
        ("net/data/sample_inputs/model.pt", stream.getvalue()),
        ("net/data/constants/custom_obj_0", pickle.dumps(_Bomb())),
    ):
        armed = tmp_path / "armed.pt2"
        with zipfile.ZipFile(program) as source, zipfile.ZipFile(armed, "w") as target:
            for name in source.namelist():
                if name != entry:
                    target.writestr(name, source.read(name))
            target.writestr(entry, data)
        with pytest.raises(InputError):
            load_model(str(armed), X)
        assert "bomb_went_off" not in sys.modules


def test_program_with_python_calls_is_refused(tmp_path, program):
    armed = tmp_path / "armed.pt2"
    with zipfile.ZipFile(program) as source, zipfile.ZipFile(armed, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data.replace(b"torch.ops.aten.relu.default", b"torch.hub.load"))
    with pytest.raises(InputError, match=r"torch\.hub\.load"):
        load_model(str(armed), X)


def _onnx(tmp_path, nodes, inputs, outputs, opset=17, domain=""):
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    path = tmp_path / "made.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return str(path)


def _info(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def test_onnx_with_custom_operators_or_control_flow_is_refused_by_name(tmp_path):
    custom = helper.make_node("Magic", ["x"], ["y"], "enc/Magic", domain="ai.magic")
    path = _onnx(tmp_path, [custom], [_info("x", [1, 3, 16])], [_info("y", [1, 3, 16])], domain="ai.magic")
    with pytest.raises(UnsupportedOp, match="Magic") as caught:
        load_model(path, X)
    assert caught.value.where == "enc/Magic"


def test_onnx_with_data_dependent_shapes_names_the_operator(tmp_path):
    node = helper.make_node("NonZero", ["x"], ["y"], "sel/NonZero")
    path = _onnx(tmp_path, [node], [_info("x", [4])], [_info("y", [1, None], TensorProto.INT64)])
    with pytest.raises(ShapeNotStatic, match="depends on the data"):
        load_model(path, (TensorSpec(name="x", shape=(4,)),))


def test_onnx_integers_become_int32(tmp_path):
    node = helper.make_node("Add", ["a", "a"], ["y"], "Add")
    path = _onnx(tmp_path, [node], [_info("a", [2], TensorProto.INT64)], [_info("y", [2], TensorProto.INT64)])
    loaded = load_model(path)
    assert loaded.spec.inputs[0].dtype == loaded.spec.outputs[0].dtype == "int32"
    result = rewrite(loaded.model, loaded.spec)
    assert onnx_runner(result.model, result.interface)({"a": np.asarray([1, 2], np.int32)})["y"].dtype == np.int32


def test_old_opset_is_converted(tmp_path):
    node = helper.make_node("Squeeze", ["x"], ["y"], "Squeeze", axes=[0])
    path = _onnx(tmp_path, [node], [_info("x", [1, 3, 16])], [_info("y", [3, 16])], opset=11)
    assert load_model(path).spec.outputs[0].shape == (3, 16)


def test_names_that_are_no_identifiers_become_some(tmp_path):
    nodes = [helper.make_node("Relu", ["in:0"], ["mid"], "Relu"), helper.make_node("Tanh", ["mid"], ["1/out"], "Tanh")]
    loaded = load_model(_onnx(tmp_path, nodes, [_info("in:0", [2, 3])], [_info("1/out", [2, 3])]))
    assert loaded.spec.inputs[0].name == "in_0" and loaded.spec.outputs[0].name == "_1_out"
    result = rewrite(loaded.model, loaded.spec)
    assert onnx_runner(result.model, result.interface)({"in_0": np.ones((2, 3), np.float32)})["_1_out"].shape == (2, 3)
