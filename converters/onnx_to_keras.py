"""ONNX to Keras with onnx2tf: the only file that imports it.

onnx2tf is given one segment at a time (see `keras_graph.segments`), with static shapes, on a scratch copy, without its
SavedModel exports and without its inference of the whole model on all-ones inputs: both cost most of its time, and
the second cannot see the errors it looks for. Correctness is established by the parity checks of every hop instead.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import frameworks
from converters.errors import ForeignToolFailed, UnsupportedOp
from converters.keras_graph import segments
from converters.keras_graph.onnx2tf_patches import patched, quiet
from converters.keras_graph.onnx_constants import without_constant_nodes
from converters.memory import release_unused_memory
from converters.onnx_graph.weights_size import weights_bytes
from converters.spec import Arrays, Interface, Layout

if TYPE_CHECKING:
    import onnx
    import tf_keras

_LAST_LINES = 12
_TO_LAST = (0, 2, 3, 1)
_TO_FIRST = (0, 3, 1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePiece:
    """One segment as onnx2tf converted it.

    Attributes:
        segment: what it covers; tensors by ONNX name.
        model: functional model, inputs and outputs in the order of the segment's.
        tensors: Keras tensor of every ONNX tensor computed inside, by ONNX name.
        nodes: ONNX node that computes each of those tensors; copies, for a node of a model keeps all of it in memory.
    """

    segment: segments.Segment
    model: tf_keras.Model
    tensors: Mapping[str, Any]
    nodes: Mapping[str, onnx.NodeProto]


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasStage:
    """A model part in Keras as onnx2tf gives it: no trainable weight, constants inside function calls.

    Attributes:
        model: one functional model, in the layouts of ``interface``.
        interface: the part's interface; signals ``[N, 1, T, C]``, images ``[N, H, W, C]``, the rest as in ONNX.
        pieces: the segments it is composed of, in order.
        channels_last: ONNX tensors that Keras stores channels-last, of all segments.
        names: Keras layer name to ONNX node name, for layers that compute an ONNX tensor.
    """

    model: tf_keras.Model
    interface: Interface
    pieces: tuple[StagePiece, ...]
    channels_last: frozenset[str]
    names: Mapping[str, str]


def to_keras(
    model: onnx.ModelProto, interface: Interface, *, log_path: Path | None = None, exact_operators: bool = True
) -> KerasStage:
    """Converts a rewritten ONNX graph (static shapes, signals ``[N, C, 1, T]``) to Keras.

    Args:
        model: the graph; not changed.
        interface: its tensors' layouts in ONNX.
        log_path: file that receives everything onnx2tf prints; a temporary one when a failure has to show it.
        exact_operators: replace onnx2tf's translation of the operators it guesses about by their definition; without,
            its known faults show (it drops slices with step -1, for one), which the checks are tested with.

    Raises:
        ForeignToolFailed: onnx2tf raised; the message carries its version and last lines.
        UnsupportedOp: an operator onnx2tf does not know.
        ShapeNotStatic: a tensor's shape is not known.
    """
    release_unused_memory(weights_bytes(model))
    model = without_constant_nodes(model)
    shapes = segments.tensor_shapes(model)
    layouts = segments.node_layouts(model, shapes)
    cuts = segments.cut(model, layouts)
    log = io.StringIO()
    try:
        pieces = []
        for number, cut in enumerate(cuts):
            alone = segments.extract(model, cut, shapes)
            if number == len(cuts) - 1:
                del model  # what is left of it is in ``alone``; where the caller does not keep it, its weights go
            pieces.append(_convert(alone, cut, log, exact_operators))
            del alone
    finally:
        if log_path is not None:
            log_path.write_text(log.getvalue(), encoding="utf-8")
    last = {name for piece in cuts if piece.layout == segments.CHANNELS_LAST for name in piece.outputs}
    last |= _inputs_stored_last(cuts, interface, shapes)
    target = _interface(interface, frozenset(last))
    names = {
        tensor._keras_history.layer.name: piece.nodes[name].name
        for piece in pieces
        for name, tensor in piece.tensors.items()
        if hasattr(tensor, "_keras_history")
    }
    return KerasStage(
        model=_compose(pieces, target, last),
        interface=target,
        pieces=tuple(pieces),
        channels_last=frozenset(last),
        names=names,
    )


def _inputs_stored_last(
    cuts: list[segments.Segment], interface: Interface, shapes: Mapping[str, tuple[int, ...]]
) -> set[str]:
    """Graph inputs that Keras stores channels-last: signals, and images that a channels-last segment reads."""
    read_last = {name for cut in cuts if cut.layout == segments.CHANNELS_LAST for name in cut.inputs}
    found = set()
    for tensor in interface.spec.inputs:
        layout = interface.layouts[tensor.name]
        if len(shapes[tensor.name]) == 4 and (layout.expanded != tensor.shape or tensor.name in read_last):
            found.add(tensor.name)
    return found


def _interface(interface: Interface, last: frozenset[str]) -> Interface:
    layouts = {}
    for tensor in (*interface.spec.inputs, *interface.spec.outputs):
        layout = interface.layouts[tensor.name]
        signal = layout.expanded != tensor.shape and len(layout.expanded) == 4
        if tensor.name in last or signal:
            layout = Layout(layout.torch_shape, layout.expanded, tuple(layout.permutation[axis] for axis in _TO_LAST))
        layouts[tensor.name] = layout
    return Interface(spec=interface.spec, layouts=layouts)


def _convert(model: onnx.ModelProto, segment: segments.Segment, log: io.StringIO, exact: bool) -> StagePiece:
    """Converts a segment's own model, which is used up."""
    nodes = _nodes(model)
    names = [node.name for node in model.graph.node]
    shapes = {v.name: segments.static_shape(v) for v in (*model.graph.input, *model.graph.output)}
    keep = [] if segment.layout == segments.CHANNELS_LAST else list(segment.inputs)
    keep += [value.name for value in model.graph.input if len(value.type.tensor_type.shape.dim) != 4]
    captured: dict[str, Any] = {}
    renamed = _give_safe_names(model)
    start = log.tell()
    absolute = segment.layout == segments.ABSOLUTE
    operators = {node.op_type for node in model.graph.node}
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(quiet(log))
            scratch = stack.enter_context(tempfile.TemporaryDirectory())
            import onnx2tf

            stack.enter_context(patched(onnx2tf.onnx2tf, captured, operators, absolute=absolute, exact=exact))
            keras_model = onnx2tf.convert(
                onnx_graph=model,
                output_folder_path=scratch,
                keep_shape_absolutely_input_names=[renamed[name] for name in keep] or None,
                not_use_onnxsim=True,
                not_use_opname_auto_generate=True,
                disable_strict_mode=True,
                disable_model_save=True,
                onnxruntime_output_memmap=False,
                enable_rnn_unroll=False,
                verbosity="warn",
            )
    except (Exception, SystemExit) as error:  # noqa: BLE001 (always re-raised, as our own)
        log.seek(start)
        _raise_foreign(error, names, log.read())
    tensors = {name: captured[renamed[name]]["tf_node"] for name in nodes if renamed[name] in captured}
    _check_shapes(keras_model, segment, shapes)
    return StagePiece(segment=segment, model=keras_model, tensors=tensors, nodes=nodes)


