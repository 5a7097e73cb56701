"""Outputs in the form of benchmark_model, for the fake phone and the parsers.

The form follows the tool's source: benchmark_model.cc, benchmark_tflite_model.cc, stats_calculator.cc (with a column
``start`` up to TensorFlow 2.9, without later) and profile_summary_formatter.cc. Summary lines are those recorded in the
project's notes on delegates; the operators are made up.
"""

import importlib.util
import struct
from pathlib import Path

NNAPI_OPS = [
    ("TfLiteNnapiDelegate", 41.2, 1, "[dec/Conv_12, dec/Add_3]:71"),
    ("LEAKY_RELU", 3.25, 1, "[dec/LeakyRelu]:61"),
    ("TfLiteNnapiDelegate", 20.75, 1, "[dec/Tanh]:72"),
    ("TRANSPOSE_CONV", 14.8, 1, "[dec/ConvTranspose, with, commas]:63"),
]
XNNPACK_OPS = [
    ("QUANTIZE", 0.203, 1, "[tfl.quantize]:0"),
    ("Convolution (NHWC, QC8) IGEMM", 0.407, 1, "Delegate/Convolution (NHWC, QC8) IGEMM:0"),
    ("Convolution (NHWC, QC8) DWConv", 0.051, 13, "Delegate/Convolution (NHWC, QC8) DWConv:1"),
    ("Add (ND, QS8)", 0.024, 1, "Delegate/Add (ND, QS8):9"),
    ("RESIZE_NEAREST_NEIGHBOR", 0.0, 1, "[fnode0/ResizeNearestNeighbor]:101"),
]
PARTLY = (
    "Explicitly applied {name} delegate, and the model graph will be partially executed by the delegate w/ {n} "
    "delegate kernels."
)
WHOLLY = "Explicitly applied {name} delegate, and the model graph will be completely executed by the delegate."
NNAPI_PARTLY = PARTLY.format(name="NNAPI", n=2)
NOTHING = "Though {name} delegate is explicitly applied, the model graph will not be executed by the delegate."


def log(avg="79732", applied=NNAPI_PARTLY, percentiles=True, prefix="", size_mb="0.002048", runs=50):
    more = " p5=77500 median=79600 p95=84000" if percentiles else ""
    lines = [
        "STARTING!",
        "Log parameter values verbosely: [0]",
        f"Min num runs: [{runs}]",
        "Graph: [/data/local/tmp/x/model.tflite]",
        "Use NNAPI: [1]",
        "NNAPI accelerators available: [qti-default,qti-dsp,nnapi-reference]",
        "Loaded model /data/local/tmp/x/model.tflite",
        "NNAPI delegate created.",
        applied,
        f"The input model file size (MB): {size_mb}",
        "Initialized session in 38.467ms.",
        "Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.",
        "count=1 curr=83235" + (" p5=83235 median=83235 p95=83235" if percentiles else ""),
        "",
        f"Running benchmark for at least {runs} iterations and at least 1 seconds but terminate if exceeding 150 "
        "seconds.",
        f"count={runs} first=79449 curr=81350 min=77385 max=88213 avg={avg} std=1929{more}",
        "",
        f"Inference timings in us: Init: 38467, First inference: 83235, Warmup (avg): 83235, Inference (avg): {avg}",
        "Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to the actual "
        "memory footprint of the model at runtime. Take the information at your discretion.",
        "Memory footprint delta from the start of the tool (MB): init=5.66016 overall=140.508",
        "Overall peak memory footprint (MB) via periodic monitoring: 151.25",
    ]
    return "\n".join(prefix + line if line else line for line in lines) + "\n"


def table(ops, form="tabs"):
    """One StatsCalculator table with what stands under it."""
    total = sum(ms * calls for _, ms, calls, _ in ops) or 1.0
    lines, start, cumulated = [], 0.0, 0.0
    for title in ("Run Order", "Top by Computation Time"):
        lines.append(f"============================== {title} ==============================")
        lines.append(_HEADERS[form])
        for kind, ms, calls, name in ops:
            share = 100 * ms * calls / total
            cumulated += share
            lines.append(_ROWS[form].format(kind, start, ms, ms, share, cumulated, 0.0, calls, name=name))
            start += ms * calls
        lines.append("")
    lines.append(f"Number of nodes executed: {len(ops)}")
    lines.append("============================== Summary by node type ==============================")
    lines.append(
        "\t             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]"
    )
    lines += ["", f"Timings (microseconds): count=50 first=1 curr=1 min=1 max=1 avg={total * 1e3:.0f} std=0"]
    lines += ["Memory (bytes): count=0", f"{len(ops)} nodes observed", ""]
    return "\n".join(lines) + "\n"


