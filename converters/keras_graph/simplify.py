"""Exact rewrites of the graph: every one leaves the function as it is.

* a dilated convolution written as space-to-batch, convolution, batch-to-space becomes one convolution;
* a product with a constant matrix becomes a dense layer; a constant added to a convolution or dense layer, its bias;
* operators that do nothing go;
* data movement is moved past operators that do not mind it, and cancelled (`movement`).
"""

from __future__ import annotations

import numpy as np

from converters.keras_graph import movement
from converters.keras_graph.ir import Graph, Node, Value

_WEIGHTED = frozenset({"conv2d", "depthwise_conv2d", "conv2d_transpose", "dense"})


def simplify(graph: Graph) -> None:
    """Applies all rewrites to ``graph`` in place until none finds anything."""
    _fuse_dilated(graph)
    _products_to_dense(graph)
    _fold_padding(graph)
    for _ in range(len(graph.nodes) + 1):
        changed = _drop_neutral(graph)
        changed |= _fold_bias(graph)
        changed |= _fold_crop(graph)
        changed |= movement.collapse_chains(graph)
        changed |= movement.sink_permutes(graph)
        graph.drop_dead()
        if not changed:
            break
    movement.find_depth_to_time(graph)


def _only(consumers: dict[Value, list[Node]], graph: Graph, value: Value) -> Node | None:
    """The single reader of ``value``, when there is exactly one and the graph does not put it out."""
    readers = consumers.get(value, [])
    return readers[0] if len(readers) == 1 and value not in graph.outputs.values() else None


