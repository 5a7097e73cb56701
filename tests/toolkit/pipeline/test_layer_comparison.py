"""Rows of the report: own errors only, reasons where nothing was compared."""

import math

import pytest

from tests.toolkit.compress.small_parts import inputs, residual_part
from toolkit.compress import layer_errors
from toolkit.compress.run import compress_part
from toolkit.pipeline.events import StageClock
from toolkit.pipeline.layer_comparison import ComparedLayers, compare_layers, not_compared
from toolkit.recipe.schema import Compression, PrecisionPolicy


class Quiet:
    def __getattr__(self, name):
        return lambda *given, **named: None


@pytest.fixture(scope="module")
def compressed():
    return compress_part(residual_part(), PrecisionPolicy(default="int8"), Compression(equalise=False), inputs(6))


def compared(compressed):
    clock = StageClock(Quiet())
    found = compare_layers("decoder@16", compressed.tflite, compressed, inputs(1, seed=9), "1 input", clock)
    return found, clock.records[-1].fact


def test_rows_name_layers_and_what_they_lose(compressed):
    found, fact = compared(compressed)
    assert found.missing == "" and {row.part for row in found.rows} == {"decoder@16"}
    assert all(math.isfinite(row.own_snr_db) and row.inputs == "1 input" for row in found.rows)
    worst = min(found.rows, key=lambda row: row.own_snr_db)
    assert worst.name in fact and f"{worst.own_snr_db:.1f} dB" in fact and worst.precision == "int8"


def test_a_file_that_needs_too_much_is_left_and_said(compressed, monkeypatch):
    monkeypatch.setattr(layer_errors, "LARGEST_BYTES", 100)
    found, fact = compared(compressed)
    assert not found.rows and "decoder@16" in found.missing and "not compared" in fact
    assert not_compared([found, ComparedLayers()]) == {"tensor_errors": found.missing}
    assert not_compared([ComparedLayers()]) == {}
