"""The process behind ``software_gpu``: MODEL ANSWER SIGNATURE SEED; writes an SNR per output, or the refusal."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np


def main(model: str, answer: str, signature: str, seed: int) -> None:
    """Runs both sides and writes the answer whole or not at all."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    reference = Interpreter(model_path=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    keys = list(reference.get_signature_list())
    if not keys or (signature and signature not in keys):
        raise SystemExit(f"no signature {signature!r}; there are: {', '.join(keys) or 'none'}")
    key = signature or keys[0]
    runner = reference.get_signature_runner(key)
    numbers = np.random.default_rng(seed)
    inputs = {name: _made(numbers, name, detail) for name, detail in sorted(runner.get_input_details().items())}
    try:
        found = _on_gpu(model, key, inputs, runner.get_output_details())
    except RuntimeError as error:
        _write(answer, {"reason": np.array(str(error).strip()[-300:] or type(error).__name__)})
        return
    expected = runner(**inputs)
    levels = {name: np.array(_snr_db(expected[name], found[name])) for name in sorted(expected)}
    _write(answer, {"reason": np.array(""), **levels})


def _made(numbers: np.random.Generator, name: str, detail: dict[str, Any]) -> np.ndarray:
    shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
    if name.endswith("mask"):  # presence of frames; noise there would be multiplied in dozens of times
        return np.ones(shape, dtype)
    if np.issubdtype(dtype, np.floating):
        return numbers.standard_normal(shape).astype(dtype)
    if dtype == np.int8:
        return numbers.integers(-128, 128, shape).astype(dtype)
    return numbers.integers(0, 2, shape).astype(dtype)


def _on_gpu(
    model: str, key: str, inputs: dict[str, np.ndarray], outputs: dict[str, dict[str, Any]]
) -> dict[str, np.ndarray]:
    from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, HardwareAccelerator, Options

    options = Options(
        hardware_accelerators=HardwareAccelerator.GPU,  # alone: what it does not take is a refusal, not a fall-back
        gpu_options=GpuOptions(enforce_f32=True),  # SwiftShader has no float16 arithmetic
    )
    compiled = CompiledModel.from_file(model, options=options)
    if not compiled.is_fully_accelerated():
        raise RuntimeError("the accelerator left operators to the CPU")
    fed = {name: compiled.create_input_buffer_by_name(key, name) for name in inputs}
    for name, array in inputs.items():
        fed[name].write(np.ascontiguousarray(array))
    read = {name: compiled.create_output_buffer_by_name(key, name) for name in outputs}
    compiled.run_by_name(key, fed, read)
    return {
        name: np.asarray(read[name].read(int(np.prod(detail["shape"])), np.dtype(detail["dtype"]).type)).reshape(
            detail["shape"]
        )
        for name, detail in outputs.items()
    }


def _snr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    signal = float(np.sum(np.square(reference, dtype=np.float64)))
    noise = float(np.sum(np.square(np.subtract(candidate, reference, dtype=np.float64))))
    if noise == 0.0:
        return math.inf
    return -math.inf if signal == 0.0 or not math.isfinite(noise) else 10.0 * math.log10(signal / noise)


def _write(answer: str, arrays: dict[str, np.ndarray]) -> None:
    partial = Path(answer).with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    partial.replace(answer)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
