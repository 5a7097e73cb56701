"""A voice with two lengths of every part: one command, one set of 8-bit weights in each file."""

import pytest

from converters.tflite_graph.flatbuffer import load
from toolkit.cli.app import outcome

pytestmark = pytest.mark.slow

ARGUMENTS = (
    "convert", "--random-voice", "--delegate", "nnapi", "--set", "buckets.phonemes=[80,96]",
    "--set", "buckets.frames=[48,64]", "--set", "quality.utterances=0", "--set", "bench.runs=3",
    "--set", "bench.warmup=0", "--set", "bench.min_seconds=0", "--set", "bench.threads=[1]",
)  # fmt: skip


def _kernels(model, graph):
    """Buffers of the constants of more than 64 numbers a graph stores in 8 bits."""
    return {
        int(tensor.buffer)
        for tensor in graph.tensors
        if tensor.type == 9 and (data := model.buffers[tensor.buffer].data) is not None and len(data) > 64
    }


def test_both_lengths_read_the_same_weights(tmp_path, capfd):
    assert outcome([*ARGUMENTS, "--out", str(tmp_path / "run")]) == 0
    said = capfd.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "precision and fine-tuning" in line]
    shared = [line for line in lines if "weights and scales of the longest, equal in float to" in line]
    assert len(shared) >= 2, lines
    assert all(length in line for length, line in zip(("@80", "@48"), sorted(shared, reverse=True), strict=False))
    for name in ("encoder", "decoder"):
        model = load((tmp_path / "run" / "bundle" / f"{name}.tflite").read_bytes())
        first, second = (_kernels(model, graph) for graph in model.subgraphs)
        assert first == second and len(first) >= 4, name
