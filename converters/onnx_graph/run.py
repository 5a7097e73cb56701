"""Runs ONNX graphs, graph optimisations off: outputs in torch layout, or any inner values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from converters.errors import InputError
from converters.frameworks import onnx, onnxruntime
from converters.onnx_graph.graph import Graph
from converters.onnx_graph.weights_size import tensor_bytes
from converters.spec import Arrays, Interface, Runner

_THREADS = 2
_LARGE_BYTES = 65_536


def _session(model: Any) -> Any:
    """A session that reads large initialisers where they are.

    Written into the serialised model they would be copied three times, which for a transformer takes longer than
    running it.
    """
    runtime, names, values = onnxruntime(), [], []
    stub = without_initializers(model)
    for initializer in model.graph.initializer:
        held = stub.graph.initializer.add()
        if tensor_bytes(initializer) < _LARGE_BYTES or not initializer.HasField("raw_data"):
            held.CopyFrom(initializer)
            continue
        names.append(initializer.name)
        values.append(runtime.OrtValue.ortvalue_from_numpy(onnx().numpy_helper.to_array(initializer)))
        held.name, held.data_type = initializer.name, initializer.data_type
        held.dims.extend(initializer.dims)
        held.data_location = onnx().TensorProto.EXTERNAL
        # The field is mandatory; nothing is read from there, since the value is given.
        held.external_data.add(key="location", value="given")
    options = _options()
    if names:
        options.add_external_initializers(names, values)
    return runtime.InferenceSession(stub.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _options() -> Any:
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = _THREADS
    options.log_severity_level = 3
    # The arena keeps every activation's room for as long as the session lives.
    options.enable_cpu_mem_arena = False
    # Repacked weights are a second copy, made for a session that runs a few times.
    options.add_session_config_entry("session.disable_prepacking", "1")
    return options


def without_initializers(model: Any) -> Any:
    """A copy of an ``onnx.ModelProto`` without the bulk of it."""
    stub = onnx().ModelProto()
    for field, value in model.ListFields():
        if field.name != "graph":
            _set_field(stub, field, value)
    for field, value in model.graph.ListFields():
        if field.name != "initializer":
            _set_field(stub.graph, field, value)
    return stub


def _set_field(message: Any, field: Any, value: Any) -> None:
    if field.label == field.LABEL_REPEATED:
        getattr(message, field.name).extend(value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def _feeds(session: Any, interface: Interface, arrays: Arrays, held: Arrays) -> dict[str, np.ndarray]:
    """Arrays in torch layout to what the graph's own inputs expect; unread inputs may have been folded away."""
    feeds = dict(held)
    for node in session.get_inputs():
        if node.name in held:
            continue
        if node.name not in arrays:
            raise InputError(f"no array given for input {node.name!r}", where=interface.spec.name)
        array = np.asarray(arrays[node.name])
        layout = interface.layouts.get(node.name)
        feeds[node.name] = array if layout is None else layout.to_target(array)
    return feeds


def onnx_runner(model: Any, interface: Interface) -> Runner:
    """A runner of ``model``; arrays go in and come out in torch layout."""
    return _runner(_session(model), interface, {})


def graph_runner(graph: Graph, interface: Interface) -> Runner:
    """A runner of a graph as it stands; its large constants are read where they are, not copied into a model."""
    session, held = graph_session(graph)
    return _runner(session, interface, held)


def graph_session(graph: Graph) -> tuple[Any, dict[str, np.ndarray]]:
    """A session of a graph, and its large constants, to be fed: in a model they would be copied four times."""
    model = graph.to_model(large_constants=False).SerializeToString()
    session = onnxruntime().InferenceSession(model, _options(), providers=["CPUExecutionProvider"])
    held = {v.name: np.ascontiguousarray(a) for v in session.get_inputs() if (a := graph.constant(v.name)) is not None}
    return session, held


def _runner(session: Any, interface: Interface, held: Arrays) -> Runner:
    names = [o.name for o in session.get_outputs()]

    def run(arrays: Arrays) -> dict[str, np.ndarray]:
        values = session.run(names, _feeds(session, interface, arrays, held))
        return {
            name: interface.layouts[name].to_torch(value) if name in interface.layouts else value
            for name, value in zip(names, values, strict=True)
        }

    return run


def intermediates(
    model: Any, interface: Interface, arrays: Arrays, node_names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """First output of each named node (all nodes when None), as the graph lays it out, keyed by node name."""
    exposed = onnx().ModelProto()
    exposed.CopyFrom(model)
    wanted = [n for n in exposed.graph.node if node_names is None or n.name in node_names]
    present = {o.name for o in exposed.graph.output}
    for node in wanted:
        if node.output[0] not in present:
            exposed.graph.output.add(name=node.output[0])
            present.add(node.output[0])
    session = _session(exposed)
    outputs = [n.output[0] for n in wanted]
    values = session.run(outputs, _feeds(session, interface, arrays, {}))
    return {node.name: value for node, value in zip(wanted, values, strict=True)}