def _fuse_dilated(graph: Graph) -> None:
    consumers = graph.consumers()
    removed: set[Node] = set()
    for start in graph.nodes:
        if start.kind != "space_to_batch":
            continue
        middle = _only(consumers, graph, start.output)
        end = _only(consumers, graph, middle.output) if middle is not None else None
        if middle is None or end is None or end.kind != "batch_to_space":
            continue
        block = start.attributes["block"]
        if len(block) == 1:
            block = (1, block[0])  # TensorFlow leaves out the axis that is not dilated
        before, after = _dilated_padding(start, end)
        kernel = middle.attributes["kernel"]
        reach = tuple((size - 1) * rate for size, rate in zip(kernel.shape[:2], block, strict=True))
        middle.attributes["dilations"] = tuple(block)
        if before == (0, 0) and after == (0, 0):
            middle.attributes["padding"] = "VALID"
        elif before == tuple(r // 2 for r in reach) and after == tuple(r - r // 2 for r in reach):
            middle.attributes["padding"] = "SAME"
        else:
            middle.attributes["padding"] = ((0, 0), *zip(before, after, strict=True), (0, 0))
        middle.inputs[0] = start.inputs[0]
        middle.outputs = end.outputs
        middle.source = end.source or middle.source
        removed.update((start, end))
    graph.nodes = [node for node in graph.nodes if node not in removed]


def _dilated_padding(start: Node, end: Node) -> tuple[tuple[int, int], tuple[int, int]]:
    paddings, crops = np.asarray(start.attributes["paddings"]), np.asarray(end.attributes["crops"])
    if len(paddings) == 1:
        paddings, crops = (np.concatenate([np.zeros((1, 2), int), part]) for part in (paddings, crops))
    before = tuple(int(v) for v in paddings[:, 0] - crops[:, 0])
    after = tuple(int(v) for v in paddings[:, 1] - crops[:, 1])
    return (before[0], before[1]), (after[0], after[1])


def _fold_padding(graph: Graph) -> None:
    """Zero padding that is exactly what SAME adds becomes part of the convolution that follows it."""
    producers, consumers = graph.producers(), graph.consumers()
    for node in graph.nodes:
        if node.kind not in ("conv2d", "depthwise_conv2d") or node.attributes["padding"] != "VALID":
            continue
        pad = producers.get(node.data_inputs()[0])
        if pad is None or pad.kind != "pad" or pad.attributes["mode"] != "CONSTANT" or pad.attributes["value"] != 0:
            continue
        if _only(consumers, graph, pad.output) is node and _is_same(pad, node):
            node.inputs[0] = pad.inputs[0]
            node.attributes["padding"] = "SAME"
    graph.drop_dead()


def _fold_crop(graph: Graph) -> bool:
    """A transposed convolution cropped alike on both sides is one with SAME padding."""
    producers, consumers = graph.producers(), graph.consumers()
    changed = False
    for node in list(graph.nodes):
        if node.kind != "slice" or set(node.attributes["strides"]) != {1} or len(node.output.shape) != 4:
            continue
        full = producers.get(node.data_inputs()[0])
        if full is None or full.kind != "conv2d_transpose" or full.attributes["padding"] != "VALID":
            continue
        if _only(consumers, graph, full.output) is not node or not _is_centred(full, node):
            continue
        full.attributes["padding"] = "SAME"
        full.outputs = node.outputs
        full.computes = node.computes or node.source
        graph.nodes.remove(node)
        changed = True
    return changed


def _is_centred(full: Node, crop: Node) -> bool:
    data, begin = full.data_inputs()[0].shape, crop.attributes["begin"]
    if begin[0] or begin[3] or crop.output.shape[3] != full.output.shape[3]:
        return False
    for axis in (1, 2):
        size, stride = full.attributes["kernel"].shape[axis - 1], full.attributes["strides"][axis - 1]
        if size < stride or begin[axis] != (size - stride) // 2 or crop.output.shape[axis] != data[axis] * stride:
            return False
    return True


def _is_same(pad: Node, node: Node) -> bool:
    paddings = pad.attributes["paddings"]
    data = pad.data_inputs()[0]
    if paddings[0] != (0, 0) or paddings[3] != (0, 0):
        return False
    for axis in (1, 2):
        size, stride = data.shape[axis], node.attributes["strides"][axis - 1]
        span = (node.attributes["kernel"].shape[axis - 1] - 1) * node.attributes["dilations"][axis - 1] + 1
        total = max((-(-size // stride) - 1) * stride + span - size, 0)
        if paddings[axis] != (total // 2, total - total // 2) or node.output.shape[axis] != -(-size // stride):
            return False
    return True


def _products_to_dense(graph: Graph) -> None:
    for node in graph.nodes:
        if node.kind != "matmul" or isinstance(node.inputs[1], Value) or not isinstance(node.inputs[0], Value):
            continue
        matrix = np.asarray(node.inputs[1])
        while matrix.ndim > 2 and matrix.shape[0] == 1:
            matrix = matrix[0]
        if matrix.ndim != 2 or node.attributes["transpose_a"] or len(node.inputs[0].shape) < 2:
            continue
        if len(node.output.shape) != len(node.inputs[0].shape):
            continue
        kernel = matrix.T if node.attributes["transpose_b"] else matrix
        node.kind = "dense"
        node.inputs = [node.inputs[0]]
        node.attributes = {"kernel": np.ascontiguousarray(kernel), "bias": None}


def _fold_bias(graph: Graph) -> bool:
    producers, consumers = graph.producers(), graph.consumers()
    changed = False
    for node in list(graph.nodes):
        if node.kind != "binary" or node.attributes["function"] not in ("add", "subtract"):
            continue
        data = node.data_inputs()
        if len(data) != 1 or (node.attributes["function"] == "subtract" and not isinstance(node.inputs[0], Value)):
            continue
        weighted = producers.get(data[0])
        if weighted is None or weighted.kind not in _WEIGHTED or _only(consumers, graph, data[0]) is not node:
            continue
        constant = np.asarray(next(item for item in node.inputs if not isinstance(item, Value)), np.float32)
        channels = node.output.shape[-1]
        if constant.size not in (1, channels) or (constant.size > 1 and constant.shape[-1] != channels):
            continue
        if node.output.shape != data[0].shape:
            continue
        sign = np.float32(-1 if node.attributes["function"] == "subtract" else 1)
        added = np.broadcast_to(constant.reshape(-1) * sign, (channels,))
        present = weighted.attributes["bias"]
        weighted.attributes["bias"] = added.copy() if present is None else present + added
        weighted.outputs = node.outputs
        weighted.computes = node.computes or node.source
        graph.nodes.remove(node)
        producers, consumers = graph.producers(), graph.consumers()
        changed = True
    return changed


def _drop_neutral(graph: Graph) -> bool:
    changed = False
    for node in list(graph.nodes):
        data = node.data_inputs()
        if len(data) != 1 or len(node.outputs) != 1 or data[0].shape != node.output.shape:
            continue
        if _does_nothing(node, data[0]):
            graph.nodes.remove(node)
            graph.replace(node.output, data[0])
            changed = True
    return changed


def _does_nothing(node: Node, data: Value) -> bool:
    attributes = node.attributes
    match node.kind:
        case "reshape":
            return True
        case "permute":
            return attributes["permutation"] == tuple(range(len(data.shape)))
        case "cast":
            return data.dtype == node.output.dtype
        case "tile":
            return all(count == 1 for count in attributes["repeats"])
        case "slice":
            return all(step == 1 for step in attributes["strides"])
        case "pad":
            return True
        case "concat":
            return len(node.inputs) == 1
        case "binary":
            return _neutral_constant(node)
    return False


def _neutral_constant(node: Node) -> bool:
    function = node.attributes["function"]
    constant = next(item for item in node.inputs if not isinstance(item, Value))
    right = not isinstance(node.inputs[1], Value)
    if function in ("multiply", "divide"):
        return bool(np.all(constant == 1)) and (right or function == "multiply")
    return function in ("add", "subtract") and bool(np.all(constant == 0)) and (right or function == "add")
