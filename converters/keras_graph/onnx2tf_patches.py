"""What is changed in onnx2tf for the time of one conversion, and put back afterwards.

No file but `onnx_to_keras` imports onnx2tf; this one is handed its modules.

onnx2tf decides from shapes whether a tensor has been moved to channels-last, and corrects axes accordingly. Inside a
segment the answer is known beforehand, and some of its guesses are wrong however plain the graph is (a transpose whose
axes have equal sizes, a transpose before a softmax, a repetition, a constant of rank three). In absolute segments the
answer is therefore imposed, and the operators that guess anyway are given their definition.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import random
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from converters import frameworks

MakeNode = Callable[..., None]


@contextlib.contextmanager
def quiet(log: io.StringIO) -> Iterator[None]:
    """Sends what onnx2tf prints into ``log`` and restores what it changes in the process."""
    cuda = os.environ.get("CUDA_VISIBLE_DEVICES")
    python_state, numpy_state = random.getstate(), np.random.get_state()
    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        if cuda is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = cuda


@contextlib.contextmanager
def patched(
    module: ModuleType, captured: dict[str, Any], operators: set[str], *, absolute: bool, exact: bool = True
) -> Iterator[None]:
    """Takes and changes, for the time of one conversion:

    * its table of tensors, which ties Keras layers to ONNX nodes exactly, is handed out in ``captured``;
    * the inference of the whole graph on all-ones inputs does not run (it guides guesses the segments leave no room
      for); onnx2tf treats its failure as "no hints";
    * the test images it downloads when an input has three channels are not fetched;
    * the graph it was given is not written anew, weights and all, for that inference; onnx2tf goes on with the first;
    * with ``exact``, operators of `_EXACT` (`_EXACT_LAST` in channels-last segments) follow their definition;
    * with ``absolute``, no tensor counts as moved to channels-last.
    """
    restore: list[tuple[ModuleType, str, Any]] = []

    def put(owner: ModuleType, name: str, value: object) -> None:
        restore.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    collect = module.get_tf_model_outputs

    def outputs_and_capture(*, tf_layers_dict: dict[str, Any], output_names: list[str]) -> list[Any]:
        captured.update(tf_layers_dict)
        return collect(tf_layers_dict=tf_layers_dict, output_names=output_names)

    try:
        put(module, "get_tf_model_outputs", outputs_and_capture)
        put(module, "dummy_onnx_inference", _no_inference)
        put(module, "download_test_image_data", _no_download)
        put(module, "gs", SimpleNamespace(**{**vars(module.gs), "export_onnx": _no_export}))
        for name in sorted(operators):
            try:
                operator = importlib.import_module(f"{module.__package__}.ops.{name}")
            except ModuleNotFoundError:
                continue  # onnx2tf itself reports the operator, with the node it stands in
            if absolute:
                definition = _EXACT.get(name) if exact else None
                put(operator, "make_node", _absolute(definition or operator.make_node))
            elif exact and name in _EXACT_LAST:
                put(operator, "make_node", _EXACT_LAST[name])
        yield
    finally:
        for owner, name, value in reversed(restore):
            setattr(owner, name, value)


def _no_inference(**_: object) -> list[np.ndarray]:
    raise RuntimeError("whole-graph inference is switched off")


def _no_export(*_: object, **__: object) -> None:
    raise RuntimeError("the graph is not needed a second time")


def _no_download() -> np.ndarray:
    return np.zeros([20, 128, 128, 3], np.float32)


def _absolute(make_node: MakeNode) -> MakeNode:
    """``make_node`` that is told none of its inputs was moved to channels-last."""

    def wrapped(*, graph_node: Any, tf_layers_dict: dict[str, Any], **options: Any) -> None:
        for tensor in graph_node.inputs:
            entry = tf_layers_dict.setdefault(tensor.name, {})
            entry["before_op_output_shape_trans"] = False
            entry["nhwc"] = False
        make_node(graph_node=graph_node, tf_layers_dict=tf_layers_dict, **options)

    return wrapped


def _exact(build: Callable[..., Any], *, last: bool = False) -> MakeNode:
    """An operator by its definition: ``build(tf, node, *operands)`` returns the output tensor.

    With ``last`` the data is channels-last, so constants of rank 4 are re-laid too.
    """

    def make_node(*, graph_node: Any, tf_layers_dict: dict[str, Any], **_: object) -> None:
        tf = frameworks.tensorflow()
        operands = []
        for tensor in graph_node.inputs:
            if hasattr(tensor, "values"):
                values = np.asarray(tensor.values)
                operands.append(values.transpose(0, 2, 3, 1) if last and values.ndim == 4 else values)
            elif not tensor.name:
                operands.append(None)
            else:
                operands.append(tf_layers_dict[tensor.name]["tf_node"])
        output = graph_node.outputs[0]
        tf_layers_dict[output.name] = {
            "optype": graph_node.op,
            "shape": output.shape,
            "dtype": output.dtype,
            "nhwc": last,
            "tf_node": build(tf, graph_node, *operands),
        }

    return make_node


def _transpose(tf: Any, node: Any, data: Any) -> Any:
    perm = node.attrs.get("perm", list(reversed(range(len(data.shape)))))
    return tf.transpose(data, [int(axis) for axis in perm], name=node.name)


def _reshape(tf: Any, node: Any, data: Any, shape: np.ndarray) -> Any:
    sizes = [int(data.shape[axis]) if size == 0 else int(size) for axis, size in enumerate(shape)]
    return tf.reshape(data, sizes, name=node.name)


def _to_output_shape(tf: Any, node: Any, data: Any, *_: object) -> Any:
    return tf.reshape(data, [int(size) for size in node.outputs[0].shape], name=node.name)


def _tile(tf: Any, node: Any, data: Any, repeats: np.ndarray) -> Any:
    return tf.tile(data, [int(count) for count in repeats], name=node.name)


def _expand(tf: Any, node: Any, data: Any, shape: np.ndarray) -> Any:
    return tf.broadcast_to(data, np.broadcast_shapes(tuple(data.shape), tuple(int(s) for s in shape)), name=node.name)


def _slice(tf: Any, node: Any, data: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
    parts = [slice(None)] * len(data.shape)
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        begin, stop, stride = slice(int(start), int(end), int(step)).indices(int(data.shape[int(axis)]))
        parts[int(axis)] = slice(begin, None if stop < 0 else stop, stride)
    return data[tuple(parts)]


def _pad(tf: Any, node: Any, data: Any, pads: Any, value: Any = None, axes: Any = None) -> Any:
    rank = len(data.shape)
    amounts = [[0, 0] for _ in range(rank)]
    axes = range(rank) if axes is None else axes
    for position, axis in enumerate(axes):
        amounts[int(axis)] = [int(pads[position]), int(pads[position + len(pads) // 2])]
    mode = node.attrs.get("mode", "constant")
    if mode == "edge":
        for axis, (before, after) in enumerate(amounts):
            size = int(data.shape[axis])
            if before or after:
                first = tf.gather(data, [0] * before, axis=axis) if before else None
                last = tf.gather(data, [size - 1] * after, axis=axis) if after else None
                data = tf.concat([part for part in (first, data, last) if part is not None], axis)
        return data
    fill = float(value) if value is not None and np.size(value) else 0.0
    return tf.pad(data, amounts, mode={"constant": "CONSTANT", "reflect": "REFLECT"}[mode], constant_values=fill)


def _concat(tf: Any, node: Any, *parts: Any) -> Any:
    return tf.concat(list(parts), axis=int(node.attrs["axis"]), name=node.name)


def _concat_last(tf: Any, node: Any, *parts: Any) -> Any:
    return tf.concat(list(parts), axis=(0, 3, 1, 2)[int(node.attrs["axis"])], name=node.name)


def _where(tf: Any, node: Any, condition: Any, yes: Any, no: Any) -> Any:
    return tf.where(condition, yes, no, name=node.name)


def _softmax(tf: Any, node: Any, data: Any) -> Any:
    return tf.nn.softmax(data, axis=int(node.attrs.get("axis", -1)), name=node.name)


def _gather(tf: Any, node: Any, table: Any, indices: Any) -> Any:
    axis = int(node.attrs.get("axis", 0))
    if isinstance(indices, np.ndarray):  # token ids are never negative; constant indices may be, and are counted here
        size = int(table.shape[axis])
        indices = np.where(indices < 0, indices + size, indices).astype(np.int32)
    return tf.gather(table, indices, axis=axis, name=node.name)


def _binary(symbol: str) -> Callable[..., Any]:
    return lambda tf, node, left, right: getattr(tf.math, symbol)(left, right, name=node.name)


def _divide(tf: Any, node: Any, left: Any, right: Any) -> Any:
    whole = np.issubdtype(np.dtype(node.outputs[0].dtype), np.integer)
    return getattr(tf, "truncatediv" if whole else "divide")(left, right, name=node.name)


def _matmul(tf: Any, node: Any, left: Any, right: Any) -> Any:
    return tf.matmul(left, right, name=node.name)


_EXACT: dict[str, MakeNode] = {
    "Transpose": _exact(_transpose),
    "Reshape": _exact(_reshape),
    "Squeeze": _exact(_to_output_shape),
    "Unsqueeze": _exact(_to_output_shape),
    "Flatten": _exact(_to_output_shape),
    "Tile": _exact(_tile),
    "Expand": _exact(_expand),
    "Slice": _exact(_slice),
    "Pad": _exact(_pad),
    "Concat": _exact(_concat),
    "Gather": _exact(_gather),
    "Where": _exact(_where),
    "Softmax": _exact(_softmax),
    "MatMul": _exact(_matmul),
    "Add": _exact(_binary("add")),
    "Sub": _exact(_binary("subtract")),
    "Mul": _exact(_binary("multiply")),
    "Div": _exact(_divide),
}

_EXACT_LAST: dict[str, MakeNode] = {
    "Add": _exact(_binary("add"), last=True),
    "Sub": _exact(_binary("subtract"), last=True),
    "Mul": _exact(_binary("multiply"), last=True),
    "Div": _exact(_divide, last=True),
    "Concat": _exact(_concat_last, last=True),
}
