"""One loaded .tflite file, ready to be timed with the LiteRT interpreter and its default XNNPACK delegate."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import BenchError

Inputs = Mapping[str, np.ndarray]
"""Arrays by signature name, in the layout of the file."""


class Session:
    """Loads a file, fills its inputs once, and times single invocations.

    Attributes:
        init_ms: time to load the file, apply the delegate and allocate.
        first_ms: time of the first invocation.
    """

    def __init__(self, model: bytes | Path, threads: int, inputs: Inputs | None = None, *, seed: int = 0) -> None:
        from ai_edge_litert.interpreter import Interpreter

        source: dict[str, Any] = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        start = time.perf_counter_ns()
        try:
            self._interpreter = Interpreter(**source, num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BenchError(
                f"LiteRT cannot load the file: {error}",
                code="bench/unloadable",
                where="" if isinstance(model, bytes) else str(model),
            ) from error
        self.init_ms = _since_ms(start)
        try:
            self._fill(inputs, seed)
            self.first_ms = self.invoke_ms()
        except (ValueError, RuntimeError, TypeError) as error:
            raise BenchError(
                f"LiteRT cannot run the file: {error}",
                code="bench/unloadable",
                where="" if isinstance(model, bytes) else str(model),
            ) from error

    def invoke_ms(self) -> float:
        """Runs once and returns the time it took."""
        start = time.perf_counter_ns()
        self._interpreter.invoke()
        return _since_ms(start)

    def _fill(self, inputs: Inputs | None, seed: int) -> None:
        details = {d["index"]: d for d in self._interpreter.get_input_details()}
        if inputs is None:
            rng = np.random.default_rng(seed)
            for index, detail in details.items():
                self._interpreter.set_tensor(index, _noise(rng, detail))
            return
        names = self._names(details)
        if set(names) != set(inputs):
            raise BenchError(f"inputs {sorted(inputs)} given, the file has {sorted(names)}", code="bench/wrong-inputs")
        for name, index in names.items():
            detail = details[index]
            array = np.asarray(inputs[name])
            if tuple(array.shape) != tuple(detail["shape"]):
                raise BenchError(
                    f"input {name!r} has shape {array.shape}, the file wants {tuple(detail['shape'])}",
                    code="bench/wrong-inputs",
                    hint="give arrays in the layout of the file",
                )
            self._interpreter.set_tensor(index, _quantised(array, detail))

    def _names(self, details: dict[int, Any]) -> dict[str, int]:
        signatures = self._interpreter.get_signature_list()
        if not signatures:
            return {d["name"]: index for index, d in details.items()}
        first = next(iter(signatures))
        runner = self._interpreter.get_signature_runner(first)
        return {name: d["index"] for name, d in runner.get_input_details().items()}


def _since_ms(start_ns: int) -> float:
    return (time.perf_counter_ns() - start_ns) / 1e6


def _noise(rng: np.random.Generator, detail: Any) -> np.ndarray:
    shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return rng.standard_normal(shape).astype(dtype)
    # Zero is a valid index, length and mask everywhere; any other integer might not be.
    return np.zeros(shape, dtype)


def _quantised(array: np.ndarray, detail: Any) -> np.ndarray:
    dtype = np.dtype(detail["dtype"])
    scale, zero_point = detail["quantization"]
    if dtype.kind in "iu" and scale and array.dtype.kind == "f":
        limits = np.iinfo(dtype)
        return np.clip(np.round(array / scale) + zero_point, limits.min, limits.max).astype(dtype)
    return np.ascontiguousarray(array, dtype=dtype)
