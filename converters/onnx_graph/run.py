"""Runs ONNX graphs, graph optimisations off: outputs in torch layout, or any inner values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from converters.errors import InputError
from converters.frameworks import onnx, onnxruntime
from converters.spec import Arrays, Interface, Runner

_THREADS = 2
_LARGE_BYTES = 65_536


def _session(model: Any) -> Any:
    """A session that reads large initialisers where they are.

    Written into the serialised model they would be copied three times, which for a transformer takes longer than
    running it.
    """
    runtime, stub, names, values = onnxruntime(), onnx().ModelProto(), [], []
    stub.CopyFrom(model)
    for initializer in stub.graph.initializer:
        if len(initializer.raw_data) < _LARGE_BYTES:
            continue
        names.append(initializer.name)
        values.append(runtime.OrtValue.ortvalue_from_numpy(onnx().numpy_helper.to_array(initializer)))
        initializer.ClearField("raw_data")
        initializer.data_location = onnx().TensorProto.EXTERNAL
        # The field is mandatory; nothing is read from there, since the value is given.
        initializer.external_data.add(key="location", value="given")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = _THREADS
    options.log_severity_level = 3
    # Repacked weights are a second copy, made for a session that runs a few times.
    options.add_session_config_entry("session.disable_prepacking", "1")
    if names:
        options.add_external_initializers(names, values)
    return runtime.InferenceSession(stub.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _feeds(session: Any, interface: Interface, arrays: Arrays) -> dict[str, np.ndarray]:
    """Arrays in torch layout to what the graph's own inputs expect; unread inputs may have been folded away."""
    feeds = {}
    for node in session.get_inputs():
        if node.name not in arrays:
            raise InputError(f"no array given for input {node.name!r}", where=interface.spec.name)
        array = np.asarray(arrays[node.name])
        layout = interface.layouts.get(node.name)
        feeds[node.name] = array if layout is None else layout.to_target(array)
    return feeds


def onnx_runner(model: Any, interface: Interface) -> Runner:
    """A runner of ``model``; arrays go in and come out in torch layout."""
    session = _session(model)
    names = [o.name for o in session.get_outputs()]

    def run(arrays: Arrays) -> dict[str, np.ndarray]:
        values = session.run(names, _feeds(session, interface, arrays))
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
    values = session.run(outputs, _feeds(session, interface, arrays))
    return {node.name: value for node, value in zip(wanted, values, strict=True)}
