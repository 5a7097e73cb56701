"""A placement on a terminal: one entry a reason, however many operators share it."""

from __future__ import annotations

from tests.toolkit.delegates.small_graphs import convert, weights
from toolkit.cli.placement_text import placement_lines
from toolkit.pipeline.inspection import inspect_tflite

ROW = {"op": "ADD", "count": 2, "reason": "rank 5", "source": "a.cc:1", "fix": "keep rank 4"}
PLACEMENT = {
    "delegate": "gpu_litert", "level": "static", "accepted": 1, "total": 9, "folded": 0, "partitions": 1,
    "fallbacks": [
        ROW,
        {**ROW, "op": "MUL", "count": 5},
        {**ROW, "op": "SUB", "count": 1, "reason": "int64", "fix": ""},
        {**ROW, "op": "DIV", "count": 9, "reason": "bad \x1b[31m name"},
    ],
    "wrong_results": [{**ROW, "first": "one;two;three"}],
    "notes": ["mind \x1b this"],
}  # fmt: skip


def test_operators_refused_for_one_reason_stand_together_and_the_most_frequent_reason_first():
    lines = list(placement_lines(PLACEMENT))
    assert lines[0] == "gpu_litert (static): 1/9 operators, 1 partition(s)"
    assert lines[3:6] == [
        "  on the CPU: ADD ×2, MUL ×5: rank 5  [a.cc:1]",
        "    fix: keep rank 4",
        "  on the CPU: SUB ×1: int64  [a.cc:1]",
    ]
    assert lines[1].startswith("  on the CPU: DIV ×9: bad \N{REPLACEMENT CHARACTER}[31m name")
    assert lines[-1] == "  note: mind \N{REPLACEMENT CHARACTER} this"


def test_a_known_wrong_result_has_its_first_operator_source_and_fix():
    wrong = [line for line in placement_lines(PLACEMENT) if "known wrong" in line]
    assert wrong == ["  known wrong result: ADD ×2 (first: one): rank 5  [a.cc:1]"]


def test_every_wrong_operator_of_a_file_is_counted_with_its_fix(tmp_path):
    def wrong(x):
        import tensorflow as tf

        first, second = (
            tf.nn.conv2d_transpose(y, weights(1, 5, 8, 8), [1, 1, 21, 8], [1, 1, 3, 1], "SAME") for y in (x, tf.tanh(x))
        )
        return first + second

    path = tmp_path / "wrong.tflite"
    path.write_bytes(convert(wrong, (1, 1, 7, 8)))
    found = inspect_tflite(path, "gpu", "12")["placement"]["wrong_results"]
    assert sum(row["count"] for row in found) == 2
    assert all(row["fix"] and row["source"] and row["first"] for row in found)
    assert inspect_tflite(path, "xnnpack", "12")["placement"]["wrong_results"] == []
