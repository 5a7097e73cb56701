"""Shapes an integer file for NPUs with integers only, whose compiler refuses operators that others can stand for."""

from __future__ import annotations

from converters.tflite_graph.leaky_relu import without_leaky_relu
from converters.tflite_graph.nearest_resize import without_wide_nearest_resize


def for_integer_npu(content: bytes) -> bytes:
    """The file in operators the NPU takes; the same bytes where it had no others.

    Raises:
        InputError: the file is damaged, or states an order of its operators by their numbers.
    """
    content, _ = without_leaky_relu(content)
    content, _ = without_wide_nearest_resize(content)
    return content
