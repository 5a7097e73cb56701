"""Every operator of every table, misshapen at random: each delegate answers, none of its rules falls over."""

from dataclasses import replace

import numpy as np
import pytest

from tests.toolkit.delegates.op_examples import EXAMPLES, Example, Slot
from toolkit.delegates.place import place_graph
from toolkit.results.delegation import DelegateName

SHAPES = [(), (0,), (1,), (8,), (2, 8), (4, 2), (1, 4, 8), (1, 4, 4, 8), (2, 3, 4, 5), (1, 1, 1, 1, 8), (0, 4, 4, 8)]
TYPES = ["FLOAT32", "FLOAT16", "INT8", "UINT8", "INT32", "INT64", "BOOL", "STRING", "RESOURCE"]
SCALES = [(), (0.0,), (0.5,), (float("nan"),), (float("inf"), 1.0), (-1.0,)]
OPTIONS = {
    bool: [True, False],
    int: [0, 1, -1, 2, 2**31 - 1, -(2**31)],
    float: [0.0, 1.0, float("nan"), float("inf")],
    str: ["", "NONE", "RELU", "Nobody", 99],  # an enumeration's value that is not in the schema stays a number
    list: [[], [0], [1, 2], [2**31 - 1] * 5],
}
"""What a file can hold for an option, by its type in the schema."""
DELEGATES: tuple[DelegateName, ...] = ("nnapi", "gpu_classic", "gpu_litert", "xnnpack", "coreml")


def pick(rng, things):
    return things[int(rng.integers(len(things)))]


def values(rng, shape):
    kind = int(rng.integers(4))
    if kind == 0:
        return np.full(shape, np.nan)
    if kind == 1:
        return np.full(shape, -(2**40))
    return rng.integers(-5, 6, shape) if kind == 2 else np.frombuffer(b"\x00\xff\x07", np.uint8)


def misshapen(slot, rng):
    if rng.random() < 0.6 or slot is None:
        return slot
    shape = pick(rng, SHAPES)
    return replace(
        slot,
        shape=shape if rng.random() < 0.6 else slot.shape,
        dtype=pick(rng, TYPES) if rng.random() < 0.5 else slot.dtype,
        data=None if rng.random() < 0.5 else values(rng, shape),
        scales=pick(rng, SCALES),
        zero_points=() if rng.random() < 0.5 else (300,),
        is_sparse=bool(rng.random() < 0.1),
    )


def malformed(example: Example, rng: np.random.Generator) -> Example:
    """The example with tensors reshaped, retyped, missing or too many, and options gone or nonsense."""
    inputs = [misshapen(slot, rng) for slot in example.inputs]
    outputs = [misshapen(slot, rng) for slot in example.outputs]
    if rng.random() < 0.3 and inputs:
        inputs[int(rng.integers(len(inputs)))] = None
    if rng.random() < 0.3:
        inputs = inputs[: int(rng.integers(len(inputs) + 1))]
    if rng.random() < 0.1:
        inputs += [Slot()] * 20
    if rng.random() < 0.15:
        outputs = outputs[: int(rng.integers(len(outputs) + 1))]
    options = {k: pick(rng, OPTIONS[type(v)]) if rng.random() < 0.3 else v for k, v in example.options.items()}
    if rng.random() < 0.2:
        options = {}
    consumer = example.consumer if outputs else ""
    producer = example.producer if inputs and inputs[0] is not None else ""
    return replace(
        example,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        options=options,
        version=int(rng.integers(-1, 12)),
        consumer=consumer,
        producer=producer,
    )


@pytest.mark.parametrize("kind", EXAMPLES)
def test_no_rule_falls_over_a_malformed_operator(kind):
    rng = np.random.default_rng(sum(kind.encode()))
    for number in range(60):
        graph = malformed(EXAMPLES[kind][number % len(EXAMPLES[kind])], rng).graph()
        for delegate in DELEGATES:
            for level in (27, 29, 1000008) if delegate == "nnapi" else (31,):
                placement = place_graph(graph, "p", delegate, level=level)
                assert placement.total_ops <= len(graph.ops)
                assert all(o.source and o.reason for o in placement.ops if not o.accepted)
