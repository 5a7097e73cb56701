"""Graphs written down by hand, and real .tflite files of a few operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.tflite_graph.read import TfliteGraph, TfliteOp, TfliteTensor


def tensor(
    index: int, shape: tuple[int, ...] = (1, 1, 8, 4), dtype: str = "FLOAT32", data: Any = None, **more: Any
) -> TfliteTensor:
    values = None if data is None else np.asarray(data)
    fields = {
        "buffer": 0,
        "scales": (),
        "zero_points": (),
        "quantized_dimension": 0,
        "is_variable": False,
        "is_sparse": False,
    }
    return TfliteTensor(index=index, name=f"t{index}", shape=shape, dtype=dtype, data=values, **{**fields, **more})


def op(
    index: int, kind: str, inputs: tuple[int, ...], outputs: tuple[int, ...], version: int = 1, **options: Any
) -> TfliteOp:
    return TfliteOp(
        index=index,
        kind=kind,
        custom_code="",
        version=version,
        inputs=inputs,
        outputs=outputs,
        options=options,
        name=f"{kind.lower()}_{index}",
    )


def graph(
    tensors: list[TfliteTensor], ops: list[TfliteOp], inputs: tuple[int, ...] = (0,), outputs: tuple[int, ...] = ()
) -> TfliteGraph:
    return TfliteGraph(ops=tuple(ops), tensors=tuple(tensors), inputs=inputs, outputs=outputs or ops[-1].outputs)


def unary_chain(kinds: list[str], dtype: str = "FLOAT32", **tensor_fields: Any) -> TfliteGraph:
    """t0 -> kind0 -> t1 -> kind1 -> ..."""
    tensors = [tensor(i, dtype=dtype, **tensor_fields) for i in range(len(kinds) + 1)]
    return graph(tensors, [op(i, kind, (i,), (i + 1,), alpha=0.1) for i, kind in enumerate(kinds)])


def convert(function: Any, *shapes: tuple[int, ...], int8: bool = False, float16: bool = False) -> bytes:
    """A real .tflite file of a Python function of float32 tensors."""
    import converters.frameworks as frameworks

    tf = frameworks.tensorflow()
    concrete = tf.function(function).get_concrete_function(*(tf.TensorSpec(s, tf.float32) for s in shapes))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], tf.Module())
    rng = np.random.default_rng(0)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [rng.standard_normal(s).astype(np.float32) for s in shapes] for _ in range(4)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if float16:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)
