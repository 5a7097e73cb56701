"""Reads a Piper ONNX graph: every tensor under its checkpoint name, and the attributes the tensors do not tell.

The exporter folds weight norm, which leaves the WaveNet kernels anonymous (``onnx::Conv_8168``), and may name the
phoneme table after an unrelated input. Both get their name from the path of the node that uses them:
``/flow/flows.6/enc/in_layers.0/Conv`` holds ``flow.flows.6.enc.in_layers.0.weight``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import frameworks
from converters.errors import InputError

if TYPE_CHECKING:
    import onnx

_WEIGHTED = frozenset({"Conv", "ConvTranspose"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PiperGraph:
    """A Piper voice as its file gives it.

    Attributes:
        path: the file.
        model: the ONNX model.
        tensors: checkpoint name to array.
        attributes: torch path of a weighted layer to its ONNX attributes.
        slopes: negative slope of each leaky ReLU that stands directly in the generator, in order.
    """

    path: Path
    model: onnx.ModelProto
    tensors: Mapping[str, np.ndarray]
    attributes: Mapping[str, Mapping[str, Any]]
    slopes: tuple[float, ...]


def read(path: Path) -> PiperGraph:
    """Reads a Piper ``.onnx`` file.

    Raises:
        InputError: the file is missing, damaged, or not a Piper VITS voice.
    """
    onnx = frameworks.onnx()
    if not path.is_file():
        raise InputError(
            "the voice file does not exist",
            code="input/voice-missing",
            where=str(path),
            hint="give the path of a Piper .onnx file; its .onnx.json stands beside it",
        )
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf, onnx and the file system each raise their own
        raise InputError(
            f"not an ONNX file, or damaged ({type(error).__name__})",
            code="input/voice-damaged",
            where=str(path),
            hint="download the voice again and compare its sha256",
        ) from error
    constants = _constants(model, path)
    tensors: dict[str, np.ndarray] = {name: array for name, array in constants.items() if not name.startswith("onnx::")}
    attributes: dict[str, dict[str, Any]] = {}
    slopes: list[float] = []
    for node in model.graph.node:
        scope, _, operator = node.name.rpartition("/")
        torch_path = scope.strip("/").replace("/", ".")
        if node.op_type in _WEIGHTED and torch_path:
            attributes[torch_path] = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            for suffix, name in zip(("weight", "bias"), node.input[1:], strict=False):
                if name in constants:
                    tensors[f"{torch_path}.{suffix}"] = constants[name]
        elif node.op_type == "Gather" and operator == "Gather" and node.input[0] in constants:
            table = constants[node.input[0]]
            if table.ndim == 2 and table.dtype == np.float32:
                tensors[f"{torch_path}.weight"] = table
        elif node.op_type == "LeakyRelu" and torch_path == "dec":
            slopes += [float(a.f) for a in node.attribute if a.name == "alpha"]
    graph = PiperGraph(path=path, model=model, tensors=tensors, attributes=attributes, slopes=tuple(slopes))
    _require_vits(graph)
    return graph


def _constants(model: onnx.ModelProto, path: Path) -> dict[str, np.ndarray]:
    """Every constant of the graph by tensor name: initialisers, Constant nodes and Identity aliases of them."""
    onnx = frameworks.onnx()
    to_array = onnx.numpy_helper.to_array
    try:
        constants = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant":
                for attribute in node.attribute:
                    if attribute.name == "value":
                        constants[node.output[0]] = to_array(attribute.t)
            elif node.op_type == "Identity" and node.input[0] in constants:
                constants[node.output[0]] = constants[node.input[0]]
    except (ValueError, TypeError) as error:
        raise InputError(
            f"a tensor of the voice cannot be read ({error})",
            code="input/voice-damaged",
            where=str(path),
            hint="download the voice again and compare its sha256",
        ) from error
    return constants


def _require_vits(graph: PiperGraph) -> None:
    """Refuses a graph that is ONNX but not a Piper VITS voice."""
    wanted = ("enc_p.emb.weight", "enc_p.proj.weight", "flow.flows.0.pre.weight", "dec.conv_pre.weight")
    missing = [name for name in wanted if name not in graph.tensors]
    if missing:
        raise InputError(
            f"not a Piper VITS voice: no {', '.join(missing)} in the graph",
            code="input/voice-foreign",
            where=str(graph.path),
            hint="give a voice exported by Piper; any other .onnx model converts as a plain model",
        )
