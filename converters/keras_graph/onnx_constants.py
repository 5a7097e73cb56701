"""Turns the constants of an ONNX graph into initialisers, so that every consumer sees one form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from converters import frameworks
from converters.errors import UnsupportedOp

if TYPE_CHECKING:
    import onnx


def without_constant_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of ``model`` whose ``Constant`` nodes are initialisers; ``model`` itself when it has none.

    Raises:
        UnsupportedOp: a constant of a kind that is no tensor (sparse, string).
    """
    if all(node.op_type != "Constant" for node in model.graph.node):
        return model
    onnx = frameworks.onnx()
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = []
    for node in copy.graph.node:
        if node.op_type != "Constant":
            kept.append(node)
            continue
        attribute = node.attribute[0]
        if attribute.name == "value":
            tensor = onnx.TensorProto()
            tensor.CopyFrom(attribute.t)
        elif attribute.name in ("value_float", "value_floats", "value_int", "value_ints"):
            value = onnx.helper.get_attribute_value(attribute)
            dtype = "float32" if "float" in attribute.name else "int64"
            tensor = onnx.numpy_helper.from_array(np.asarray(value, dtype))
        else:
            raise UnsupportedOp(f"a constant given as {attribute.name!r}", where=node.name, hint="store it as a tensor")
        tensor.name = node.output[0]
        copy.graph.initializer.append(tensor)
    del copy.graph.node[:]
    copy.graph.node.extend(kept)
    return copy
