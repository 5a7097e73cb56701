import functools

import numpy as np
import pytest

from tests.toolkit.delegates.small_graphs import convert, weights
from toolkit.bench import host, machine
from toolkit.bench.memory import peak_memory
from toolkit.bench.plan import Plan
from toolkit.bench.session import Session
from toolkit.errors import BenchError

FAST = Plan(warmup_runs=1, warmup_seconds=0.0, min_runs=4, max_runs=6, min_seconds=0.05, threads=(1, 2))


@functools.cache
def convolution(channels):
    import converters.frameworks as frameworks

    kernel = weights(1, 5, channels, channels)
    return convert(lambda x: frameworks.tensorflow().nn.conv2d(x, kernel, 1, "SAME"), (1, 1, 256, channels))


def test_measure_gives_one_latency_per_thread_count():
    one, two = host.measure(convolution(16), "decoder", "float32", FAST, audio_seconds=2.0)
    assert (one.threads, two.threads) == (1, 2)
    assert 4 <= one.stats.n <= 6 and len(one.samples_ms) == one.stats.n
    assert one.where.startswith("host CPU: ") and one.init_ms > 0 and one.first_ms > 0
    assert one.real_time_factor == pytest.approx(one.stats.p50_ms / 2000.0)
    assert not one.estimated


def test_too_few_runs_are_not_valid():
    (only,) = host.measure(
        convolution(16),
        "p",
        "result",
        Plan(warmup_runs=0, min_runs=3, max_runs=3, min_seconds=0, threads=(1,), max_noise_ratio=1e-9),
    )
    assert not only.valid and only.reasons


def test_race_sees_which_file_is_slower():
    result = host.race(
        {"float32": convolution(96), "result": convolution(16)},
        "decoder",
        FAST,
        baseline="float32",
        threads=1,
        inputs=None,
    )
    (ratio,) = result.comparisons
    assert (
        ratio.ratio < 0.7
        and ratio.ci_low <= ratio.ratio <= ratio.ci_high
        and ratio.pairs == len(result.latencies[0].samples_ms)
    )
    assert {r.variant for r in result.latencies} == {"float32", "result"}
    # twin: the other way round
    (back,) = host.race(
        {"float32": convolution(96), "result": convolution(16)}, "decoder", FAST, baseline="result", threads=1
    ).comparisons
    assert back.ratio > 1.3


def test_race_needs_its_baseline():
    with pytest.raises(BenchError):
        host.race({"a": b"", "b": b""}, "p", FAST, baseline="c", threads=1)


def test_session_takes_named_inputs_and_refuses_wrong_ones():
    from ai_edge_litert.interpreter import Interpreter

    model = convolution(16)
    interpreter = Interpreter(model_content=model)
    signatures = interpreter.get_signature_list()
    (name,) = (
        signatures[next(iter(signatures))]["inputs"] if signatures else (interpreter.get_input_details()[0]["name"],)
    )
    assert Session(model, 1, {name: np.zeros((1, 1, 256, 16), np.float32)}).first_ms > 0
    with pytest.raises(BenchError, match="inputs"):
        Session(model, 1, {"nonsense": np.zeros(3, np.float32)})
    with pytest.raises(BenchError, match="shape"):
        Session(model, 1, {name: np.zeros((1, 3), np.float32)})


def test_damaged_file_is_refused():
    with pytest.raises(BenchError) as caught:
        Session(b"not a model", 1)
    assert caught.value.code == "bench/unloadable"


def test_peak_memory_of_a_larger_file_is_larger(tmp_path):
    found = []
    for channels in (16, 1024):
        path = tmp_path / f"{channels}.tflite"
        path.write_bytes(convolution(channels))
        found.append(peak_memory(path, "p", "float32", threads=1))
    small, large = found
    assert 0 < small.over_runtime_bytes < small.peak_rss_bytes
    assert large.over_runtime_bytes > small.over_runtime_bytes + 10_000_000  # 21 MB of weights


def test_peak_memory_says_why_it_failed(tmp_path):
    (tmp_path / "bad.tflite").write_bytes(b"bad")
    with pytest.raises(BenchError, match="memory probe"):
        peak_memory(tmp_path / "bad.tflite", "p", "float32")


def test_machine_names_the_cpu_and_the_tools():
    environment = machine.environment("nnapi")
    assert environment.host.cpu and environment.host.logical_cores >= 1
    assert environment.tools["ai-edge-litert"]
