"""Stands in for converters.tflite_graph.read until that file exists; removed then."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_NUMPY = {
    "FLOAT32": "<f4",
    "FLOAT16": "<f2",
    "INT32": "<i4",
    "INT64": "<i8",
    "INT8": "i1",
    "UINT8": "u1",
    "BOOL": "?",
    "INT16": "<i2",
}  # noqa: E501


@dataclass(frozen=True, slots=True, kw_only=True)
class TfliteTensor:
    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    buffer: int = 0
    data: np.ndarray | None = None
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    quantized_dimension: int = 0
    is_variable: bool = False
    is_sparse: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TfliteOp:
    index: int
    kind: str
    custom_code: str = ""
    version: int = 1
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TfliteGraph:
    ops: tuple[TfliteOp, ...]
    tensors: tuple[TfliteTensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


_ENUMS = {
    "fusedActivationFunction": "ActivationFunctionType",
    "padding": "Padding",
    "outputType": "TensorType",
    "weightsFormat": "FullyConnectedOptionsWeightsFormat",
    "mode": "MirrorPadMode",
    "type": "LSHProjectionType",
}  # noqa: E501


def read_tflite(source: bytes | Path) -> TfliteGraph:
    from ai_edge_litert import schema_py_generated as s

    data = source if isinstance(source, bytes) else source.read_bytes()
    model = s.ModelT.InitFromPackedBuf(data, 0)

    def names(enum: Any) -> dict[int, str]:
        return {v: k for k, v in vars(enum).items() if isinstance(v, int)}

    kinds, types = names(s.BuiltinOperator), names(s.TensorType)
    sub = model.subgraphs[0]
    tensors = []
    for i, t in enumerate(sub.tensors):
        raw = model.buffers[t.buffer].data
        dtype = types[t.type]
        shape = tuple(int(x) for x in (t.shape if t.shape is not None else ()))
        values = None
        if raw is not None and len(raw):
            values = (
                np.frombuffer(bytes(raw), dtype=_NUMPY[dtype]).reshape(shape) if dtype in _NUMPY else np.asarray(raw)
            )
        q = t.quantization
        tensors.append(TfliteTensor(index=i, name=(t.name or b"").decode(), shape=shape, dtype=dtype, buffer=t.buffer, data=values,
            scales=tuple(map(float, q.scale)) if q is not None and q.scale is not None else (),
            zero_points=tuple(map(int, q.zeroPoint)) if q is not None and q.zeroPoint is not None else (),
            quantized_dimension=int(q.quantizedDimension) if q is not None else 0, is_variable=bool(t.isVariable), is_sparse=t.sparsity is not None))  # fmt: skip
    ops = []
    for i, o in enumerate(sub.operators):
        code = model.operatorCodes[o.opcodeIndex]
        options = {}
        for key, value in (vars(o.builtinOptions) if o.builtinOptions is not None else {}).items():
            enum = _ENUMS.get(key)
            options[re.sub(r"(?<!^)(?=[A-Z])", "_", key).lower()] = (
                names(getattr(s, enum))[value] if enum and isinstance(value, int) else value
            )  # noqa: E501
        outs = tuple(int(x) for x in o.outputs)
        ops.append(TfliteOp(index=i, kind=kinds[max(code.builtinCode, code.deprecatedBuiltinCode)], version=code.version,
            custom_code=(code.customCode or b"").decode(), inputs=tuple(int(x) for x in o.inputs), outputs=outs, options=options,
            name=tensors[outs[0]].name if outs else ""))  # fmt: skip
    return TfliteGraph(
        ops=tuple(ops),
        tensors=tuple(tensors),
        inputs=tuple(int(x) for x in sub.inputs),
        outputs=tuple(int(x) for x in sub.outputs),
    )
