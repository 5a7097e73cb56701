"""The table of what was tried marks the row of the recipe that made the file, and no other."""

from types import SimpleNamespace

import pytest

from toolkit.pipeline.shipping import tried_configurations
from toolkit.recipe.load import load

DEFAULT_VOICE = SimpleNamespace(name="en_US-joe-medium")


def _marked(recipe):
    return [row.name for row in tried_configurations(DEFAULT_VOICE, recipe) if row.chosen]


@pytest.mark.parametrize("name", ["vits-voice", "vits-voice-int8", "vits-voice-fast"])
def test_the_row_of_the_recipe_is_marked(name):
    (row,) = _marked(load(name))
    assert row.startswith(f"recipe {name}: ")


def test_a_changed_decoder_is_none_of_those_that_were_tried():
    assert not _marked(load("vits-voice", ("parts.decoder.compress.channel_gains=false",)))
    assert _marked(load("vits-voice", ("seed=3",)))


def test_other_voices_and_recipes_have_no_row_marked():
    assert not _marked(load("vits-voice-small"))
    assert tried_configurations(SimpleNamespace(name="another"), load("vits-voice")) == ()