_HEADERS = {
    "tabs": "\t             [node type]\t          [start]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]"
    "\t[times called]\t[Name]",
    "aligned": "                 [node type]          [first]        [avg ms]            [%]          [cdf%]"
    "          [mem KB]        [times called]  [Name]",
    "csv": "node type, start, first, avg_ms, %, cdf%, mem KB, times called, name",
    "newer csv": "node type, first, avg_ms, %, cdf%, mem KB, times called, name",
}
_ROWS = {
    "tabs": "\t{0:>24}\t{1:17.3f}\t{2:9.3f}\t{3:9.3f}\t{4:7.3f}%\t{5:7.3f}%\t{6:10.3f}\t{7:9d}\t{name}",
    "aligned": "{0:>44} {2:16.3f} {3:15.3f} {4:13.3f}% {5:14.3f}% {6:17.3f} {7:18d}       {name}",
    "csv": "{0}, {1:g}, {2:g}, {3:g}, {4:g}%, {5:g}%, {6:g}, {7}, {name}",
    "newer csv": "{0}, {2:g}, {3:g}, {4:g}%, {5:g}%, {6:g}, {7}, {name}",
}
LOADING = [("ModifyGraphWithDelegate", 552.75, 1, "ModifyGraphWithDelegate/0"), ("AllocateTensors", 2.5, 2, "A/0")]


def profile(ops, form="tabs", inner=(), subgraphs=()):
    """A whole profile: loading, runs, other subgraphs, and what a delegate reports by itself."""
    text = "Profiling Info for Benchmark Initialization:\n" + table(LOADING, form)
    text += "\n\nOperator-wise Profiling Info for Regular Benchmark Runs:\n"
    text += ("Primary graph (name: main) profile:\n" if subgraphs else "") + table(ops, form)
    for index, each in enumerate(subgraphs, 1):
        text += f"\nSubgraph (index: {index}, name: body) profile:\n{table(each, form)}"
    return text + ("\nDelegate internal: \n" + table(list(inner), form) if inner else "")


def official(name):
    """TensorFlow's own classes of the profile's messages, loaded without TensorFlow."""
    found = importlib.util.find_spec("tensorflow")
    folder = Path(found.submodule_search_locations[0]) / "lite/profiling/proto"
    spec = importlib.util.spec_from_file_location(f"official_{name}", folder / f"{name}_pb2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def profile_file(ops, inner=()):
    """What --op_profiling_output_mode=proto writes, by TensorFlow's own classes."""
    data = official("profiling_info").BenchmarkProfilingData()
    graph = data.runtime_profile.subgraph_profiles.add(subgraph_index=0, subgraph_name="")
    groups = [(graph.per_op_profiles, ops)]
    if inner:
        groups.append((data.runtime_profile.delegate_profiles.add().per_op_profiles, inner))
    for target, rows in groups:
        for kind, ms, calls, name in rows:
            one = target.add(node_type=kind, name=name, times_called=calls)
            total = round(ms * 1000 * 50)
            stat = one.inference_microseconds
            stat.sum, stat.count, stat.avg, stat.first = total, 50, total // 50, total // 50
    return data.SerializeToString()


def result_file(avg=79.732, runs=50):
    """What --result_file_path writes, field by field (numbers of benchmark_result.proto)."""
    times = (avg, 77.385, 88.213, 1.929, 79.6, 77.5, 84.0, 38.467, 83.235, 83.235)
    latency = b"".join(bytes([number << 3 | 5]) + struct.pack("<f", ms) for number, ms in enumerate(times, 1))
    misc = b"\x0d" + struct.pack("<f", 0.002) + b"\x10" + bytes([runs]) + b"\x18\x01"
    return b"\x12" + bytes([len(latency)]) + latency + b"\x22" + bytes([len(misc)]) + misc


def runtime_graph(delegate="TfLiteNnapiDelegate", kernels=((0, 1, 2), (4, 5)), left=2):
    """What --export_model_runtime_info writes, in the wire format of model_runtime_info.proto."""

    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    nodes, plan = b"", []
    for position in range(left):
        nodes += field(3, b"\x08" + bytes([position + 30]) + field(3, b"CONV_2D"))
        plan.append(position + 30)
    for position, replaced in enumerate(kernels):
        inside = field(1, delegate.encode()) + field(2, bytes(replaced))
        nodes += field(3, b"\x08" + bytes([position + 70]) + field(3, b"DELEGATE") + field(8, inside))
        plan.append(position + 70)
    return field(2, nodes + field(4, bytes(plan)) + b"\x28\x01")
