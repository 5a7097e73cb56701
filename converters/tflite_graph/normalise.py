"""Gives a file TensorFlow wrote the names of the spec, and takes out what is not needed and may vary."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from converters.errors import ForeignToolFailed
from converters.spec import Interface, TensorSpec
from converters.tflite_graph.flatbuffer import operator_code

_KINDS = schema.BuiltinOperator
_GROUPED_VERSION = 6
_LOOKUP_NUMBER = re.compile(rb"(?<=/embedding_lookup/)\d+")
"""TensorFlow names an embedding's table after a counter of the whole process."""


def normalise(model: Any, interface: Interface, signature: str, output_layers: Sequence[str] = ()) -> None:
    """Adds the signature ``signature`` with the spec's names; removes TensorFlow's metadata and description; in place.

    Args:
        model: a ``ModelT`` with one graph whose inputs and outputs are in the order of the spec.
        interface: names and shapes.
        signature: key of the signature.
        output_layers: Keras layer of each output; TensorFlow leaves those out of the outputs' names.

    Raises:
        ForeignToolFailed: the file's inputs or outputs are not those of the spec.
    """
    graph = model.subgraphs[0]
    spec = interface.spec
    inputs = _match(graph, list(graph.inputs), spec.inputs, interface)
    outputs = _match(graph, list(graph.outputs), spec.outputs, interface)
    definition = schema.SignatureDefT()
    definition.signatureKey = signature
    definition.subgraphIndex = 0
    definition.inputs = [_entry(name, index) for name, index in inputs.items()]
    definition.outputs = [_entry(name, index) for name, index in outputs.items()]
    model.signatureDefs = [definition]
    graph.inputs = list(inputs.values())
    graph.outputs = list(outputs.values())
    graph.name = spec.name
    model.description = "converted"
    model.metadata, model.metadataBuffer = [], None
    for tensor in graph.tensors:
        tensor.name = _LOOKUP_NUMBER.sub(b"table", tensor.name)
    for name, index in inputs.items():
        graph.tensors[index].name = name
    _lower_versions(model)
    _name_outputs(model, graph, dict(zip(outputs.values(), output_layers, strict=False)), spec.name)


def _lower_versions(model: Any) -> None:
    """Gives plain float operators their own operator code.

    TensorFlow writes one code for all operators of a kind, with the version of the most demanding: a single grouped
    convolution (version 6, which NNAPI refuses) would take all others with it.
    """
    for graph in model.subgraphs:
        for operator in graph.operators or ():
            code = model.operatorCodes[operator.opcodeIndex]
            kind = max(code.builtinCode, code.deprecatedBuiltinCode)
            version = {_KINDS.CONV_2D: 2, _KINDS.FULLY_CONNECTED: 1}.get(kind)
            if version is None or code.version <= version:
                continue
            data, kernel = (graph.tensors[int(index)] for index in operator.inputs[:2])
            floats = data.type == kernel.type == schema.TensorType.FLOAT32
            if kind == _KINDS.CONV_2D:
                plain = code.version >= _GROUPED_VERSION and int(data.shape[3]) == int(kernel.shape[3])
            else:
                plain = not operator.builtinOptions.keepNumDims
            if floats and plain:
                operator.opcodeIndex = operator_code(model, kind, version)


def _name_outputs(model: Any, graph: Any, layers: dict[int, str], part: str) -> None:
    for operator in graph.operators or ():
        code = model.operatorCodes[operator.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) == schema.BuiltinOperator.DEQUANTIZE:
            continue  # stems from no layer
        for index in operator.outputs:
            if int(index) in layers:
                graph.tensors[index].name = f"{part}/{layers[int(index)]}/output"


def _match(graph: Any, indices: list[int], tensors: tuple[TensorSpec, ...], interface: Interface) -> dict[str, int]:
    """Ties the file's tensors to the spec's, by name where TensorFlow kept it and else by order."""
    if len(indices) != len(tensors):
        raise ForeignToolFailed(
            f"the TFLite file has {len(indices)} inputs or outputs where the part has {len(tensors)}",
            where=interface.spec.name,
        )
    names = [graph.tensors[index].name.decode().partition(":")[0].removeprefix("serving_default_") for index in indices]
    by_name = all(tensor.name in names for tensor in tensors)
    found = {
        tensor.name: int(indices[names.index(tensor.name) if by_name else position])
        for position, tensor in enumerate(tensors)
    }
    for tensor in tensors:
        shape = tuple(int(size) for size in graph.tensors[found[tensor.name]].shape)
        if shape != interface.layouts[tensor.name].target_shape:
            raise ForeignToolFailed(
                f"the TFLite file gives {tensor.name!r} the shape {shape}", where=interface.spec.name
            )
    return found


def _entry(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
