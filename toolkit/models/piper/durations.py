"""Cuts the stochastic duration predictor out of a Piper graph, with its noise as an input.

The cut is found by structure, not by tensor names: the noise enters as ``RandomNormalLike * noise_w`` in ``/dp``, the
encoder output as the input of ``/dp/pre``, the mask as the other factor after ``/dp/proj``, and the result is what
the top level exponentiates.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from converters import frameworks
from converters.errors import InputError
from toolkit.models.piper.graph import PiperGraph
from toolkit.models.piper.weights import SPEAKER_TABLE
from toolkit.models.vits.durations import INPUT_NAMES, OUTPUT_NAME, OnnxDurations, store_half

if TYPE_CHECKING:
    import onnx


def extract_durations(graph: PiperGraph, speaker_vector: np.ndarray | None, *, half: bool = True) -> OnnxDurations:
    """The duration predictor of a voice.

    Args:
        graph: the voice.
        speaker_vector: ``[gin]`` for a multi-speaker voice; it becomes a constant of the graph.
        half: store weights as float16.

    Raises:
        InputError: the graph has no stochastic duration predictor where Piper puts it.
    """
    onnx = frameworks.onnx()
    nodes = graph.model.graph.node
    cuts = _cuts(graph)
    if speaker_vector is not None:
        cuts |= _speaker_cut(graph)
    extractor = onnx.utils.Extractor(_typed(graph.model, cuts))
    model = extractor.extract_model([cuts[name] for name in cuts if name != OUTPUT_NAME], [cuts[OUTPUT_NAME]])
    if any(node.op_type.startswith("Random") for node in model.graph.node):
        raise _foreign(graph, f"noise reaches the duration predictor elsewhere ({len(nodes)} nodes searched)")
    if speaker_vector is not None:
        _bind(model, cuts["speaker"], speaker_vector.reshape(1, -1, 1))
    renamed = _shorten(model, {tensor: name for name, tensor in cuts.items()})
    stored = store_half(renamed) if half else renamed
    onnx.checker.check_model(stored)
    return OnnxDurations(model=stored.SerializeToString())


def _cuts(graph: PiperGraph) -> dict[str, str]:
    """Name in the small graph to tensor of the voice."""
    nodes = list(graph.model.graph.node)
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            users.setdefault(name, []).append(node)
    by_name = {node.name: node for node in nodes}
    try:
        x = by_name["/dp/pre/Conv"].input[0]
        projected = by_name["/dp/proj/Conv"].output[0]
    except KeyError as error:
        raise _foreign(graph, f"no node {error.args[0]!r}") from error
    masks = [n for node in users.get(projected, []) if node.op_type == "Mul" for n in node.input if n != projected]
    noises = [
        user.output[0]
        for node in nodes
        if node.op_type.startswith("RandomNormal") and node.name.startswith("/dp/")
        for user in users.get(node.output[0], [])
        if user.op_type == "Mul"
    ]
    results = [
        node.input[0]
        for node in nodes
        if node.op_type == "Exp" and node.name.count("/") == 1 and node.name.startswith("/Exp")
        if _scope_of(node.input[0], nodes) == "/dp"
    ]
    for what, found in (("mask", masks), ("noise", noises), ("result", results)):
        if len(found) != 1:
            raise _foreign(graph, f"{len(found)} candidates for its {what}, one expected")
    return {"x": x, "mask": masks[0], "noise": noises[0], OUTPUT_NAME: results[0]}


def _scope_of(tensor: str, nodes: Iterable[onnx.NodeProto]) -> str:
    """First component of the name of the node that makes ``tensor``."""
    for node in nodes:
        if tensor in node.output:
            return "/" + node.name.strip("/").split("/")[0]
    return ""


def _speaker_cut(graph: PiperGraph) -> dict[str, str]:
    for node in graph.model.graph.node:
        if node.name == "/dp/cond/Conv":
            return {"speaker": node.input[0]}
    raise _foreign(graph, f"the voice has {SPEAKER_TABLE} but no node '/dp/cond/Conv'")


def _typed(model: onnx.ModelProto, cuts: dict[str, str]) -> onnx.ModelProto:
    """A copy whose cut tensors are declared, which the extractor needs."""
    onnx = frameworks.onnx()
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    shapes: dict[str, list[str | int]] = {
        "x": [1, "hidden", "phonemes"],
        "mask": [1, 1, "phonemes"],
        "noise": [1, 2, "phonemes"],
        "speaker": [1, "gin", 1],
        OUTPUT_NAME: [1, 1, "phonemes"],
    }
    declared = set(cuts.values())
    kept = [value for value in copy.graph.value_info if value.name not in declared]
    del copy.graph.value_info[:]
    copy.graph.value_info.extend(kept)
    for name, tensor in cuts.items():
        copy.graph.value_info.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, shapes[name]))
    return copy


def _bind(model: onnx.ModelProto, tensor: str, value: np.ndarray) -> None:
    """Turns the input ``tensor`` into a constant."""
    onnx = frameworks.onnx()
    inputs = [value_info for value_info in model.graph.input if value_info.name != tensor]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.graph.initializer.append(onnx.numpy_helper.from_array(value.astype(np.float32), tensor))


def _shorten(model: onnx.ModelProto, keep: dict[str, str]) -> onnx.ModelProto:
    """The same graph with short tensor names and no node names or intermediate shapes: a third of its size is names."""
    onnx = frameworks.onnx()
    short = onnx.ModelProto()
    short.CopyFrom(model)
    public = (*INPUT_NAMES, OUTPUT_NAME)
    names: dict[str, str] = {"": "", **{tensor: name for tensor, name in keep.items() if name in public}}

    def rename(name: str) -> str:
        return names.setdefault(name, f"t{len(names)}")

    graph = short.graph
    graph.name = "durations"
    del graph.value_info[:]
    short.ClearField("metadata_props")
    for value_info in (*graph.input, *graph.output):
        value_info.name = rename(value_info.name)
    for tensor in graph.initializer:
        tensor.name = rename(tensor.name)
    for node in graph.node:
        node.ClearField("name")
        node.ClearField("doc_string")
        inputs, outputs = [rename(name) for name in node.input], [rename(name) for name in node.output]
        del node.input[:], node.output[:]
        node.input.extend(inputs)
        node.output.extend(outputs)
    return short


def _foreign(graph: PiperGraph, what: str) -> InputError:
    return InputError(
        f"the voice's duration predictor is not the stochastic one Piper exports: {what}",
        code="input/voice-foreign",
        where=str(graph.path),
        hint="convert the parts as plain ONNX models, or export the voice with Piper's default duration predictor",
    )