def _nodes(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    """The node that computes each tensor, with the names of the part."""
    found = {}
    for node in model.graph.node:
        copy = frameworks.onnx().NodeProto()
        copy.CopyFrom(node)
        found.update(dict.fromkeys((name for name in node.output if name), copy))
    return found


def _give_safe_names(model: onnx.ModelProto) -> dict[str, str]:
    """Gives tensors and nodes names TensorFlow accepts as scopes, for onnx2tf turns them into layer names; in place.

    Returns:
        Former tensor name to the new one.
    """
    names = [value.name for value in model.graph.input] + [n for node in model.graph.node for n in node.output if n]
    renamed = {name: f"t{index}" for index, name in enumerate(dict.fromkeys(names))}
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        value.name = renamed.get(value.name, value.name)
    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}_{node.op_type}"
        for names_of_side in (node.input, node.output):
            for position, name in enumerate(names_of_side):
                names_of_side[position] = renamed.get(name, name)
    return renamed


def _raise_foreign(error: BaseException, nodes: list[str], text: str) -> None:
    where = ""
    failed = str(getattr(error, "onnx_op_name", "") or "")
    if failed.startswith("n") and failed[1:].partition("_")[0].isdigit():
        where = nodes[int(failed[1:].partition("_")[0])]
    if isinstance(error, ModuleNotFoundError) and str(error.name or "").startswith("onnx2tf.ops."):
        raise UnsupportedOp(
            f"onnx2tf has no translation of the ONNX operator {error.name.rpartition('.')[2]}",
            where=where,
            hint="replace the layer by supported ones, or cut the model before it",
        ) from error
    with tempfile.NamedTemporaryFile("w", prefix="onnx2tf-", suffix=".log", delete=False, encoding="utf-8") as file:
        file.write(text + f"\n{type(error).__name__}: {error}\n")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    last = [line for line in plain.splitlines() if line.strip()][-_LAST_LINES:]
    raise ForeignToolFailed(
        "\n".join([f"onnx2tf {version('onnx2tf')} failed: {type(error).__name__}: {error}", *last]),
        where=where,
        hint=f"whole log: {file.name}",
    ) from error


