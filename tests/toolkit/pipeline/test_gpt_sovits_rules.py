"""A recipe that cannot be honoured is refused before a graph is converted, not after."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.cli.app import outcome
from toolkit.errors import RecipeError
from toolkit.models.gpt_sovits.checkpoint import Checkpoint, read_checkpoint
from toolkit.models.gpt_sovits.seeded import small_config, write_gpt, write_sovits
from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.models.gpt_sovits.semantic_config import SemanticConfig, semantic_shapes
from toolkit.pipeline import gpt_sovits
from toolkit.pipeline.events import Silent
from toolkit.pipeline.gpt_sovits_rules import check_recipe
from toolkit.recipe.load import load
from toolkit.recipe.schema import Recipe

SIZES = SemanticConfig(width=32, heads=4, layers=2, inner=64, symbols=732, vocabulary=33)


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    write_gpt(folder / "tiny.ckpt", semantic_shapes(SIZES), heads=4)
    write_sovits(folder / "tiny.pth", small_config("v2"))
    return folder / "tiny.ckpt", folder / "tiny.pth"


@pytest.fixture(scope="module")
def model(paths: tuple[Path, Path]) -> tuple[SemanticModel, Checkpoint]:
    return gpt_sovits.semantic_model(read_checkpoint(paths[0])), read_checkpoint(paths[1])


def _recipe(part: str, settings: dict) -> Recipe:
    return Recipe.model_validate({"schema": 1, "name": "test", "parts": {part: settings}})


def _rule(match: str) -> dict:
    return {"precision": {"rules": [{"match": match, "use": "float32", "because": "a reason for it"}]}}


@pytest.mark.parametrize("recipe", ["gpt-sovits", "gpt-sovits-int8", "gpt-sovits-npu"])
def test_recipes_of_the_toolkit_pass(model: tuple[SemanticModel, Checkpoint], recipe: str) -> None:
    # The small vocoder has ten residual blocks and the small encoders a layer less; their globs still find something.
    check_recipe(load(recipe), *model)


@pytest.mark.parametrize("version", ["v2Pro", "v2ProPlus"])
@pytest.mark.parametrize("recipe", ["gpt-sovits", "gpt-sovits-int8"])
def test_they_pass_for_voices_with_a_speaker_vector_too(
    model: tuple[SemanticModel, Checkpoint], tmp_path: Path, recipe: str, version: str
) -> None:
    write_sovits(tmp_path / "pro.pth", small_config(version))
    check_recipe(load(recipe), model[0], read_checkpoint(tmp_path / "pro.pth"))


@pytest.mark.parametrize(
    ("part", "settings", "where"),
    [
        ("t2s_prefill", _rule("h.layer.*"), "part 't2s_prefill', precision rule 1"),
        ("t2s_step", _rule("bert_proj"), "part 't2s_step', precision rule 1"),  # the step reads no text features
        ("text_encoder", _rule("enc_p.conv_pre"), "part 'text_encoder', precision rule 1"),
        ("flow", {"compress": {"sparsity": {"match": "dec.*"}}}, "part 'flow', compress.sparsity.match"),
        ("vocoder_stream", {"compress": {"principal": [{"match": "dec.conv_past", "rank": 2}]}},
         "part 'vocoder_stream', compress.principal"),
    ],
)  # fmt: skip
def test_a_glob_that_matches_nothing_is_refused(
    model: tuple[SemanticModel, Checkpoint], part: str, settings: dict, where: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        check_recipe(_recipe(part, settings), *model)
    assert (caught.value.code, caught.value.where) == ("recipe/rule-matches-nothing", where)
    assert "nearest names" in caught.value.hint


def test_settings_of_a_part_there_is_none_of_are_refused(model: tuple[SemanticModel, Checkpoint]) -> None:
    with pytest.raises(RecipeError, match="'vocoder_steam'") as caught:
        check_recipe(_recipe("vocoder_steam", {}), *model)
    assert caught.value.code == "recipe/no-such-part" and "vocoder_stream" in caught.value.hint


class _Told(Silent):
    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage_started(self, stage: str) -> None:
        self.stages.append(stage)


def test_nothing_is_converted_before_the_refusal(paths: tuple[Path, Path], tmp_path: Path) -> None:
    told = _Told()
    with pytest.raises(RecipeError):
        gpt_sovits.convert_pair(paths, _recipe("vocoder_stream", _rule("dec.conv_past")), tmp_path / "out", told)
    assert told.stages == ["read checkpoints"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("which", [0, 1])
def test_the_command_line_says_it_in_one_error(paths: tuple[Path, Path], tmp_path: Path, capsys, which: int) -> None:
    inputs = [str(path) for path in (paths, paths[:1])[which]]
    changed = ["--set", "parts.t2s_stop.precision.default=int8"]
    assert outcome(["convert", *inputs, "--out", str(tmp_path / "out"), "--quiet", *changed]) == 2
    assert "error[recipe/no-such-part]" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("recipe", "change"),
    [
        ("gpt-sovits-npu", "parts.vocoder_stream.precision={default: int8}"),
        ("gpt-sovits", "parts.vocoder_stream.precision={default: int8}"),
    ],
)
def test_a_lighter_vocoder_without_precisions_of_its_own_is_refused(
    model: tuple[SemanticModel, Checkpoint], recipe: str, change: str
) -> None:
    check_recipe(load(recipe, (change,)), *model)
    with pytest.raises(RecipeError) as caught:
        check_recipe(load(recipe, (change, "gpt_sovits.light_vocoder=true")), *model)
    assert caught.value.code == "recipe/no-lighter-vocoder"


@pytest.mark.parametrize("recipe", ["gpt-sovits", "gpt-sovits-int8"])
def test_a_lighter_vocoder_is_known_to_the_recipes(model: tuple[SemanticModel, Checkpoint], recipe: str) -> None:
    check_recipe(load(recipe, ("gpt_sovits.light_vocoder=true",)), *model)


def test_a_lighter_vocoder_of_anything_else_is_refused(tmp_path: Path, capsys) -> None:
    assert outcome(["convert", "--light-vocoder", "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert "--light-vocoder does nothing for anything but a GPT-SoVITS model" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
