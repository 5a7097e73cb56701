"""Graphs on the real interpreter: layouts, inputs that stay, edits in place, and the memory bound with real files."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from converters.spec import Layout
from toolkit.engine.bundle import GraphFact, TensorFact
from toolkit.engine.compiled import CompiledFile
from toolkit.engine.graphs import LiteFile
from toolkit.errors import EngineError

ROOT = Path(__file__).resolve().parents[3]


def _fact(
    role: str, shape: tuple[int, ...], permutation: tuple[int, ...] = (), expanded: tuple[int, ...] = ()
) -> TensorFact:
    expanded = expanded or shape
    return TensorFact(
        role=role, dtype="float32", layout=Layout(shape, expanded, permutation or tuple(range(len(expanded))))
    )


CACHE = GraphFact(
    name="t2s_step_8",
    kind="t2s_step",
    length=8,
    file="two.tflite",
    signature="cache",
    tensors={
        "cache": _fact("input", (2, 1, 8, 4), (0, 2, 3, 1)),  # stored time, width, head
        "gain": _fact("input", (1, 1)),
        "sum": _fact("output", (2, 1, 4), (0, 2, 1)),
    },
)
SCALE = GraphFact(
    name="flow_3",
    kind="flow",
    length=3,
    file="two.tflite",
    signature="scale",
    tensors={
        "x": _fact("input", (1, 5, 3), (0, 2, 3, 1), (1, 5, 1, 3)),
        "y": _fact("output", (1, 5, 3), (0, 2, 3, 1), (1, 5, 1, 3)),
    },
)


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    import tensorflow as tf

    class Two(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([2, 8, 4, 1], name="cache"), tf.TensorSpec([1, 1], name="gain")])
        def cache(self, cache, gain):
            return {"sum": tf.reduce_sum(cache, axis=1) * gain}

        @tf.function(input_signature=[tf.TensorSpec([1, 1, 3, 5], name="x")])
        def scale(self, x):
            return {"y": x * tf.constant([1.0, 2.0, 3.0, 4.0, 5.0])}

    model = Two()
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(model, folder, signatures={"cache": model.cache, "scale": model.scale})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["cache", "scale"])
        content = converter.convert()
    path = tmp_path_factory.mktemp("lite") / "two.tflite"
    path.write_bytes(content)
    return path


@pytest.fixture(params=["interpreter", "compiled"])
def opened(request, two):
    return LiteFile(two, threads=1) if request.param == "interpreter" else CompiledFile(two, threads=1)


def test_arrays_are_in_torch_layout_on_both_sides(opened):
    x = np.random.default_rng(0).standard_normal((1, 5, 3)).astype(np.float32)
    found = opened.graph(SCALE).run({"x": x})["y"]
    np.testing.assert_allclose(found, x * np.arange(1, 6, dtype=np.float32)[None, :, None])


def test_input_that_is_not_fed_stays_and_can_be_edited_in_place(two):
    graph = LiteFile(two, threads=1).graph(CACHE)
    cache = np.random.default_rng(0).standard_normal((2, 1, 8, 4)).astype(np.float32)
    np.testing.assert_allclose(
        graph.run({"cache": cache, "gain": np.ones((1, 1))})["sum"], cache.sum(2).reshape(2, 1, 4), rtol=1e-5
    )
    row = np.full((2, 1, 4), 9.0, np.float32)
    for place in range(8):

        def write(held, place=place):
            held[:, :, place] = row

        graph.edit("cache", write)
        cache[:, :, place] = row
        np.testing.assert_allclose(
            graph.run({"gain": np.full((1, 1), 2.0)})["sum"], 2 * cache.sum(2).reshape(2, 1, 4), rtol=1e-5
        )


def test_compiled_graph_keeps_inputs(two):
    graph = CompiledFile(two, threads=1).graph(CACHE)
    cache = np.random.default_rng(0).standard_normal((2, 1, 8, 4)).astype(np.float32)
    graph.run({"cache": cache, "gain": np.ones((1, 1))})
    found = graph.run({"gain": np.full((1, 1), 3.0)})["sum"]
    np.testing.assert_allclose(found, 3 * cache.sum(2).reshape(2, 1, 4), rtol=1e-5)


def test_graphs_of_one_file_do_not_disturb_each_other(two):
    file = LiteFile(two, threads=1)
    cache, scale = file.graph(CACHE), file.graph(SCALE)
    cache.edit("cache", lambda held: held.fill(1.0))
    scale.run({"x": np.ones((1, 5, 3), np.float32)})
    np.testing.assert_array_equal(cache.run({"gain": np.ones((1, 1))})["sum"], np.full((2, 1, 4), 8.0))


def _changed(fact: GraphFact, **changes) -> GraphFact:
    return GraphFact(**{name: changes.get(name, getattr(fact, name)) for name in GraphFact.__dataclass_fields__})


@pytest.mark.parametrize(
    "fact",
    [
        _changed(SCALE, signature="none"),
        _changed(SCALE, tensors={"x": SCALE.tensors["x"]}),
        _changed(SCALE, tensors={**SCALE.tensors, "x": _fact("input", (1, 5, 3))}),
        _changed(SCALE, tensors={**SCALE.tensors, "z": _fact("input", (1, 5, 3))}),
    ],
    ids=["signature", "output missing", "shape", "input unknown"],
)
def test_file_that_is_not_what_the_bundle_says_is_refused(opened, fact):
    with pytest.raises(EngineError) as caught:
        opened.graph(fact)
    assert caught.value.code == "engine/bundle"


def test_wrong_feeds_are_one_error(opened):
    graph = opened.graph(SCALE)
    for feeds in ({"x": np.zeros((1, 5, 4))}, {"nothing": np.zeros(1)}):
        with pytest.raises(EngineError) as caught:
            graph.run(feeds)
        assert caught.value.code == "engine/graph"


def test_damaged_file_and_missing_delegate_are_one_error(two, tmp_path):
    (tmp_path / "bad.tflite").write_bytes(two.read_bytes()[:100])
    for kind in (LiteFile, CompiledFile):
        with pytest.raises(EngineError) as caught:
            kind(tmp_path / "bad.tflite", threads=1)
        assert caught.value.code == "engine/graph"
    with pytest.raises(EngineError) as caught:
        LiteFile(two, threads=1, delegate=str(tmp_path / "none.so"))
    assert caught.value.code == "engine/delegate"


_BUNDLES = """
import sys
from pathlib import Path
import numpy as np
from toolkit.engine.bundle import read_bundle
from toolkit.engine.loading import GraphLoader
from toolkit.engine.residency import Residency
residency = Residency(int(sys.argv[2]) << 20)
loader = GraphLoader(residency, threads=1)
for turn in range(24):
    bundle = read_bundle(Path(sys.argv[1]) / str(turn % 12))
    with loader.using(bundle) as graphs:
        found = graphs(bundle.graphs["flow_1"]).run({"z_p": np.full((1, 2048, 2), 1.0, np.float32)})
        assert found["z"].shape == (1, 2048, 2)