def _check_shapes(
    keras_model: tf_keras.Model, segment: segments.Segment, shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """onnx2tf may drop or re-lay an output; its contract here is exact, so a difference is a failure."""
    for names, tensors in ((segment.inputs, keras_model.inputs), (segment.outputs, keras_model.outputs)):
        if len(names) != len(tensors):
            raise ForeignToolFailed(
                f"onnx2tf returned {len(tensors)} tensors where the graph has {len(names)}", where=", ".join(names)
            )
        for name, tensor in zip(names, tensors, strict=True):
            expected = shapes[name]
            if segment.layout == segments.CHANNELS_LAST and len(expected) == 4:
                expected = tuple(expected[axis] for axis in _TO_LAST)
            if tuple(tensor.shape) != expected:
                raise ForeignToolFailed(
                    f"onnx2tf gave {name!r} the shape {tuple(tensor.shape)} instead of {expected}", where=name
                )


def _compose(pieces: list[StagePiece], interface: Interface, last: set[str]) -> tf_keras.Model:
    """One functional model out of the pieces, with explicit transposes between layouts."""
    tf, keras = frameworks.tensorflow(), frameworks.tf_keras()
    types = {"float32": tf.float32, "int32": tf.int32}
    known: dict[str, Any] = {}
    inputs = []
    for tensor in interface.spec.inputs:
        shape = interface.layouts[tensor.name].target_shape
        inputs.append(keras.Input(batch_size=shape[0], shape=shape[1:], dtype=types[tensor.dtype], name=tensor.name))
        known[tensor.name] = inputs[-1]
    stored_last = set(last)
    for piece in pieces:
        wants_last = piece.segment.layout == segments.CHANNELS_LAST
        arguments = []
        for name in piece.segment.inputs:
            value = known[name]
            if len(value.shape) == 4 and (name in stored_last) != wants_last:
                value = tf.transpose(value, _TO_LAST if wants_last else _TO_FIRST)
            arguments.append(value)
        results = piece.model(arguments if len(arguments) != 1 else arguments[0])
        results = results if isinstance(results, (list, tuple)) else [results]
        known.update(zip(piece.segment.outputs, results, strict=True))
    outputs = []
    for tensor in interface.spec.outputs:
        value = known[tensor.name]
        wants_last = tuple(value.shape) != interface.layouts[tensor.name].target_shape
        outputs.append(tf.transpose(value, _TO_LAST) if wants_last else value)
    return keras.Model(inputs=inputs, outputs=outputs, name=interface.spec.name)


def stage_intermediates(
    stage: KerasStage, model: onnx.ModelProto, reference: Arrays, arrays: Arrays
) -> dict[str, np.ndarray]:
    """Value of every ONNX node in the stage, each piece fed with reference values: a wrong one poisons no other.

    Args:
        stage: what `to_keras` gave for ``model``.
        model: the graph.
        reference: first output of each ONNX node, by node name, as ONNX Runtime computes it.
        arrays: the part's inputs in torch's layout.

    Returns:
        First output of each node by node name, in Keras' layout.
    """
    keras = frameworks.tf_keras()
    known: dict[str, np.ndarray] = {}
    for tensor in stage.interface.spec.inputs:
        known[tensor.name] = np.asarray(arrays[tensor.name], tensor.dtype).reshape(
            stage.interface.layouts[tensor.name].expanded
        )
    known |= {node.output[0]: reference[node.name] for node in model.graph.node if node.name in reference}
    found: dict[str, np.ndarray] = {}
    for piece in stage.pieces:
        last = piece.segment.layout == segments.CHANNELS_LAST
        feeds = []
        for name in piece.segment.inputs:
            value = known[name]
            feeds.append(value.transpose(_TO_LAST) if last and value.ndim == 4 else value)
        tensors = {name: t for name, t in piece.tensors.items() if hasattr(t, "_keras_history")}
        probe = keras.Model(inputs=piece.model.inputs, outputs=list(tensors.values()))
        results = probe(feeds if len(feeds) != 1 else feeds[0])
        results = results if isinstance(results, (list, tuple)) else [results]
        for name, result in zip(tensors, results, strict=True):
            value = np.asarray(result)
            if name == piece.nodes[name].output[0]:
                found[piece.nodes[name].name] = value
            known.setdefault(name, value.transpose(_TO_FIRST) if last and value.ndim == 4 else value)
    return found
