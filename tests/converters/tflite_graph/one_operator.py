"""Runs a file of one input and one output on what the input's type holds."""

from __future__ import annotations

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def run(content: bytes, values: np.ndarray) -> np.ndarray:
    """The output as it is stored."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
