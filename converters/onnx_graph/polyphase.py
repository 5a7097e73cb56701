"""A transposed convolution as one convolution at the input rate and a depth-to-time step.

    ConvTranspose1d(C_in, C, k, stride s)      =>      Conv1d(C_in, s*C, taps) -> DepthToTime(s)

Output sample ``t*s + r`` (phase r) sums the inputs ``t - d`` with kernel tap ``r + p + d*s``. Channels of the new
convolution are phase-major (``r*C + c``), so in a channels-last layout DepthToTime is a plain view:
``[N, 1, T, s*C] -> [N, 1, T*s, C]``. In ONNX it is three nodes named ``<module>/DepthToTime/...``.

Shifting the phase by a whole number of input steps is free, so the window of taps is as short as the kernel allows;
taps a phase does not have are zeros, and their share is reported as ``added_macs_ratio``.
"""

from __future__ import annotations

import math

import numpy as np

from converters.onnx_graph.graph import Graph, Node
from converters.onnx_graph.pass_types import PassResult, RewriteOptions, Skip

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
    facts = {"macs_before": float(macs_before), "macs_after": float(macs_after)} if changed else {}
    if changed:
        facts["added_macs_ratio"] = macs_after / macs_before - 1.0
    return PassResult(name=NAME, changed=changed, skipped=tuple(skipped), facts=facts)


def _obstacle(graph: Graph, node: Node) -> str:
    if graph.rank(node.inputs[0]) != 3:
        return "it is not one-dimensional"
    if graph.constant(node.inputs[1]) is None:
        return "its kernel is computed at run time"
    if int(node.attributes.get("group", 1)) != 1:
        return "it is grouped"
    if int(node.attributes.get("dilations", [1])[0]) != 1:
        return "it is dilated"
    stride = int(node.attributes.get("strides", [1])[0])
    if graph.shapes[node.output][2] != graph.shapes[node.inputs[0]][2] * stride:
        return "its output is not exactly stride times as long as its input"
    return ""


def phase_kernel(weight: np.ndarray, stride: int, padding: int) -> tuple[np.ndarray, int, int]:
    """Kernel of the convolution that computes all phases.

    Args:
        weight: ``[C_in, C_out, k]`` of the transposed convolution.
        stride: upsampling factor.
        padding: samples cut from the start of its output.

    Returns:
        ``[stride*C_out, C_in, taps]``, padding before and padding after.
    """
    inputs, outputs, width = weight.shape
    # Phase r reads input t - d through kernel tap r + padding + d*stride.
    reach = [
        (math.ceil(-(r + padding) / stride), (width - 1 - r - padding) // stride)
        for r in range(stride)
        if (width - 1 - r - padding) // stride >= math.ceil(-(r + padding) / stride)
    ]
    first, last = min(low for low, _ in reach), max(high for _, high in reach)
    taps = last - first + 1
    kernel = np.zeros((stride * outputs, inputs, taps), weight.dtype)
    for phase in range(stride):
        for delay in range(first, last + 1):
            tap = phase + padding + delay * stride
            if 0 <= tap < width:
                kernel[phase * outputs : (phase + 1) * outputs, :, last - delay] = weight[:, :, tap].T
    return kernel, last, -first


def _rewrite(graph: Graph, node: Node) -> int:
    """Returns the size of the new kernel."""
    weight = graph.constants[node.inputs[1]]
    stride = int(node.attributes["strides"][0])
    padding = int(node.attributes.get("pads", [0, 0])[0])
    kernel, before, after = phase_kernel(weight, stride, padding)
    outputs, (batch, _, frames) = weight.shape[1], graph.shapes[node.inputs[0]]
    bias = graph.constants[node.inputs[2]] if len(node.inputs) > 2 and node.inputs[2] else np.zeros(outputs, np.float32)
    path = node.name.rpartition("/")[0]
    value = graph.add(
        "Conv",
        [
            node.inputs[0],
            graph.add_constant(node.inputs[1], kernel),
            graph.add_constant(node.inputs[2] if len(node.inputs) > 2 else f"{path}.bias", np.tile(bias, stride)),
        ],
        name=f"{path}/Conv",
        shape=(batch, stride * outputs, frames),
        before=node,
        attributes={
            "dilations": [1],
            "group": 1,
            "kernel_shape": [kernel.shape[2]],
            "pads": [before, after],
            "strides": [1],
        },
    )
    length = frames * stride
    for op, label, shape in (
        ("Reshape", "Reshape_in", (batch, stride, outputs, frames)),
        ("Transpose", "Transpose", (batch, outputs, frames, stride)),
        ("Reshape", "Reshape_out", (batch, outputs, length)),
    ):
        name = f"{path}/DepthToTime/{label}"
        inputs = [value] if op == "Transpose" else [value, graph.add_constant(f"{name}_shape", np.asarray(shape))]
        value = graph.add(
            op,
            inputs,
            name=name,
            shape=shape,
            before=node,
            attributes={"perm": [0, 2, 3, 1]} if op == "Transpose" else {},
            metadata=node.metadata if label == "Reshape_out" else {},
        )
    graph.replace(node.output, value)
    graph.remove(node)
    return int(kernel.size)
