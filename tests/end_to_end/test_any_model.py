"""Any model through the command line: float32, int8, an ONNX file, and every way to fail without leaving anything."""

import json

import numpy as np
import pytest

from converters import frameworks
from tests.end_to_end.small_models import convolutions
from toolkit.cli.app import outcome

FACTORY = "tests.end_to_end.small_models:convolutions"
QUICK = (
    "--quiet", "--set", "bench.runs=3", "--set", "bench.warmup=0", "--set", "bench.min_seconds=0",
    "--set", "bench.threads=[1]",
)  # fmt: skip
INPUT = ("--input", "x:1x4x24")


def _onnx_bytes():
    from converters.spec import PartSpec, TensorSpec
    from converters.torch_to_onnx import export

    x, y = TensorSpec(name="x", shape=(1, 4, 24)), TensorSpec(name="y", shape=(1, 3, 24))
    return export(convolutions(), PartSpec(name="small", inputs=(x,), outputs=(y,))).SerializeToString()


def _run_tflite(path, x):
    """The shipped file by LiteRT alone, with the layout its metadata states."""
    from converters.tflite_graph.metadata import read_metadata

    facts = read_metadata(path.read_bytes())["signatures"]["serving_default"]
    (entry,) = [t for t in facts.values() if t["role"] == "input"]
    interpreter = frameworks.load("ai_edge_litert.interpreter").Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    target = x.reshape(entry["expanded"]).transpose(entry["permutation"])
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], target)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    (left,) = [t for t in facts.values() if t["role"] == "output"]
    return found.transpose(np.argsort(left["permutation"])).reshape(left["torch_shape"])


def _torch(x):
    torch = frameworks.torch()
    with torch.inference_mode():
        return convolutions()(torch.from_numpy(x)).numpy()


def _snr_db(reference, found):
    return 10 * np.log10(np.sum(reference**2) / np.sum((reference - found) ** 2))


X = np.random.default_rng(3).standard_normal((1, 4, 24)).astype(np.float32)


def test_factory_becomes_float32_tflite_that_computes_the_same(tmp_path, capfd):
    out = tmp_path / "run"
    assert outcome(["convert", FACTORY, *INPUT, "--out", str(out), "--json", *QUICK]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result == json.loads((out / "results.json").read_text())
    assert {row["to"] for row in result["parity"]} == {
        "onnx", "rewritten onnx", "keras", "trainable keras", "tflite float32"
    }  # fmt: skip
    assert all(row["snr_db"] >= row["limit_snr_db"] for row in result["parity"])
    assert {row["realised"] for row in result["precision"]} == {"float32"}
    assert _snr_db(_torch(X), _run_tflite(out / "bundle/model.tflite", X)) > 100
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert outcome(["inspect", str(out / "bundle/model.tflite")]) == 0
    assert "CONV_2D" in capfd.readouterr().out


def test_int8_by_a_short_fine_tuning(tmp_path):
    out = tmp_path / "run"
    np.savez(tmp_path / "probe.npz", x=X)
    arguments = ["convert", FACTORY, *INPUT, "--recipe", "any-model-int8", "--probe", str(tmp_path / "probe.npz")]
    finetune = "parts.model.compress.finetune"
    steps = ("--set", f"{finetune}.steps=3", "--set", f"{finetune}.segment_frames=24")
    assert outcome([*arguments, *steps, *QUICK, "--out", str(out)]) == 0
    result = json.loads((out / "results.json").read_text())
    assert {row["realised"] for row in result["precision"] if row["kind"] == "CONV_2D"} == {"int8"}
    assert 20 < _snr_db(_torch(X), _run_tflite(out / "bundle/model.tflite", X)) < 70
    losses = {row["name"]: row["own_snr_db"] for row in result["tensor_errors"]}
    assert any("first/Conv" in name for name in losses) and "last/Conv" in losses and 20 < min(losses.values()) < 60
    assert {row["inputs"] for row in result["tensor_errors"]} == {"1 real inputs, which ranges were chosen by"}
    assert json.loads((out / "manifest.json").read_text())["inputs"].keys() == {"probe.npz"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["probe.npz", "run"]


def test_onnx_file_needs_no_declaration(tmp_path):
    model, out = tmp_path / "small.onnx", tmp_path / "run"
    model.write_bytes(_onnx_bytes())
    assert outcome(["convert", str(model), "--out", str(out), *QUICK]) == 0
    assert _snr_db(_torch(X), _run_tflite(out / "bundle/model.tflite", X)) > 100
    assert json.loads((out / "manifest.json").read_text())["inputs"].keys() == {"small.onnx"}


@pytest.mark.parametrize("suffix", [".pt", ".pt2"])
def test_traced_and_exported_files_convert(tmp_path, suffix):
    torch = frameworks.torch()
    model, out = tmp_path / f"small{suffix}", tmp_path / "run"
    if suffix == ".pt":
        torch.jit.trace(convolutions(), torch.from_numpy(X)).save(model)
    else:
        torch.export.save(torch.export.export(convolutions(), (torch.from_numpy(X),)), model)
    assert outcome(["convert", str(model), *INPUT, "--out", str(out), *QUICK]) == 0
    assert _snr_db(_torch(X), _run_tflite(out / "bundle/model.tflite", X)) > 100


def _refused(arguments, tmp_path, capfd, *said):
    before = sorted(tmp_path.iterdir())
    assert outcome(["convert", *arguments, "--out", str(tmp_path / "run"), *QUICK]) == 2
    message = capfd.readouterr().err
    for text in said:
        assert text in message
    assert "error[internal" not in message
    assert sorted(tmp_path.iterdir()) == before


def test_layer_without_translation_is_named_and_leaves_nothing(tmp_path, capfd):
    model = "tests.end_to_end.small_models:unsupported"
    _refused([model, *INPUT], tmp_path, capfd, "error[convert/unsupported-op]", "whitening")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_onnx_file_is_refused(tmp_path, capfd, share):
    data = _onnx_bytes()
    (tmp_path / "small.onnx").write_bytes(data[: int(len(data) * share)])
    _refused([str(tmp_path / "small.onnx")], tmp_path, capfd, "error[input/", "small.onnx")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.such.module:make", *INPUT], "error[input/"),
        (["tests.end_to_end.small_models:nothing", *INPUT], "has no 'nothing'"),
        ([FACTORY], "error[convert/shape-not-static]"),
        ([FACTORY, "--input", "x:1x5x24"], "error["),
        ([FACTORY, *INPUT, "--set", "parts.model.precision.default=int3"], "error[recipe/"),
    ],
)
def test_unusable_request_is_refused(tmp_path, capfd, arguments, said):
    _refused(arguments, tmp_path, capfd, said)


@pytest.mark.parametrize(
    "stage",
    ["toolkit.compress.run.compress_part", "toolkit.pipeline.run.write_manifest", "toolkit.report.write_report"],
)
def test_interruption_in_the_middle_leaves_nothing(tmp_path, capfd, monkeypatch, stage):
    reached = []

    def interrupted(*_, **__):
        reached.extend(tmp_path.glob(".run.*.partial/float32/model.tflite"))
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, interrupted)
    _refused([FACTORY, *INPUT], tmp_path, capfd, "error[run/interrupted]")
    assert len(reached) == 1
