"""``toolkit stack`` as a user runs it: distil, prune, quantise a small trained model; gates and cache."""

import json

import pytest
import yaml

from tests.toolkit.train.small_semantic import small_corpus, written_on_one_thread
from toolkit.cli.app import outcome
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.pipeline.codes_judgement import judge_codes
from toolkit.pipeline.gpt_sovits import semantic_model
from toolkit.pipeline.stage_cache import is_whole
from toolkit.quality.semantic import judge_semantic
from toolkit.results.stack import load_stack

STACK = {
    "schema": 1,
    "name": "tiny",
    "distil": {
        "width": 24, "layers": 1, "cross_entropy_rise_max": 5.0,
        "training": {"steps": 30, "batch": 16, "learning_rate": 0.002},
    },
    "prune": {
        "round_ratio": 0.5, "cross_entropy_rise_max": 5.0,
        "training": {"steps": 5, "batch": 16, "learning_rate": 0.002},
    },
    "quantise": {
        "recipe": "gpt-sovits",
        "changes": [
            "gpt_sovits.prefill=[[24, 8]]", "gpt_sovits.cache_rows=[48]", "gpt_sovits.text_features=false",
            "bench.runs=1", "bench.min_seconds=0.0", "parts.t2s_prefill.compress.finetune.steps=2",
            "parts.t2s_prefill.compress.finetune.learning_rate=0.01",
        ],
        "cross_entropy_rise_max": 5.0,
    },
    "gates": {"cross_entropy_rise_max": 5.0, "bytes_ratio_min": 1.1, "step_latency_ratio_max": 50.0},
}  # fmt: skip


def _stack(folder, files, out, **changes):
    recipe = folder / "tiny.yaml"
    recipe.write_text(yaml.safe_dump({**STACK, **changes}))
    model, data = files
    asked = ["stack", model, "--data", data, "--recipe", recipe, "--out", out, "--cache", folder / "cache", "--quiet"]
    return outcome([str(word) for word in asked])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return written_on_one_thread(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, files):
    place = tmp_path_factory.mktemp("stack")
    assert _stack(place, files, place / "out") == 0
    return place


def _read(path):
    return semantic_model(read_checkpoint(path, "gpt"))


def test_every_stage_is_smaller_and_judged(folder, files):
    result = load_stack(folder / "out" / "stack.json")
    assert [stage.name for stage in result.stages] == ["given", "distil", "prune", "quantise"] and result.passed
    sizes = [stage.bundle_bytes for stage in result.stages]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    assert not any(stage.reused for stage in result.stages)
    pruned = _read(folder / "out" / "checkpoint" / "pruned.ckpt")
    assert judge_semantic(pruned, small_corpus().held_out).cross_entropy_nats == pytest.approx(
        result.stages[2].cross_entropy_nats, abs=1e-6
    )
    assert {one.candidate for one in result.comparisons} == {"distil", "prune", "quantise"}
    assert {gate.id for gate in result.gates} == {"cross_entropy_rise", "bytes_ratio", "step_latency_ratio"}
    assert sizes[-1] == sum(path.stat().st_size for path in (folder / "out" / "bundle").glob("*.tflite"))
    assert is_whole(folder / "out")
    page = (folder / "out" / "index.html").read_text()
    assert "held-out predictions" in page and "quantised" in page and "RANDOM" not in page


def test_the_step_has_the_weights_the_prefill_was_trained_to_have(folder):
    """Both graphs point at the same bytes; twin: trained apart, the file holds every matrix twice."""
    from converters.tflite_graph import flatbuffer

    model = flatbuffer.load((folder / "out" / "bundle" / "t2s.tflite").read_bytes())
    square = [
        tensor.buffer for graph in model.subgraphs for tensor in graph.tensors
        if list(tensor.shape) == [24, 24] and model.buffers[tensor.buffer].data is not None
    ]  # fmt: skip
    assert len(square) == 12 and len(set(square)) == 6, "a layer's projections and its pruned MLP, in two graphs"


def test_files_are_judged_as_torch_is_and_another_model_is_seen(folder, files):
    """The float32 bundle says what torch says; twin: a bundle of other weights does not."""
    held_out, given = small_corpus().held_out, _read(files[0])
    (own,) = (folder / "cache").glob("t2s-given-float32-*")
    (other,) = (folder / "cache").glob("t2s-distil-float32-*")
    wanted, found = judge_semantic(given, held_out), judge_codes(own, held_out)
    assert found.cross_entropy_nats == pytest.approx(wanted.cross_entropy_nats, abs=1e-4)
    assert (found.top1_ratio, found.predictions) == (wanted.top1_ratio, wanted.predictions)
    assert abs(judge_codes(other, held_out).cross_entropy_nats - wanted.cross_entropy_nats) > 1e-2


def test_finished_stages_are_found_and_a_damaged_one_is_made_again(folder, files, capsys):
    assert _stack(folder, files, folder / "again") == 0
    assert capsys.readouterr().out.count("from the cache") == 3
    (pruned,) = (folder / "cache").glob("t2s-prune-" + 16 * "[0-9a-f]")
    whole = (pruned / "pruned.ckpt").read_bytes()
    (pruned / "pruned.ckpt").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert not is_whole(pruned)
    assert _stack(folder, files, folder / "again") == 0
    stages = {stage.name: stage.reused for stage in load_stack(folder / "again" / "stack.json").stages}
    assert stages == {"given": False, "distil": True, "prune": False, "quantise": True}
    assert (pruned / "pruned.ckpt").read_bytes() == whole


def test_a_gate_that_does_not_hold_stops_the_stack(folder, files, capsys):
    strict = {**STACK["distil"], "cross_entropy_rise_max": 0.0, "training": {"steps": 0}}
    assert _stack(folder, files, folder / "strict", distil=strict) == 1
    assert "stopped: the gate of stage distil does not hold" in capsys.readouterr().out
    result = json.loads((folder / "strict" / "stack.json").read_text())
    assert [stage["name"] for stage in result["stages"]] == ["given", "distil"] and result["stopped_at"] == "distil"


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"distil": {"width": 24}}, "recipe/"),
        ({"quantise": {"recipe": "none-such"}}, "recipe/not-found"),
        ({"surprise": 1}, "recipe/"),
    ],
)
def test_a_bad_recipe_is_one_error(tmp_path, files, capsys, changes, code):
    assert _stack(tmp_path, files, tmp_path / "out", **changes) == 2
    assert f"error[{code}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
