"""The exporter keeps the numbers, the interface and the torch names."""

from __future__ import annotations

import re

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from converters.errors import InputError, UnsupportedOp
from converters.onnx_graph.run import onnx_runner
from converters.parity import compare
from converters.spec import Interface, PartSpec, TensorSpec
from converters.torch_run import torch_runner
from converters.torch_to_onnx import export, outputs_of
from tests.model_zoo import BY_ID
from tests.peak_memory import needs_linux, peak_bytes

SAMPLE = (
    "vits_flow",
    "vits_encoder",
    "vits_decoder",
    "encoder_layer",
    "lstm_two_layers_both_ways",
    "mha_cross",
    "conv_transformer",
)


@pytest.mark.parametrize("case", [BY_ID[i] for i in SAMPLE], ids=SAMPLE)
def test_export_agrees_with_torch_and_names_nodes(case):
    module = case.build()
    model = export(module, case.spec)
    arrays = case.inputs()
    report = compare(torch_runner(module, case.spec)(arrays), onnx_runner(model, Interface.torch(case.spec))(arrays))
    assert report.max_abs <= 1e-5
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    modules = {name for name, _ in module.named_modules()} | {"forward"}
    for node in model.graph.node:
        path, _, op = node.name.rpartition("/")
        assert path in modules, node.name
        assert re.fullmatch(rf"{node.op_type}(_\d+)?", op)


def test_convolution_carries_module_path_and_parameter_names():
    case = BY_ID["vits_decoder"]
    model = export(case.build(), case.spec)
    node = next(n for n in model.graph.node if n.name == "resblocks.1.convs.0/Conv")
    assert list(node.input)[1:] == ["resblocks.1.convs.0.weight", "resblocks.1.convs.0.bias"]


class _Twice(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.enc = inner

    def forward(self, x):
        return self.enc(x)


class _List(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.ModuleList([nn.Tanh()])

    def forward(self, x):
        return self.enc[0](x)


@pytest.mark.parametrize(
    ("inner", "expected"), [(nn.Sequential(nn.Sequential(nn.Tanh())), "enc.0.0/Tanh"), (_List(), "enc.enc.0/Tanh")]
)
def test_sequential_and_list_children_keep_their_own_paths(inner, expected):
    spec = PartSpec(
        name="m",
        inputs=(TensorSpec(name="x", shape=(1, 3)),),
        outputs=(TensorSpec(name="y", shape=(1, 3)),),
    )
    assert [n.name for n in export(_Twice(inner), spec).graph.node] == [expected]


def test_training_mode_and_attention_are_restored():
    case = BY_ID["encoder_layer"]
    module = case.build().train()
    attention = torch.nn.functional.scaled_dot_product_attention
    export(module, case.spec)
    assert module.training and module.self_attn.training
    assert torch.nn.functional.scaled_dot_product_attention is attention


def test_old_style_weight_norm_is_folded_and_restored():
    module = torch.nn.utils.weight_norm(nn.Conv1d(3, 4, 3)).eval()
    spec = PartSpec(
        name="wn",
        inputs=(TensorSpec(name="x", shape=(1, 3, 9)),),
        outputs=(TensorSpec(name="y", shape=(1, 4, 7)),),
    )
    model = export(module, spec)
    assert [n.op_type for n in model.graph.node] == ["Conv"]
    assert "weight_g" in dict(module.named_parameters())
    assert len(module._forward_pre_hooks) == 1


def test_wrong_input_shape_is_an_input_error():
    spec = PartSpec(
        name="m",
        inputs=(TensorSpec(name="x", shape=(1, 5, 9)),),
        outputs=(TensorSpec(name="y", shape=(1, 4, 7)),),
    )
    with pytest.raises(InputError, match="refuses the declared inputs"):
        export(nn.Conv1d(3, 4, 3), spec)


def test_wrong_output_shape_is_an_input_error():
    spec = PartSpec(
        name="m",
        inputs=(TensorSpec(name="x", shape=(1, 3, 9)),),
        outputs=(TensorSpec(name="y", shape=(1, 4, 8)),),
    )
    with pytest.raises(InputError, match=r"\(1, 4, 7\)"):
        export(nn.Conv1d(3, 4, 3), spec)


class _Fft(nn.Module):
    def forward(self, x):
        return torch.linalg.svd(x)[1]


def test_operator_onnx_lacks_is_refused_by_name():
    inputs = (TensorSpec(name="x", shape=(4, 4)),)
    spec = PartSpec(name="m", inputs=inputs, outputs=outputs_of(_Fft(), inputs))
    with pytest.raises(UnsupportedOp, match="svd"):
        export(_Fft(), spec)


class _Projected(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 6, batch_first=True, proj_size=3)

    def forward(self, x):
        return self.rnn(x)[0]


class _Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(nn.Tanh(), _Projected())

    def forward(self, x):
        return self.enc(x)


def test_refusal_names_the_torch_layer_and_prints_nothing(capfd):
    inputs = (TensorSpec(name="x", shape=(1, 7, 4)),)
    spec = PartSpec(name="net", inputs=inputs, outputs=outputs_of(_Nested(), inputs))
    with pytest.raises(UnsupportedOp, match="projections") as caught:
        export(_Nested(), spec)
    assert caught.value.where == "net: enc.1.rnn"
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.utils.parametrizations.weight_norm(nn.Conv1d(3, 4, 3)),
        lambda: torch.nn.utils.parametrizations.orthogonal(nn.Linear(9, 9)),
        lambda: nn.RMSNorm(9),
    ],
    ids=["weight_norm", "orthogonal", "rms_norm"],
)
def test_parametrised_and_rms_norm_layers_export(make):
    torch.manual_seed(0)
    module = make().eval()
    inputs = (TensorSpec(name="x", shape=(1, 3, 9)),)
    spec = PartSpec(name="m", inputs=inputs, outputs=outputs_of(module, inputs))
    arrays = {"x": np.random.default_rng(0).standard_normal((1, 3, 9)).astype(np.float32)}
    keys = list(module.state_dict())
    found = onnx_runner(export(module, spec), Interface.torch(spec))(arrays)
    assert compare(torch_runner(module, spec)(arrays), found).max_abs <= 1e-5
    assert list(module.state_dict()) == keys


