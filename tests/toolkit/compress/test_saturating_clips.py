"""An 8-bit range clips by itself: the clip in front of it goes, and what was heard stays."""

from __future__ import annotations

import numpy as np
import pytest

from converters.keras_graph.run import keras_runner
from converters.parity import compare
from converters.tflite_graph.flatbuffer import dump, load
from converters.tflite_graph.fuse_constants import kind_of
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.toolkit.compress.small_vocoder import BRANCHES, FLOAT_SUMS, small_inputs, small_vocoder
from toolkit.compress import run as compression
from toolkit.compress.run import compress_part
from toolkit.compress.saturating_clips import without_saturating_clips
from toolkit.recipe.schema import Compression, LevelSplit

CALIBRATION = small_inputs(8)
UNSEEN = small_inputs(3, seed=5)


@pytest.fixture(scope="module", params=[0.02, 0.5], ids=["both sides", "one side"])
def before(request):
    """The file with its clips."""
    settings = Compression(levels=(LevelSplit(match=BRANCHES, begin=request.param),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compression, "without_saturating_clips", lambda content: content)
        return compress_part(small_vocoder(), FLOAT_SUMS, settings, CALIBRATION)


def _kinds(content):
    return [op.kind for op in read_tflite(content).ops]


def _clips(content):
    return sum(kind in ("MAXIMUM", "MINIMUM") for kind in _kinds(content))


def _snr_db(content, part):
    """Against the float model, over inputs that were not calibrated on."""
    runner = tflite_runner(content, part.relayered.interface)
    exact = keras_runner(part.relayered.model, part.relayered.interface)
    said, meant = (np.concatenate([run(arrays)["audio"].ravel() for arrays in UNSEEN]) for run in (runner, exact))
    return compare({"audio": meant}, {"audio": said}).worst_snr_db


def _changed(content, change):
    model = load(content)
    change(model, model.subgraphs[0])
    return dump(model)


def _position(model, graph, kind):
    from ai_edge_litert import schema_py_generated as schema

    wanted = getattr(schema.BuiltinOperator, kind)
    return next(i for i, operator in enumerate(graph.operators) if kind_of(model, operator) == wanted)


def test_the_clips_are_gone_and_the_file_says_the_same(before):
    made = without_saturating_clips(before.tflite)
    assert _clips(before.tflite) in (1, 2) and _clips(made) == 0
    assert _kinds(made).count("DEQUANTIZE") == _kinds(before.tflite).count("DEQUANTIZE") + 1
    assert _kinds(made).count("QUANTIZE") == _kinds(before.tflite).count("QUANTIZE")
    # Single values of the loud part fall on the other side of a step: other noise, and no more of it.
    assert _snr_db(made, before) == pytest.approx(_snr_db(before.tflite, before), abs=0.5)


def test_conversion_does_so_and_the_audit_agrees(before):
    settings = Compression(levels=(LevelSplit(match=BRANCHES, begin=0.02),))
    made = compress_part(small_vocoder(), FLOAT_SUMS, settings, CALIBRATION)
    assert _clips(made.tflite) == 0 and not made.audit.differences


def _wider(model, graph):
    rounding = graph.operators[_position(model, graph, "SUB")].inputs[1]
    reader = next(o for o in graph.operators if o.inputs[0] == rounding and len(o.inputs) == 1)
    quantization = graph.tensors[reader.outputs[0]].quantization
    quantization.scale = [float(quantization.scale[0]) * 1.5]


def _read_elsewhere(model, graph):
    clipped = graph.operators[_position(model, graph, "SUB")].inputs[1]
    final = graph.operators[_position(model, graph, "ADD")]
    final.inputs = [int(final.inputs[0]), int(clipped)]


def _rest_in_float(model, graph):
    rest = graph.operators[_position(model, graph, "SUB")].outputs[0]
    final = graph.operators[_position(model, graph, "ADD")]
    final.inputs = [int(final.inputs[0]), int(rest)]


@pytest.mark.parametrize("change", [_wider, _read_elsewhere, _rest_in_float])
def test_a_clip_that_does_something_stays(before, change):
    """A range that ends elsewhere, a clipped value that is used as it is, a rest that nothing rounds."""
    altered = _changed(before.tflite, change)
    assert without_saturating_clips(altered) == altered


def test_without_levels_nothing_changes():
    made = compress_part(small_vocoder(), FLOAT_SUMS, Compression(), CALIBRATION)
    assert without_saturating_clips(made.tflite) == made.tflite


def test_what_a_range_cuts_off_reaches_the_loud_part(before):
    """The rest is what rounding left, not what a clip would have left: half a range costs less than before."""

    def narrower(model, graph):
        for operator in graph.operators:
            tensor = graph.tensors[operator.outputs[0]]
            if tensor.name and b"/quiet/quantize" in tensor.name:
                tensor.quantization.scale = [float(tensor.quantization.scale[0]) * 0.5]

    made = without_saturating_clips(before.tflite)
    with_clip, without = (_snr_db(_changed(content, narrower), before) for content in (before.tflite, made))
    assert without > with_clip + 2.0
