"""What ships: lengths of a part share weights; the table of what was tried marks the recipe's row, and no other."""

from types import SimpleNamespace

import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.flatbuffer import load as load_file
from converters.tflite_graph.merge import merge_signatures
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.float_chain import convert_float
from toolkit.pipeline.run import open_source
from toolkit.pipeline.shipping import ship, tried_configurations
from toolkit.pipeline.sources import Request
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


def _kernels(model, graph):
    """Buffers of the constants of more than 64 numbers a graph stores in 8 bits."""
    return {
        int(tensor.buffer)
        for tensor in graph.tensors
        if tensor.type == schema.TensorType.INT8
        and (data := model.buffers[tensor.buffer].data) is not None
        and len(data) > 64
    }


def test_lengths_of_a_part_read_the_same_weights(tmp_path):
    """The shorter one comes first in the recipe, and no calibration sentence fits it."""
    recipe = load("vits-voice", ("buckets.phonemes=[64,96]", "buckets.frames=[64]"))
    clock = StageClock(Silent())
    source, parts, manifest = open_source(Request(random_voice=True), recipe, clock)
    floats = [convert_float(part, recipe, clock, tmp_path) for part in parts if part.name == "encoder"]
    shipped = ship(floats, source, recipe, manifest, clock, tmp_path)
    assert [one.key for one in shipped] == ["encoder@64", "encoder@96"]
    facts = {record.name: record.fact for record in clock.records}
    assert "weights and scales of the longest, equal in float to" in facts["encoder@64: precision and fine-tuning"]
    model = load_file(merge_signatures([(one.key, one.tflite) for one in shipped]))
    first, second = (_kernels(model, graph) for graph in model.subgraphs)
    assert first == second and len(first) >= 4
