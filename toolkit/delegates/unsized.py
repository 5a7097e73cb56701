"""Tensors whose size TFLite knows only while a graph runs.

A delegate that takes static sizes alone is not even asked about a graph with one: applying it fails as a whole
(tflite/core/subgraph.cc, ``Subgraph::ModifyGraphWithDelegate``; executed: LiteRT's GPU accelerator then says "Failed to
modify graph with delegate"). XNNPACK takes such graphs, and NNAPI does when a program asks it to, which is not the
default.

Read from the kernels' ``Prepare`` at LiteRT f67457790c9c: an output is sized early where the inputs that decide its
size are constants, or are computed before anything runs.
"""

from __future__ import annotations

from converters.tflite_graph.read import TfliteGraph, TfliteOp

SOURCE = "tflite/core/subgraph.cc:2544"
STATIC_SIZES_ONLY = ("nnapi", "gpu_classic", "gpu_litert", "coreml")
_REDUCTIONS = ("MEAN", "SUM", "REDUCE_ALL", "REDUCE_ANY", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD")
_SIZED_BY: dict[str, tuple[int, ...]] = {
    "ARG_MAX": (1,),
    "ARG_MIN": (1,),
    "BATCH_TO_SPACE_ND": (1, 2),
    "BROADCAST_TO": (1,),
    "CONV_3D_TRANSPOSE": (0,),
    "EXPAND_DIMS": (1,),
    "FILL": (0,),
    "MIRROR_PAD": (1,),
    "ONE_HOT": (1,),
    "PAD": (1,),
    "PADV2": (1,),
    "RANGE": (0, 1, 2),
    "RANDOM_STANDARD_NORMAL": (0,),
    "RANDOM_UNIFORM": (0,),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "RFFT2D": (1,),
    "SCATTER_ND": (2,),
    "SEGMENT_SUM": (0, 1),
    "SLICE": (1, 2),
    "SPACE_TO_BATCH_ND": (1, 2),
    "SPARSE_TO_DENSE": (1,),
    "SPLIT": (0,),
    "SPLIT_V": (1, 2),
    "STRIDED_SLICE": (1, 2, 3),
    "TILE": (1,),
    "TOPK_V2": (1,),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0,),
    "UNSORTED_SEGMENT_MAX": (1, 2),
    "UNSORTED_SEGMENT_MIN": (1, 2),
    "UNSORTED_SEGMENT_PROD": (1, 2),
    "UNSORTED_SEGMENT_SUM": (1, 2),
    "WHERE": (0,),
    **dict.fromkeys(_REDUCTIONS, (1,)),
}
"""Inputs whose values decide the size of the outputs."""
_STORED_ONLY = ("CONV_3D_TRANSPOSE", "TRANSPOSE_CONV")
"""Here the deciding input must be stored in the file."""
_ALWAYS_EARLY = ("RANK", "SHAPE")
_EARLY = ("BROADCAST_ARGS", "CONCATENATION", "GATHER", "MUL", "RANGE", "RESHAPE", "STRIDED_SLICE", "TILE")
"""Computed before anything runs when all their inputs are. PACK, CAST, ADD and others are not."""


def first_unsized(graph: TfliteGraph) -> TfliteOp | None:
    """The first operator in execution order whose output has no size before the graph runs; None without one."""
    early = {index for index, tensor in enumerate(graph.tensors) if tensor.data is not None}
    for op in graph.ops:
        given = [index for index in op.inputs if index >= 0]
        deciding = [op.inputs[at] for at in _SIZED_BY.get(op.kind, ()) if at < len(op.inputs) and op.inputs[at] >= 0]
        if op.kind in _STORED_ONLY:
            late = [index for index in deciding if graph.tensors[index].data is None]
        else:
            late = [index for index in deciding if index not in early]
        if op.kind == "UNIQUE" or late:
            return op
        if op.kind in _ALWAYS_EARLY or (op.kind in _EARLY and early.issuperset(given)):
            early.update(op.outputs)
    return None
