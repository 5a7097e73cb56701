"""What was tried: the shipped configuration among those no other beats, the rest folded away."""

from __future__ import annotations

from tests.toolkit.report.synthetic_run import synthetic
from toolkit.report.blocks import Folded, Table
from toolkit.report.html import render
from toolkit.report.sections import tried
from toolkit.results import Tried


def _tried(name: str, drop: float | None, macs: float | None, size: float | None, *, chosen: bool = False) -> Tried:
    return Tried(part="decoder", name=name, mos_drop_worst=drop, float_macs_ratio=macs, bytes_ratio=size, chosen=chosen)


FRONT = [_tried(f"front {i}", 0.1 * i, 0.9 - 0.1 * i, 0.1) for i in range(3)]
BEATEN = [_tried(f"beaten {i}", 0.5, 0.95, 0.2 + i) for i in range(9)]
SHIPPED = _tried("shipped", 0.3, 0.95, 0.15, chosen=True)
SIMULATED = _tried("simulated", 0.0, 0.0, None)


def test_in_sight_are_the_shipped_one_and_the_files_no_other_beats_by_worst_drop():
    names = [t.name for t in tried.best_of([*BEATEN, SIMULATED, *reversed(FRONT), SHIPPED])]
    assert names == ["shipped", "front 0", "front 1", "front 2"]


def test_many_are_folded_away_and_none_is_lost():
    every = (*BEATEN, *FRONT, SIMULATED, SHIPPED)
    _, table, folded = tried.build(synthetic().model_copy(update={"tried": every}))
    assert isinstance(table, Table) and len(table.rows) == 4 and "4 of 14 configurations" in table.caption
    assert isinstance(folded, Folded) and folded.summary == "All 14 configurations"
    (whole,) = folded.blocks
    assert isinstance(whole, Table) and len(whole.rows) == 14


def test_few_stand_in_sight():
    assert len(tried.build(synthetic())) == 2
    assert tried.build(synthetic().model_copy(update={"tried": ()})) == []


def test_steps_of_one_graph_in_a_row_are_one_row_that_names_them():
    result = synthetic()
    stage = result.stages[0]
    many = tuple(
        stage.model_copy(update={"name": f"part{n}: {step}"})
        for n in range(9)
        for step in ("torch to ONNX", "rewrite ONNX", "float32 TFLite")
    )
    page = render(result.model_copy(update={"stages": many}))
    assert page.count("torch to ONNX, rewrite ONNX, float32 TFLite") == 9 and "3 steps" not in page
