"""Reads an .onnx file as the untrusted file it is, and binds its input shapes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from converters import frameworks
from converters.errors import InputError, ShapeNotStatic, UnsupportedOp
from converters.int32_interface import int32_interface
from converters.onnx_graph import name_nodes
from converters.onnx_graph.fold_constants import apply as fold
from converters.onnx_graph.graph import Graph
from converters.onnx_graph.pass_types import RewriteOptions
from converters.spec import PartSpec, TensorSpec

_MAX_BYTES = 2**31 - 1
_OLDEST_OPSET, _TARGET_OPSET, _NEWEST_OPSET = 13, 17, 20
_DTYPES = {1: "float32", 6: "int32", 7: "int32"}


def load_onnx(path: Path, inputs: tuple[TensorSpec, ...]) -> tuple[Any, PartSpec]:
    """Loads a graph and makes it static.

    Args:
        path: the file.
        inputs: declared shapes; needed for inputs whose shape is symbolic in the file.

    Returns:
        A named, static ModelProto whose integer inputs are int32, and its interface.

    Raises:
        InputError: the file is damaged or the declaration does not fit it.
        ShapeNotStatic: an input has no static shape and none was declared.
        UnsupportedOp: an operator or opset has no faithful translation.
    """
    onnx = frameworks.onnx()
    model = _read(path)
    model = _supported_opset(model, path)
    _plain_names(model)
    specs = _bind(model, inputs, path)
    int32_interface(model, specs)
    try:
        graph = Graph.from_model(model)
        name_nodes.apply(graph, RewriteOptions())
        fold(graph, RewriteOptions())
    except onnx.shape_inference.InferenceError as error:
        raise InputError(f"shapes do not fit together: {_first_line(error)}", where=str(path), hint=_HINT) from error
    outputs = []
    for name in graph.outputs:
        if name not in graph.shapes:
            raise ShapeNotStatic(f"the shape of output {name!r} is unknown", where=str(path), hint=_HINT)
        kind = "float32" if graph.dtypes[name] == np.float32 else "int32"
        outputs.append(TensorSpec(name=name, shape=graph.shapes[name], dtype=kind))
    return graph.to_model(), PartSpec(name=path.stem, inputs=specs, outputs=tuple(outputs))


_HINT = "declare every input with its real shape, e.g. --input mel:1x80x200"


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:300]


def _read(path: Path) -> Any:
    onnx = frameworks.onnx()
    protobuf = frameworks.load("google.protobuf.message")
    if path.stat().st_size > _MAX_BYTES:
        raise InputError("the file is larger than 2 GiB", where=str(path), hint="split the model into parts")
    try:
        model = onnx.load_model(path)  # external data is read from the file's own directory only
        onnx.checker.check_model(model)
    except (protobuf.DecodeError, onnx.checker.ValidationError, OSError, ValueError, RuntimeError, TypeError) as error:
        raise InputError(
            f"not a valid ONNX model: {_first_line(error)}",
            where=str(path),
            hint="check that the file is complete and was written by an ONNX exporter",
        ) from error
    if not model.graph.node:
        raise InputError("the file holds no operators", where=str(path))
    return model


def _supported_opset(model: Any, path: Path) -> Any:
    onnx = frameworks.onnx()
    version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if _OLDEST_OPSET <= version <= _NEWEST_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, _TARGET_OPSET)
    except (RuntimeError, ValueError) as error:
        raise UnsupportedOp(
            f"opset {version} cannot be converted to {_TARGET_OPSET}: {_first_line(error)}",
            where=str(path),
            hint=f"export the model with an opset from {_OLDEST_OPSET} to {_NEWEST_OPSET}",
        ) from error


def _plain_names(model: Any) -> None:
    """Inputs and outputs get names that are identifiers (``Identity:0`` becomes ``Identity_0``), as signatures need."""
    graph = model.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)} | {t.name for t in graph.initializer}
    renamed: dict[str, str] = {}
    for info in (*graph.input, *graph.output):
        plain = re.sub(r"\W", "_", info.name)
        plain = f"_{plain}" if not plain or plain[0].isdigit() else plain
        while plain != info.name and plain in taken:
            plain += "_"
        taken.add(plain)
        renamed[info.name] = plain
        info.name = plain
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)


def _bind(model: Any, inputs: tuple[TensorSpec, ...], path: Path) -> tuple[TensorSpec, ...]:
    """Writes the declared shapes into the graph's inputs and returns the interface."""
    initialisers = {t.name for t in model.graph.initializer}
    declared = {t.name: t for t in inputs}
    found = [i for i in model.graph.input if i.name not in initialisers]
    unknown = sorted(set(declared) - {i.name for i in found})
    if unknown:
        names = ", ".join(i.name for i in found)
        raise InputError(f"the graph has no input {unknown[0]!r}; it has {names}", where=str(path), hint=_HINT)
    specs = []
    for info in found:
        kind = info.type.tensor_type
        if kind.elem_type not in _DTYPES:
            name = frameworks.onnx().TensorProto.DataType.Name(kind.elem_type)
            raise InputError(f"input {info.name!r} is {name}", where=str(path), hint="inputs are float32 or integers")
        dims = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim]
        spec = declared.get(info.name)
        if spec is None and (None in dims or not kind.HasField("shape")):
            raise ShapeNotStatic(f"input {info.name!r} has a symbolic shape", where=str(path), hint=_HINT)
        shape = tuple(dims) if spec is None else spec.shape
        if len(shape) != len(dims) or any(d is not None and d != s for d, s in zip(dims, shape, strict=False)):
            raise InputError(
                f"input {info.name!r} is declared {shape}, the file says {dims}", where=str(path), hint=_HINT
            )
        dtype = _DTYPES[kind.elem_type]
        if spec is not None and spec.dtype != dtype:
            raise InputError(
                f"input {info.name!r} is declared {spec.dtype}, the file says {dtype}", where=str(path), hint=_HINT
            )
        for dim, size in zip(kind.shape.dim, shape, strict=True):
            dim.ClearField("dim_param")
            dim.dim_value = size
        specs.append(TensorSpec(name=info.name, shape=shape, dtype=dtype))
    # Shapes recorded for other sizes would contradict the bound ones.
    del model.graph.value_info[:]
    for output in model.graph.output:
        if output.type.tensor_type.HasField("shape"):
            output.type.tensor_type.ClearField("shape")
    return tuple(specs)
