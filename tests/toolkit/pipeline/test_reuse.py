"""Work that conversions of one model share."""

import json
from pathlib import Path

import numpy as np
import pytest

from converters.spec import PartSpec, TensorSpec
from tests.end_to_end.small_models import convolutions
from toolkit.errors import DeviceError
from toolkit.pipeline.events import Silent
from toolkit.pipeline.reuse import Reuse, float_digest, shipped_digest
from toolkit.pipeline.run import Options, run
from toolkit.pipeline.sources import Request, SourcePart
from toolkit.recipe import load as recipes

MODEL = Request(model="tests.end_to_end.small_models:convolutions", inputs=("x:1x4x24",))


def _part(model=None, probe=0.0):
    spec = PartSpec(
        name="model",
        inputs=(TensorSpec(name="x", shape=(1, 4, 24)),),
        outputs=(TensorSpec(name="y", shape=(1, 3, 24)),),
    )
    arrays = ({"x": np.full((1, 4, 24), probe, np.float32)},)
    return SourcePart(name="model", bucket=0, model=model or convolutions(), spec=spec, probes=arrays, real_probes=0)


def test_digest_is_of_the_content():
    recipe = recipes.load("any-model")
    assert float_digest(_part(), recipe) == float_digest(_part(), recipe)
    other = convolutions()
    other.first.weight.data[0, 0, 0] += 1e-3
    assert float_digest(_part(other), recipe) != float_digest(_part(), recipe)
    assert float_digest(_part(probe=1.0), recipe) != float_digest(_part(), recipe)
    polyphase = recipes.load("any-model", ("onnx.transposed_conv=native",))
    assert float_digest(_part(), polyphase) != float_digest(_part(), recipe)


def test_precision_changes_what_ships_and_not_the_float_hops():
    first, second = recipes.load("any-model"), recipes.load("any-model", ("parts.model.precision.default=float16",))
    assert float_digest(_part(), first) == float_digest(_part(), second)
    assert shipped_digest(_part(), first, "") != shipped_digest(_part(), second, "")
    gates = recipes.load("any-model", ("gates.total_bytes_max=1",))
    assert shipped_digest(_part(), first, "") == shipped_digest(_part(), gates, "")


def _bundle(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "bundle").iterdir()}


def test_reused_work_gives_the_same_bytes(tmp_path):
    reuse, options = Reuse(), Options(benchmark=False)
    changes = {"a": (), "b": ("parts.model.precision.default=float16",), "c": ()}
    for name, change in changes.items():
        settings = recipes.load("any-model", (*change, "delegate.device=snapdragon-7-gen-3"))
        outcome = run(MODEL, settings, tmp_path / name, options, Silent(), reuse)
        assert outcome.result.latency == ()
        assert "not timed" in outcome.result.not_measured["latency"]
    assert reuse.made == {"opened": 1, "float": 1, "shipped": 2}
    assert reuse.found == {"opened": 2, "float": 2, "shipped": 1}
    afresh = tmp_path / "afresh"
    run(MODEL, recipes.load("any-model", ("delegate.device=snapdragon-7-gen-3",)), afresh, options, Silent())
    assert _bundle(tmp_path / "a") == _bundle(tmp_path / "c") == _bundle(afresh)
    results = json.loads((afresh / "results.json").read_text())
    assert [(row["part"], row["estimated"]) for row in results["estimates"]] == [("model", True), ("total", True)]
    page = (afresh / "index.html").read_text()
    assert "Estimated, not measured" in page and "Qualcomm Snapdragon 7 Gen 3, CPU" in page


def test_estimated_latency_is_gated_and_says_so(tmp_path):
    limits = ("delegate.device=snapdragon-7-gen-3", "gates.estimated_latency_ms_max=0.000001")
    outcome = run(MODEL, recipes.load("any-model", limits), tmp_path / "run", Options(benchmark=False), Silent())
    (gate,) = [gate for gate in outcome.result.gates if gate.id == "estimated_latency"]
    assert (gate.status, gate.unit) == ("fail", "ms, estimated")
    assert "Not measured" in gate.explanation
    assert not outcome.passed


def test_unknown_device_stops_before_any_work(tmp_path):
    with pytest.raises(DeviceError):
        run(MODEL, recipes.load("any-model", ("delegate.device=x",)), tmp_path / "run", Options(), Silent())
    assert list(tmp_path.iterdir()) == []
