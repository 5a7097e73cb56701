"""The whole way once, on a small voice of random weights: convert, twice, and use what came out."""

import hashlib
import json
import wave

import pytest

from toolkit.cli.app import outcome

pytestmark = pytest.mark.slow

# The shortest calibration sentences have 65 and 73 phoneme ids; a bucket of 80 holds just these.
ARGUMENTS = (
    "convert", "--random-voice", "--delegate", "nnapi", "--quiet",
    "--set", "buckets.phonemes=[80]", "--set", "buckets.frames=[64]", "--set", "quality.utterances=0",
    "--set", "bench.runs=3", "--set", "bench.warmup=0", "--set", "bench.min_seconds=0", "--set", "bench.threads=[1]",
)  # fmt: skip
PARTS = {"encoder": 80, "flow": 64, "decoder": 64}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of the same command."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("first", "second"):
        assert outcome([*ARGUMENTS, "--out", str(folder / name)]) == 0
    return folder / "first", folder / "second"


@pytest.fixture(scope="module")
def results(runs):
    return json.loads((runs[0] / "results.json").read_text(encoding="utf-8"))


def _files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_run_directory_is_complete_and_nothing_else_is_left(runs):
    overlays = {
        f"model_explorer/{name}-{bucket}-{what}.json"
        for name, bucket in PARTS.items()
        for what in ("precision", "nnapi", "gpu_classic", "gpu_litert", "xnnpack")
    } | {f"model_explorer/decoder-64-time-{variant}.json" for variant in ("float32", "result")}
    expected = {
        *(f"onnx/{name}-{bucket}.onnx" for name, bucket in PARTS.items()),
        *(f"float32/{name}-{bucket}.tflite" for name, bucket in PARTS.items()),
        *(f"bundle/{name}.tflite" for name in PARTS),
        "bundle/duration.onnx", "bundle/voice.json",
        "manifest.json", "recipe.lock.yaml", "results.json", "index.html", "report.md",
        "model_card.md", "trace.json", *overlays,
    }  # fmt: skip
    for run in runs:
        assert set(_files(run)) == expected
    assert sorted(p.name for p in runs[0].parent.iterdir()) == ["first", "second"]


def test_every_part_is_compared_layer_by_layer(results):
    rows = results["tensor_errors"]
    assert {row["part"] for row in rows} == {f"{name}@{bucket}" for name, bucket in PARTS.items()}
    assert "tensor_errors" not in results["not_measured"] and {row["inputs"] for row in rows} != {""}
    inner = [row for row in rows if row["precision"] == "int8"]
    halves = [row for row in rows if row["precision"] == "float16" and row["name"].endswith("Conv")]
    assert 5.0 < min(row["own_snr_db"] for row in inner) < 45.0 < min(row["own_snr_db"] for row in halves)


def test_same_command_same_bytes(runs):
    first, second = map(_files, runs)
    for name in first:
        if name.startswith(("bundle/", "float32/", "onnx/")) or name in ("manifest.json", "recipe.lock.yaml"):
            assert first[name] == second[name], name


def test_manifest_tells_the_truth(runs):
    files = _files(runs[0])
    outputs = json.loads(files["manifest.json"])["outputs"]
    made = {name for name in files if name.startswith(("bundle/", "float32/", "onnx/"))}
    assert set(outputs) == {*made, "recipe.lock.yaml"}
    for name, facts in outputs.items():
        assert facts == {"sha256": hashlib.sha256(files[name]).hexdigest(), "size_bytes": len(files[name])}


def test_every_hop_of_every_part_agrees_with_torch(results):
    hops = {"onnx", "rewritten onnx", "keras", "trainable keras", "tflite float32"}
    assert {(row["part"], row["to"]) for row in results["parity"]} == {
        (f"{name}@{bucket}", hop) for name, bucket in PARTS.items() for hop in hops
    }
    for row in results["parity"]:
        assert row["limit_snr_db"] >= 100
        assert row["snr_db"] >= row["limit_snr_db"], row


def test_precision_is_realised_as_asked(results):
    weighted = [row for row in results["precision"] if row["kind"] == "CONV_2D"]
    assert {row["realised"] for row in weighted if row["part"] == "flow@64"} == {"float16"}
    assert "int8" in {row["realised"] for row in weighted if row["part"] == "decoder@64"}
    (post,) = [row for row in weighted if row["op"] == "dec.conv_post/Conv"]
    assert post["realised"] == post["asked"] != "int8"


def test_random_weights_are_said_wherever_the_result_is_shown(runs, results):
    for name in ("report.md", "index.html"):
        assert "random weights" in (runs[0] / name).read_text(encoding="utf-8")
    assert "model/random-weights" in {warning["code"] for warning in results["warnings"]}
    assert "quality" in results["not_measured"]


def test_inspect_shows_the_decoder(runs, capfd):
    assert outcome(["inspect", str(runs[0] / "bundle/decoder.tflite"), "--delegate", "nnapi"]) == 0
    shown = capfd.readouterr().out
    assert "CONV_2D" in shown
    assert "int8" in shown
    assert "partition(s)" in shown


@pytest.mark.parametrize("folder", ["", "bundle"])
def test_bundle_speaks_noise_of_the_right_kind(runs, tmp_path, capfd, folder):
    said = tmp_path / "noise.wav"
    arguments = ["speak", str(runs[0] / folder), "--phonemes", "ðɪs ɪz nˈɔɪz.", "--out", str(said)]
    assert outcome(arguments) == 0, capfd.readouterr().err
    with wave.open(str(said)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (22050, 1, 2)
        samples = file.readframes(file.getnframes())
    assert len(samples) > 2 * 16 * 20
    assert len(set(samples)) > 8
    assert [p.name for p in tmp_path.iterdir()] == ["noise.wav"]


@pytest.mark.parametrize("missing", ["decoder.tflite", "voice.json", "duration.onnx"])
def test_incomplete_bundle_is_refused(runs, tmp_path, capfd, missing):
    for name, data in _files(runs[0] / "bundle").items():
        if name != missing:
            (tmp_path / name).write_bytes(data)
    out = tmp_path / "speech.wav"
    assert outcome(["speak", str(tmp_path), "--phonemes", "ðɪs.", "--out", str(out)]) == 2
    assert "error[input/" in capfd.readouterr().err
    assert not out.exists()