class _Ids(nn.Module):
    def forward(self, x):
        return x.argmax(1)


def test_integer_outputs_are_int32():
    inputs = (TensorSpec(name="x", shape=(2, 5)),)
    spec = PartSpec(name="ids", inputs=inputs, outputs=outputs_of(_Ids(), inputs))
    model = export(_Ids(), spec)
    result = onnx_runner(model, Interface.torch(spec))({"x": np.eye(2, 5, 2, dtype=np.float32)})
    assert result["output"].dtype == np.int32 and result["output"].tolist() == [2, 3]


@pytest.mark.parametrize("name", ["vits_flow", "conv_transformer", "gru"])
def test_exported_program_takes_the_same_road(name):
    case = BY_ID[name]
    module = case.build()
    arrays = case.inputs()
    program = torch.export.export(module, tuple(torch.from_numpy(np.asarray(a)) for a in arrays.values()))
    model = export(program, case.spec)
    report = compare(torch_runner(module, case.spec)(arrays), onnx_runner(model, Interface.torch(case.spec))(arrays))
    assert report.max_abs <= 1e-5
    paths = {n.name.rpartition("/")[0] for n in model.graph.node if n.op_type in ("Conv", "GRU")}
    assert paths <= {n for n, _ in module.named_modules()} and paths


def test_weights_that_were_apart_are_the_modules_own_and_no_inputs():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)).eval()
    spec = PartSpec(
        name="p", inputs=(TensorSpec(name="x", shape=(1, 3)),), outputs=(TensorSpec(name="y", shape=(1, 2)),)
    )
    model = export(module, spec)
    assert [value.name for value in model.graph.input] == ["x"]
    stored = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    own = {name: value.numpy() for name, value in module.state_dict().items()}
    assert {"0.weight", "2.weight"} <= stored.keys() & own.keys()
    assert all(np.array_equal(stored[name], own[name]) for name in stored.keys() & own.keys())


@needs_linux
def test_export_holds_two_copies_of_the_weights_beside_the_modules():
    module = torch.nn.Sequential(*(torch.nn.Linear(2048, 2048, bias=False) for _ in range(6))).eval()
    tensor = {"shape": (1, 2048)}
    spec = PartSpec(name="p", inputs=(TensorSpec(name="x", **tensor),), outputs=(TensorSpec(name="y", **tensor),))
    export(module[:1], spec)
    peak = peak_bytes(lambda: export(module, spec))[1]
    assert peak < 3.2 * 6 * 2048 * 2048 * 4  # torch by itself serialises them: four
