"""Layer by layer: what loses most comes first, what loses nothing is one line, and a long model is no long page."""

import re

import pytest

from tests.toolkit.report.synthetic_run import synthetic
from toolkit.report.blocks import Figure, Folded, Grid, Note
from toolkit.report.sections import layers
from toolkit.results import TensorError


def rows(part, count, own_db=30.0, **more):
    return tuple(
        TensorError(
            part=part, index=i, name=f"{part}.layers.{i}/MatMul", snr_db=25.0, own_snr_db=own_db + i, precision="int8",
            **more,
        )
        for i in range(count)
    )  # fmt: skip


def built(*errors, **changes):
    return layers.build(synthetic().model_copy(update={"tensor_errors": errors, **changes}))


def cells(blocks):
    (grid,) = (block for block in blocks if isinstance(block, Grid))
    return [len(re.findall("<rect", str(figure.chart))) for figure in grid.blocks if isinstance(figure, Figure)]


def test_what_loses_most_leads_and_says_its_precision():
    blocks = built(*rows("encoder", 3, own_db=50.0), *rows("decoder", 2, own_db=20.0, inputs="2 held-out sentences"))
    (folded,) = (block for block in blocks if isinstance(block, Folded))
    first = [cell.text for cell in folded.blocks[0].rows[0]]
    assert first[:3] == ["decoder", "decoder.layers.0/MatMul", "int8"] and first[3].startswith("20")
    assert any(isinstance(block, Note) and "2 held-out sentences" in block.text for block in blocks)
    assert cells(blocks) == [3, 3, 2, 2]


def test_a_part_without_an_audible_error_is_one_line():
    blocks = built(*rows("flow", 4, own_db=70.0), *rows("decoder", 2))
    assert any(isinstance(block, Note) and "In flow no operator" in block.text for block in blocks)
    assert cells(blocks) == [2, 2]
    alone = built(*rows("flow", 4, own_db=70.0))
    assert not any(isinstance(block, (Grid, Folded)) for block in alone)


@pytest.mark.parametrize(("parts", "most"), [(1, 120), (20, 36), (60, 24)])
def test_strips_are_bounded_and_keep_the_worst(parts, most):
    found = cells(built(*(row for n in range(parts) for row in rows(f"part{n}", 601, own_db=10.0))))
    assert len(found) == 2 * parts and max(found) <= most and min(found) > most // 2


def test_what_was_not_compared_is_said():
    blocks = built(not_measured={"tensor_errors": "too large"})
    assert any(isinstance(block, Note) and "too large" in block.text for block in blocks)
    blocks = built(*rows("decoder", 2), not_measured={"tensor_errors": "flow: too large"})
    assert any(isinstance(block, Note) and "flow: too large" in block.text for block in blocks)
