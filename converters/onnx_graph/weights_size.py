"""How large the constants of an ONNX graph are, without writing them: protobuf finds a message's size that way."""

from __future__ import annotations

import math
from typing import Any

from converters import frameworks


def weights_bytes(model: Any) -> int:
    """Bytes of the initialisers of an ``onnx.ModelProto``."""
    return sum(tensor_bytes(tensor) for tensor in model.graph.initializer)


def tensor_bytes(tensor: Any) -> int:
    """Bytes of the numbers of an ``onnx.TensorProto``."""
    dtype = frameworks.onnx().helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return math.prod(tensor.dims) * dtype.itemsize
