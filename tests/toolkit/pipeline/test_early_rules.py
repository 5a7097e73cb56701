"""A glob that matches nothing in any model is refused once its graph is known, before the hops that take minutes."""

from pathlib import Path

import pytest
import torch

from converters.onnx_graph.pass_types import RewriteOptions
from converters.onnx_graph.pipeline import rewrite
from converters.spec import PartSpec, TensorSpec
from converters.torch_to_onnx import export
from tests.end_to_end.small_models import convolutions
from tests.model_zoo import BY_ID
from toolkit.cli.app import outcome
from toolkit.errors import RecipeError
from toolkit.pipeline import float_chain
from toolkit.pipeline.early_rules import check_exported
from toolkit.pipeline.events import Silent
from toolkit.pipeline.run import Options, run
from toolkit.pipeline.sources import Request
from toolkit.recipe.schema import Recipe

INPUT = TensorSpec(name="x", shape=(1, 4, 24))
SPEC = PartSpec(name="small", inputs=(INPUT,), outputs=(TensorSpec(name="y", shape=(1, 3, 24)),))


def recipe_with(part="model", **settings):
    return Recipe.model_validate({"schema": 1, "name": "test", "parts": {part: settings}})


def rule(match):
    return {"rules": [{"match": match, "use": "float16", "because": "a reason for it"}]}


class Told(Silent):
    def __init__(self):
        self.stages = []

    def stage_started(self, stage):
        self.stages.append(stage)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The same model in every form the command line takes."""
    folder = tmp_path_factory.mktemp("sources")
    module, sample = convolutions(), torch.zeros(1, 4, 24)
    (folder / "small.onnx").write_bytes(export(module, SPEC).SerializeToString())
    foreign = export(module, SPEC)
    for node in foreign.graph.node:  # as other exporters name them
        node.name = f"net/{node.name}"
    (folder / "foreign.onnx").write_bytes(foreign.SerializeToString())
    torch.jit.trace(module, sample).save(folder / "small.pt")
    torch.export.save(torch.export.export(module, (sample,)), folder / "small.pt2")
    named = {path.name: str(path) for path in folder.iterdir()}
    return {**named, "factory": "tests.end_to_end.small_models:convolutions"}


KINDS = ["factory", "small.onnx", "foreign.onnx", "small.pt", "small.pt2"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "settings",
    [
        {"precision": rule("fist")},
        {"precision": rule("net/fist/*")},
        {"compress": {"sparsity": {"match": "midle*"}}},
        {"compress": {"principal": [{"match": "lost", "rank": 2}]}},
    ],
)
def test_it_is_refused_before_anything_is_rewritten(sources, kind, settings, tmp_path):
    told = Told()
    request = Request(model=sources[kind], inputs=("x:1x4x24",))
    with pytest.raises(RecipeError, match="matches no operator") as caught:
        run(request, recipe_with(**settings), tmp_path / "out", Options(benchmark=False), told)
    assert caught.value.code == "recipe/rule-matches-nothing" and "nearest names" in caught.value.hint
    assert told.stages == ["open model", "model: torch to ONNX"]
    assert not list(tmp_path.iterdir())


def test_twin_without_the_early_check_the_whole_chain_runs_first(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(float_chain, "check_exported", lambda *given: None)
    told = Told()
    with pytest.raises(RecipeError, match="matches no operator"):
        run(
            Request(model=sources["factory"], inputs=("x:1x4x24",)), recipe_with(precision=rule("fist")),
            tmp_path / "out", Options(benchmark=False), told,
        )  # fmt: skip
    assert "model: float32 TFLite" in told.stages


@pytest.mark.parametrize("match", ["first", "middle/*", "*", "last", "*Conv*", "forward/Add*"])
def test_a_rule_that_matches_is_let_through(match):
    check_exported(recipe_with(precision=rule(match)), "model", export(convolutions(), SPEC))


@pytest.mark.parametrize("case", sorted(BY_ID))
def test_no_operator_of_a_rewritten_graph_is_refused(case):
    """What the early refusal rests on: whatever a graph is rewritten to, its operators stay below the paths it had."""
    zoo = BY_ID[case]
    exported = export(zoo.build(), zoo.spec)
    for accelerator in ("any", "gpu"):
        rewritten = rewrite(export(zoo.build(), zoo.spec), zoo.spec, options=RewriteOptions(accelerator=accelerator))
        names = {node.name for node in rewritten.model.graph.node}
        rules = [rule(match)["rules"][0] for name in names for match in (name, name.partition("/")[0])]
        check_exported(recipe_with(precision={"rules": rules}), "model", exported)


@pytest.mark.parametrize(("recipe", "part"), [("vits-voice", "encoder"), ("any-model-int8", "decoder")])
def test_settings_of_a_part_a_model_has_not_are_refused(recipe, part, tmp_path, capsys):
    arguments = ["convert", "tests.end_to_end.small_models:convolutions", "--input", "x:1x4x24", "--recipe", recipe]
    changed = [] if recipe == "vits-voice" else ["--set", f"parts.{part}.precision.default=int8"]
    assert outcome([*arguments, *changed, "--quiet", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "error[recipe/no-such-part]" in said and f"'{part}'" in said and "the parts are model" in said
    assert not list(Path(tmp_path).iterdir())


def test_settings_of_a_part_no_voice_has_are_refused(tmp_path, capsys):
    arguments = ["convert", "--random-voice", "--quiet", "--out", str(tmp_path / "out")]
    assert outcome([*arguments, "--set", "parts.decodr.precision.default=int8"]) == 2
    said = capsys.readouterr().err
    assert "error[recipe/no-such-part]" in said and "decoder" in said and not list(tmp_path.iterdir())


def test_what_turns_an_input_round_is_named_after_it():
    check_exported(recipe_with(precision=rule("x")), "model", export(convolutions(), SPEC))
