"""Integer graph inputs and outputs as int32: the whole chain knows no other integers."""

from __future__ import annotations

from typing import Any

from converters import frameworks
from converters.spec import TensorSpec


def int32_interface(model: Any, inputs: tuple[TensorSpec, ...]) -> None:
    """Makes int64 graph inputs and outputs int32, with a Cast inside."""
    onnx = frameworks.onnx()
    integers = {t.name for t in inputs if t.dtype == "int32"}
    graph = model.graph
    for info in graph.input:
        if info.name not in integers or info.type.tensor_type.elem_type != onnx.TensorProto.INT64:
            continue
        info.type.tensor_type.elem_type = onnx.TensorProto.INT32
        wide = f"{info.name}_int64"
        for node in graph.node:
            for index, name in enumerate(node.input):
                if name == info.name:
                    node.input[index] = wide
        graph.node.insert(
            0, onnx.helper.make_node("Cast", [info.name], [wide], f"/{info.name}_Cast", to=onnx.TensorProto.INT64)
        )
    for info in graph.output:
        if info.type.tensor_type.elem_type != onnx.TensorProto.INT64:
            continue
        info.type.tensor_type.elem_type = onnx.TensorProto.INT32
        wide = f"{info.name}_int64"
        for node in graph.node:
            for index, name in enumerate(node.output):
                if name == info.name:
                    node.output[index] = wide
            for index, name in enumerate(node.input):
                if name == info.name:
                    node.input[index] = wide
        graph.node.append(
            onnx.helper.make_node("Cast", [wide], [info.name], f"/{info.name}_Cast", to=onnx.TensorProto.INT32)
        )
