"""A transposed convolution as plain convolutions at the input rate and a depth-to-time step.

ConvTranspose1d(C_in, C, k, stride s)      =>      Conv1d(C_in, s*C, taps) -> DepthToTime(s)

Output sample ``t*s + r`` (phase r) sums the inputs ``t - d`` with kernel tap ``r + p + d*s``. Channels of the new
convolution are phase-major (``r*C + c``), so in a channels-last layout DepthToTime is a plain view
(`depth_to_time`).

Phases do not all read the same inputs: with k=16, s=8, p=4 the first four read ``t-1, t``, the others ``t, t+1``. One
convolution over all three would multiply by zeros a third of the time, so phases that read the same inputs share a
convolution and the results are concatenated: no multiply-add more than the transposed convolution has.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from converters.onnx_graph.depth_to_time import depth_to_time
from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions, Skip, added_macs

NAME = "polyphase"


def apply(graph: Graph, options: RewriteOptions) -> PassResult:
    """Rewrites every one-dimensional, ungrouped ConvTranspose with a constant kernel."""
    changed, skipped, macs_before, macs_after = 0, [], 0, 0
    for node in list(graph.nodes):
        if node.op != "ConvTranspose":
            continue
        if options.transposed_conv != "polyphase":
            skipped.append(Skip(node=node.name, reason="native transposed convolutions were asked for"))
            continue
        reason = _obstacle(graph, node)
        if reason:
            skipped.append(Skip(node=node.name, reason=reason))
            continue
        frames = graph.shapes[node.inputs[0]][2]
        macs_before += frames * graph.constants[node.inputs[1]].size
        macs_after += frames * _rewrite(graph, node)
        changed += 1
    graph.tidy()
    return PassResult(name=NAME, changed=changed, skipped=tuple(skipped), facts=added_macs(macs_before, macs_after))


def _obstacle(graph: Graph, node: Node) -> str:
    if graph.rank(node.inputs[0]) != 3:
        return "it is not one-dimensional"
    if graph.constant(node.inputs[1]) is None:
        return "its kernel is computed at run time"
    if int(node.attributes.get("group", 1)) != 1:
        return "it is grouped"
    if node.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", "NOTSET") or "output_shape" in node.attributes:
        return "its padding is computed from the output shape"
    if int(node.attributes.get("dilations", [1])[0]) != 1:
        return "it is dilated"
    stride = int(node.attributes.get("strides", [1])[0])
    if graph.shapes[node.output][2] != graph.shapes[node.inputs[0]][2] * stride:
        return "its output is not exactly stride times as long as its input"
    return ""


def phase_kernels(weight: np.ndarray, stride: int, padding: int) -> list[tuple[np.ndarray, int, int]]:
    """Kernels of the convolutions that compute all phases, in phase order.

    Args:
        weight: ``[C_in, C_out, k]`` of the transposed convolution.
        stride: upsampling factor.
        padding: samples cut from the start of its output.

    Returns:
        For each run of phases that read the same inputs: ``[phases*C_out, C_in, taps]``, padding before and after.
    """
    width = weight.shape[2]
    # Phase r reads input t - d through kernel tap r + padding + d*stride, for d from low to high.
    reach = []
    for phase in range(stride):
        low, high = math.ceil(-(phase + padding) / stride), (width - 1 - phase - padding) // stride
        # The window always holds input t itself: a convolution cannot start or end beyond it without negative padding.
        reach.append((min(low, 0), max(high, 0)))
    kernels = []
    for (low, high), group in itertools.groupby(range(stride), key=lambda phase: reach[phase]):
        blocks = []
        for phase in group:
            taps = [phase + padding + delay * stride for delay in range(high, low - 1, -1)]
            empty = np.zeros((weight.shape[1], weight.shape[0]), weight.dtype)
            blocks.append(np.stack([weight[:, :, t].T if 0 <= t < width else empty for t in taps], axis=2))
        kernels.append((np.concatenate(blocks), high, -low))
    return kernels


def _rewrite(graph: Graph, node: Node) -> int:
    """Returns the size of the new kernels."""
    weight = graph.constants[node.inputs[1]]
    stride = int(node.attributes.get("strides", [1])[0])
    padding = int(node.attributes.get("pads", [0, 0])[0])
    outputs, (batch, _, frames) = weight.shape[1], graph.shapes[node.inputs[0]]
    has_bias = len(node.inputs) > 2 and bool(node.inputs[2])
    bias = graph.constants[node.inputs[2]] if has_bias else np.zeros(outputs, np.float32)
    path = node.name.rpartition("/")[0]
    bias_name = node.inputs[2] if has_bias else f"{path}.bias"
    kernels = phase_kernels(weight, stride, padding)
    pieces = [_convolution(graph, node, kernel, bias, bias_name) for kernel in kernels]
    value = pieces[0]
    if len(pieces) > 1:
        shape = (batch, stride * outputs, frames)
        value = graph.add("Concat", pieces, name=f"{path}/Concat", shape=shape, before=node, attributes={"axis": 1})
    value = depth_to_time(graph, value, stride, before=node, path=path)
    graph.replace(node.output, value)
    graph.remove(node)
    return sum(int(kernel.size) for kernel, _, _ in kernels)


def _convolution(
    graph: Graph, node: Node, kernel: tuple[np.ndarray, int, int], bias: np.ndarray, bias_name: str
) -> str:
    weight, before, after = kernel
    batch, _, frames = graph.shapes[node.inputs[0]]
    return graph.add(
        "Conv",
        [
            node.inputs[0],
            graph.add_constant(node.inputs[1], np.ascontiguousarray(weight)),
            graph.add_constant(bias_name, np.tile(bias, weight.shape[0] // len(bias))),
        ],
        name=f"{node.name.rpartition('/')[0]}/Conv",
        shape=(batch, weight.shape[0], frames + before + after - weight.shape[2] + 1),
        before=node,
        attributes={
            "dilations": [1],
            "group": 1,
            "kernel_shape": [weight.shape[2]],
            "pads": [before, after],
            "strides": [1],
        },
    )
