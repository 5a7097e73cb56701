"""Light decoders through the whole chain: every hop equals torch, and Android's NNAPI takes every operator."""

from __future__ import annotations

import numpy as np
import pytest

from tests.toolkit.models.vits.light_voices import KINDS, light_voice
from toolkit.delegates.place import place
from toolkit.models.vits.probe import probe_inputs
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.float_chain import FloatPart, convert_float
from toolkit.pipeline.sources import SourcePart, random_like
from toolkit.recipe.load import load

BUCKET = 48


@pytest.fixture(scope="module", params=KINDS)
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FloatPart:
    voice = light_voice(request.param)
    module, spec = voice.part("decoder", BUCKET)
    real = probe_inputs(voice, "decoder", BUCKET, count=1)
    probes = (*real, random_like(real[0], np.random.default_rng(0)))
    part = SourcePart(name="decoder", bucket=BUCKET, model=module, spec=spec, probes=probes, real_probes=1)
    return convert_float(part, load("vits-voice-light"), StageClock(Silent()), tmp_path_factory.mktemp("repro"))


def test_every_hop_is_the_same_to_100_db(converted: FloatPart) -> None:
    found = {row.to: row.snr_db for row in converted.parity}
    assert len(found) == 5 and all(value is None or value >= 100.0 for value in found.values()), found


def test_the_signal_that_was_compared_is_one(converted: FloatPart) -> None:
    """The twin: 100 dB beside silence, or beside samples that are all cut off, would prove nothing."""
    audio = converted.reference[0]["audio"]
    assert np.abs(audio).max() > 0.02 and np.mean(np.abs(audio) >= 1.0) < 0.2


def test_nnapi_takes_every_operator_in_one_partition(converted: FloatPart) -> None:
    placed = place(converted.tflite, "decoder", "nnapi")
    assert placed.fully_delegated and not placed.wrong_results and placed.total_ops > 30
