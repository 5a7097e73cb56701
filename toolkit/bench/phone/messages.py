"""The protocol buffers benchmark_model writes, described here: no package of this environment can load them all.

Field numbers: tflite/tools/benchmark/proto/benchmark_result.proto, tflite/profiling/proto/profiling_info.proto and
model_runtime_info.proto. Fields that are not read are left out; the wire format skips them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "toolkit.phone"
_LATENCY = ("avg", "min", "max", "stddev", "median", "p5", "p95", "init", "first_inference", "average_warm_up")
# Message to fields: name, number, kind; a kind that is no scalar is another message, ``*`` means repeated.
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "LatencyMetrics": tuple((f"{name}_ms", number, "float") for number, name in enumerate(_LATENCY, 1)),
    "MemoryMetrics": (
        ("init_footprint_kb", 1, "int64"),
        ("overall_footprint_kb", 2, "int64"),
        ("peak_mem_mb", 3, "float"),
    ),
    "MiscMetrics": (("model_size_mb", 1, "float"), ("num_runs", 2, "int32"), ("num_warmup_runs", 3, "int32")),
    "BenchmarkResult": (
        ("latency_metrics", 2, "LatencyMetrics"),
        ("memory_metrics", 3, "MemoryMetrics"),
        ("misc_metrics", 4, "MiscMetrics"),
    ),
    "OpProfilingStat": (("first", 1, "int64"), ("avg", 3, "int64"), ("sum", 8, "int64"), ("count", 9, "int64")),
    "OpProfileData": (
        ("node_type", 1, "string"),
        ("inference_microseconds", 2, "OpProfilingStat"),
        ("times_called", 4, "int64"),
        ("name", 5, "string"),
    ),
    "SubGraphProfilingData": (("subgraph_index", 2, "int32"), ("per_op_profiles", 3, "OpProfileData*")),
    "DelegateProfilingData": (("per_op_profiles", 2, "OpProfileData*"),),
    "ModelProfilingData": (
        ("subgraph_profiles", 1, "SubGraphProfilingData*"),
        ("delegate_profiles", 2, "DelegateProfilingData*"),
    ),
    "BenchmarkProfilingData": (
        ("init_profile", 2, "ModelProfilingData"),
        ("runtime_profile", 3, "ModelProfilingData"),
    ),
    "DelegateNodeDetails": (("delegate_name", 1, "string"), ("tflite_node_ids_replaced", 2, "int32*")),
    "Node": (("id", 1, "int32"), ("type", 3, "string"), ("delegate_node_details", 8, "DelegateNodeDetails")),
    "RuntimeSubgraph": (("nodes", 3, "Node*"), ("execution_plan", 4, "int32*"), ("subgraph_type", 5, "int32")),
    "ModelRuntimeDetails": (("subgraphs", 2, "RuntimeSubgraph*"),),
}


@cache
def message(name: str) -> Any:
    """The class of a message."""
    file = descriptor_pb2.FileDescriptorProto(name="toolkit/phone.proto", package=_PACKAGE, syntax="proto2")
    for title, fields in _MESSAGES.items():
        described = file.message_type.add(name=title)
        for field, number, kind in fields:
            _describe(described.field.add(name=field, number=number), kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def _describe(field: Any, kind: str) -> None:
    repeated, kind = kind.endswith("*"), kind.rstrip("*")
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind in _MESSAGES:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
