"""The few real layers onnx2tf's models contain, as operators of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.errors import UnsupportedOp
from converters.keras_graph.ir import Node, Value


def _data(args: Any, kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs["inputs"]


def _flatten(_layer: Any, args: Any, kwargs: dict[str, Any], results: list[Value]) -> list[Node]:
    return [Node("reshape", [_data(args, kwargs)], results, {"shape": results[0].shape})]


def _layer_norm(layer: Any, args: Any, kwargs: dict[str, Any], results: list[Value]) -> list[Node]:
    rank = len(results[0].shape)
    axes = tuple(int(axis) % rank for axis in np.atleast_1d(layer.axis))
    attributes = {
        "axes": axes,
        "epsilon": float(layer.epsilon),
        "gamma": layer.gamma.numpy() if layer.gamma is not None else None,
        "beta": layer.beta.numpy() if layer.beta is not None else None,
    }
    return [Node("layer_norm", [_data(args, kwargs)], results, attributes)]


def _grouped_convolution(layer: Any, args: Any, kwargs: dict[str, Any], results: list[Value]) -> list[Node]:
    """onnx2tf takes grouped convolutions from TensorFlow's own old Keras, whose classes TF-MOT does not know."""
    attributes = {
        "kernel": layer.kernel.numpy(),
        "bias": layer.bias.numpy() if layer.use_bias else None,
        "strides": tuple(layer.strides),
        "padding": layer.padding.upper(),
        "dilations": tuple(layer.dilation_rate),
        "groups": int(layer.groups),
    }
    return [Node("conv2d", [_data(args, kwargs)], results, attributes)]


def _recurrent(layer: Any, args: Any, kwargs: dict[str, Any], results: list[Value]) -> list[Node]:
    state = kwargs.get("initial_state")
    data = _data(args, kwargs)
    if isinstance(data, (list, tuple)):
        data, state = data[0], list(data[1:])
    if isinstance(state, (list, tuple)) and not state:
        state = None
    if state is not None and any(isinstance(item, Value) or np.any(np.asarray(item)) for item in _flat(state)):
        raise UnsupportedOp(
            "a recurrent layer with an initial state other than zeros",
            hint="let the layer start from zeros: call it without a state",
        )
    cell = layer.cell
    kind = {"CustomLSTMCell": "lstm", "CustomGRUCell": "gru"}.get(type(cell).__name__)
    if kind is None or cell.clip:
        raise UnsupportedOp(
            f"a recurrent cell {type(cell).__name__}" + (" with clipping" if kind else ""),
            hint="use nn.LSTM or nn.GRU without clipping",
        )
    attributes = _lstm(cell) if kind == "lstm" else _gru(cell)
    return [Node(kind, [data], results, {**attributes, "go_backwards": bool(layer.go_backwards)})]


def _flat(state: Any) -> list[Any]:
    return list(state) if isinstance(state, (list, tuple)) else [state]


def _lstm(cell: Any) -> dict[str, Any]:
    names = [type(function).__name__ for function in cell.activations]
    peepholes = any(item is not None for item in (cell.peephole_i, cell.peephole_f, cell.peephole_o))
    if names[:3] != ["Sigmoid", "Tanh", "Tanh"] or cell.input_forget or peepholes:
        raise UnsupportedOp(f"an LSTM with activations {names}, peepholes or coupled gates", hint="use plain nn.LSTM")
    biases = [np.ravel(np.asarray(item)) for item in (cell.bi, cell.bf, cell.bc, cell.bo)]
    return {
        "kernel": np.asarray(cell.kernel),
        "recurrent_kernel": np.asarray(cell.recurrent_kernel),
        "bias": np.concatenate(biases).astype(np.float32),
    }


def _gru(cell: Any) -> dict[str, Any]:
    names = [type(function).__name__ for function in cell.activations]
    if names[:2] != ["Sigmoid", "Tanh"]:
        raise UnsupportedOp(f"a GRU with activations {names}", hint="use plain nn.GRU")
    kernels = [np.asarray(item).T for item in (cell.w_z, cell.w_r, cell.w_h)]
    recurrent = [np.asarray(item).T for item in (cell.r_z, cell.r_r, cell.r_h)]
    units = recurrent[0].shape[0]
    inputs = [np.broadcast_to(np.ravel(np.asarray(item)), (units,)) for item in (cell.w_bz, cell.w_br, cell.w_bh)]
    states = [np.broadcast_to(np.ravel(np.asarray(item)), (units,)) for item in (cell.r_bz, cell.r_br, cell.r_bh)]
    return {
        "kernel": np.concatenate(kernels, axis=1),
        "recurrent_kernel": np.concatenate(recurrent, axis=1),
        "bias": np.stack([np.concatenate(inputs), np.concatenate(states)]).astype(np.float32),
        "reset_after": bool(cell.linear_before_reset),
    }


LAYERS = {
    "Flatten": _flatten,
    "LayerNormalization": _layer_norm,
    "Conv2D": _grouped_convolution,
    "RNN": _recurrent,
}
