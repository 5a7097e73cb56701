"""SoVITS graphs through the whole chain: every hop equals torch, and the engine speaks with them."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toolkit.models.gpt_sovits.sovits_vectors import micro, tensor
from toolkit.models.gpt_sovits.sovits_graphs import SovitsBuckets, SovitsGraph, Style, enrolment_graphs, sovits_graphs
from toolkit.pipeline.events import Silent, StageClock
from toolkit.pipeline.float_chain import FloatPart, convert_float
from toolkit.pipeline.sources import SourcePart
from toolkit.recipe.schema import Recipe

BUCKETS = SovitsBuckets(
    text=((8, 12), (12, 16)), flow=(8,), vocoder=(), vocoder_stream=(12,), style=(14,), extractor=(6,)
)
LIMIT_DB = 90.0


@cache
def graphs(folded: bool) -> dict[str, SovitsGraph]:
    voice = Style(ge=tensor("ge"), ge_text=tensor("ge_for_encp")) if folded else None
    found = (*sovits_graphs(micro(), BUCKETS, voice=voice), *enrolment_graphs(micro(), BUCKETS))
    return {graph.name: graph for graph in found}


def convert(graph: SovitsGraph, folder: Path) -> FloatPart:
    part = SourcePart(
        name=graph.kind,
        bucket=graph.bucket,
        model=graph.module,
        spec=graph.spec,
        probes=graph.probes,
        real_probes=len(graph.probes),
    )
    return convert_float(part, Recipe.model_validate({"schema": 1, "name": "sovits"}), StageClock(Silent()), folder)


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("text_encoder_8", True), ("flow_8", True), ("vocoder_stream_12", True), ("text_encoder_8", False),
        ("flow_8", False), ("vocoder_stream_12", False), ("style_encoder_14", True), ("code_extractor_6", True),
    ],
)  # fmt: skip
def test_every_hop_equals_torch(name, folded, tmp_path):
    converted = convert(graphs(folded)[name], tmp_path)
    worst = {row.tensor: row.snr_db for row in converted.parity if row.to == "tflite float32"}
    assert set(worst) == {output.name for output in graphs(folded)[name].spec.outputs}
    assert all(value is None or value >= LIMIT_DB for value in worst.values()), worst