print(residency.peak_bytes >> 20, residency.grown_bytes >> 20, residency.evictions, len(residency.keys()))
"""


def test_twelve_bundles_of_real_files_stay_below_the_bound(tmp_path):
    import tensorflow as tf

    class Dense(tf.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.weight = tf.constant(np.random.default_rng(seed).standard_normal((2048, 2048)).astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec([1, 2, 2048], name="z_p")])
        def flow(self, z_p):
            return {"z": tf.matmul(z_p, self.weight)}

    model = Dense(0)
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(model, folder, signatures={"flow_1": model.flow})
        content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    layout = {"torch_shape": [1, 2048, 2], "expanded": [1, 2048, 2], "permutation": [0, 2, 1], "dtype": "float32"}
    facts = {
        "format": 1, "label": "dense", "version": "v2", "symbols": 1, "sample_rate_hz": 1, "samples_per_frame": 1,
        "overlap_frames": 0, "noise_scale": 0.0,
        "semantic": {"width": 2, "layers": 1, "vocabulary": 2, "stop_token": 1, "text_alpha": 1.0, "audio_alpha": 1.0},
        "files": {"flow.tflite": {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}},
        "graphs": {
            "flow_1": {
                "file": "flow.tflite", "signature": "flow_1",
                "tensors": {"z_p": {"role": "input", **layout}, "z": {"role": "output", **layout}},
            }
        },
    }  # fmt: skip
    for number in range(12):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "flow.tflite").write_bytes(content)
        (tmp_path / str(number) / "engine.json").write_text(json.dumps(facts))
    bound = 160
    done = subprocess.run(
        [sys.executable, "-c", _BUNDLES, str(tmp_path), str(bound)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    peak, grown, evictions, held = map(int, done.stdout.split())
    assert len(content) > 16 << 20
    assert peak <= bound
    assert grown <= bound
    assert evictions > 0
    assert held >= 2


_SIGNATURES = """
import sys
from pathlib import Path
import numpy as np
from toolkit.engine.compiled import CompiledFile
from toolkit.engine.memory import resident_bytes
from tests.toolkit.engine.test_graphs import dense_fact
file = CompiledFile(Path(sys.argv[1]), threads=1)
first = file.graph(dense_fact(2))
first.run({"x": np.ones((1, 2, 2048), np.float32)})
before = resident_bytes()
for rows in (4, 8):
    file.graph(dense_fact(rows)).run({"x": np.ones((1, rows, 2048), np.float32)})
print(resident_bytes() - before)
"""


def dense_fact(rows: int) -> GraphFact:
    return GraphFact(
        name=f"flow_{rows}", kind="flow", length=rows, file="dense.tflite", signature=f"flow_{rows}",
        tensors={"x": _fact("input", (1, rows, 2048)), "y": _fact("output", (1, rows, 2048))},
    )  # fmt: skip


def test_signatures_share_one_packed_copy_of_the_weights(tmp_path):
    import tensorflow as tf

    class Dense(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = tf.constant(np.random.default_rng(0).standard_normal((2048, 2048)).astype(np.float32))

    model = Dense()
    signatures = {
        f"flow_{rows}": tf.function(
            lambda x: {"y": tf.matmul(x, model.weight)}, input_signature=[tf.TensorSpec([1, rows, 2048], name="x")]
        ).get_concrete_function()
        for rows in (2, 4, 8)
    }
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(model, folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(signatures))
        content = converter.convert()
    (tmp_path / "dense.tflite").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", _SIGNATURES, str(tmp_path / "dense.tflite")],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 16 << 20 < len(content) < 20 << 20
    assert int(done.stdout) < 4 << 20
