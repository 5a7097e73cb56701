"""A convolution with one or two output channels computes several frames at once.

Kernels multiply blocks of 8 to 32 output channels, GPUs of 4: a vocoder's last convolution, which makes one waveform
out of many channels, leaves all but one of them idle. The same sums, of ``s`` neighbouring frames as ``s`` channels:

    Conv1d(C, c, k, pads a, b) -> f      =>      Conv1d(C, s*c, k + s - 1, stride s, pads a, b) -> f -> DepthToTime(s)

The kernel of frame ``r`` of a block is the old one, ``r`` taps later. It has ``(k + s - 1) / k`` of the multiply-adds.
Only what ends in an output of the graph is rewritten, with functions of single numbers at most between (a tanh):
inside a graph the blocks would be taken apart for the next layer, and that costs more than it saves.
"""

from __future__ import annotations

import numpy as np

from converters.onnx_graph.depth_to_time import depth_to_time
from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions, Skip, added_macs

NAME = "few_outputs"
_AT_ONCE = 4
"""Output channels afterwards: what a GPU computes in one go, and few zeros in the kernel."""
_OF_SINGLE_NUMBERS = frozenset({"Tanh", "Sigmoid", "Relu", "LeakyRelu", "Clip", "Elu", "Softplus"})


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Rewrites every one-dimensional convolution that keeps the length and has at most two output channels."""
    del options
    changed, skipped, macs_before, macs_after = 0, [], 0, 0
    for node in list(graph.nodes):
        weight = graph.constant(node.inputs[1]) if node.op == "Conv" else None
        if weight is None or weight.ndim != 3 or 2 * weight.shape[0] > _AT_ONCE:
            continue
        reason = _obstacle(graph, node, weight)
        if reason:
            skipped.append(Skip(node=node.name, reason=reason))
            continue
        frames = graph.shapes[node.output][2]
        macs_before += frames * weight.size
        macs_after += _rewrite(graph, node, weight)
        changed += 1
    graph.tidy()
    return PassResult(name=NAME, changed=changed, skipped=tuple(skipped), facts=added_macs(macs_before, macs_after))


def _obstacle(graph: Graph, node: Node, weight: np.ndarray) -> str:
    at_once = _AT_ONCE // weight.shape[0]
    if int(node.attributes.get("group", 1)) != 1:
        return "it is grouped"
    if node.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET"):
        return "its padding is computed from the output shape"
    if int(node.attributes.get("dilations", [1])[0]) != 1 or int(node.attributes.get("strides", [1])[0]) != 1:
        return "it is dilated or strided"
    if weight.shape[2] < at_once:
        return "its kernel is short: most of a wider one would be zeros"
    frames = graph.shapes[node.inputs[0]][2]
    if graph.shapes[node.output][2] != frames:
        return "it changes the length"
    if not _tail(graph, node):
        return "its result is used inside the graph"
    return f"its {frames} frames are no multiple of {at_once}" if frames % at_once else ""


def _tail(graph: Graph, node: Node) -> list[Node]:
    """A convolution and the functions of single numbers behind it, up to an output of the graph; empty elsewhere."""
    chain = [node]
    while chain[-1].output not in graph.outputs:
        reader = graph.only_consumer(chain[-1].output)
        if reader is None or reader.op not in _OF_SINGLE_NUMBERS or reader.inputs[0] != chain[-1].output:
            return []
        chain.append(reader)
    return [] if graph.consumers(chain[-1].output) else chain


def _rewrite(graph: Graph, node: Node, weight: np.ndarray) -> int:
    """Returns the multiply-adds of the new convolution."""
    outputs, channels, width = weight.shape
    at_once = _AT_ONCE // outputs
    batch, _, frames = graph.shapes[node.output]
    wider = np.zeros((at_once, outputs, channels, width + at_once - 1), weight.dtype)
    for later in range(at_once):
        wider[later, :, :, later : later + width] = weight
    kernel = wider.reshape(at_once * outputs, channels, -1)
    node.inputs[1] = graph.add_constant(node.inputs[1], kernel)
    if len(node.inputs) > 2 and node.inputs[2]:
        node.inputs[2] = graph.add_constant(node.inputs[2], np.tile(graph.constants[node.inputs[2]], at_once))
    node.attributes |= {"kernel_shape": [kernel.shape[2]], "strides": [at_once]}
    tail = _tail(graph, node)
    last, result = tail[-1], tail[-1].output
    value = graph.new_name(f"{last.name}_frames")
    last.outputs = [value]
    graph.dtypes[value] = graph.dtypes[result]
    for each in tail:
        graph.shapes[each.output] = (batch, at_once * outputs, frames // at_once)
    graph.touch()
    graph.replace(result, depth_to_time(graph, value, at_once, before=last, path=node.name.rpartition("/")[0]))
    for each in tail:
        each.metadata = {}  # what the values were compared by: they have another shape now
    return frames // at_once * int(kernel.size)
