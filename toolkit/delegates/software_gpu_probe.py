"""The process behind ``software_gpu``: JOBS FOLDER; runs each job and writes ``FOLDER/N.json``, whole or not at all.

A job names a file, one of its graphs, a seed and ranges of inputs. What the accelerator prints while it judges a file
is the only place where it says which operators it refuses, so the own error stream is read back, job by job.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from toolkit.delegates.last_words import last_words

_REFUSED = re.compile(
    r"Following operations are not supported by GPU delegate:\n(.*?)\n(\d+|No) operations? will run", re.S
)
_PLACED = re.compile(r"(\d+|No) operations? will run on the GPU, and (?:the remaining|all) (\d+) operations? will run")
_FAILED = re.compile(r"^ERROR: (?:\[[^\]]*\] )?(.*)$", re.M)
_IDLE_RATIO = 0.05
_UNNAMED = "<placeholder signature>"


def main(jobs: str, folder: str) -> None:
    """Runs the jobs that have no answer yet, in order."""
    for number, job in enumerate(json.loads(Path(jobs).read_text(encoding="utf-8"))):
        answer = Path(folder) / f"{number}.json"
        if answer.exists():
            continue
        (Path(folder) / "current").write_text(str(number), encoding="utf-8")
        partial = answer.with_suffix(".partial")
        partial.write_text(json.dumps(_run(job)), encoding="utf-8")
        partial.replace(answer)


def _run(job: dict[str, Any]) -> dict[str, Any]:
    from ai_edge_litert.compiled_model import HardwareAccelerator

    try:
        reference = _Reference(job["model"], job["signature"])
        inputs, expected = _on_reference(job, reference) if job["computed"] else ({}, {})
    except (RuntimeError, ValueError) as error:
        return {"failed": f"TFLite's reference kernels cannot run the file: {last_words(str(error))}"}
    with _printed() as words:
        try:
            compiled = _compiled(job["model"], HardwareAccelerator.GPU)
            refusal = "" if compiled.is_fully_accelerated() else "the accelerator left operators to the CPU"
        except RuntimeError as error:
            refusal = last_words(str(error))
    said = words()
    answer = {"refused": _refused(said), "outputs": {}, "reason": "", "mixed": {}, **_placed(said, reference.ops)}
    if refusal:
        answer["reason"] = " · ".join(": ".join(pair) for pair in answer["refused"]) or _why(said, refusal)
        if answer["gpu_ops"] and job["computed"]:
            answer["mixed"] = _mixed(job, reference, inputs, expected)
        return answer
    answer["gpu_ops"], answer["cpu_ops"] = reference.ops, 0
    if not job["computed"]:
        return answer
    try:
        answer["outputs"] = _compared(expected, _on_gpu(compiled, reference, inputs, large=job["large"]))
    except RuntimeError as error:
        answer["reason"] = f"it took every operator and failed when run: {last_words(str(error))}"
    return answer


def _mixed(job: dict[str, Any], reference: _Reference, inputs: Any, expected: Any) -> dict[str, Any]:
    """The same with the rest on the CPU."""
    from ai_edge_litert.compiled_model import HardwareAccelerator

    try:
        compiled = _compiled(job["model"], HardwareAccelerator.GPU | HardwareAccelerator.CPU)
        return _compared(expected, _on_gpu(compiled, reference, inputs, large=job["large"]))
    except RuntimeError as error:
        return {"failed": last_words(str(error))}


class _Reference:
    """The reference kernels' side of a job."""

    def __init__(self, model: str, signature: str) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        # The plain reference kernels lack the newest versions of a few operators; the others are no delegate either.
        for resolver in (OpResolverType.BUILTIN_REF, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES):
            try:
                self.interpreter = Interpreter(model_path=model, experimental_op_resolver_type=resolver)
                self.interpreter.allocate_tensors()
                break
            except (RuntimeError, ValueError):
                if resolver is OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES:
                    raise
        keys = list(self.interpreter.get_signature_list())
        if signature and signature not in keys:
            raise ValueError(f"no signature {signature!r}; there are: {', '.join(keys) or 'none'}")
        self.key = signature or (keys[0] if keys else _UNNAMED)
        self.runner = self.interpreter.get_signature_runner(self.key) if keys else None
        if self.runner is not None:
            self.inputs, self.outputs = self.runner.get_input_details(), self.runner.get_output_details()
        else:
            self.inputs = {detail["name"]: detail for detail in self.interpreter.get_input_details()}
            self.outputs = {detail["name"]: detail for detail in self.interpreter.get_output_details()}
        self.ops = len(self.interpreter._get_ops_details())  # the only place where the Python API counts operators

    def __call__(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.runner is not None:
            return {name: np.array(value) for name, value in self.runner(**inputs).items()}
        for name, detail in self.inputs.items():
            self.interpreter.set_tensor(detail["index"], inputs[name])
        self.interpreter.invoke()
        return {name: self.interpreter.get_tensor(detail["index"]) for name, detail in self.outputs.items()}


def _on_reference(job: dict[str, Any], reference: _Reference) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    if job["arrays"]:
        with np.load(job["arrays"]) as stored:
            inputs = {name: _fitted(stored[name], detail) for name, detail in reference.inputs.items()}
    else:
        numbers, ranges = np.random.default_rng(job["seed"]), job["ranges"]
        inputs = {
            name: _made(numbers, name, detail, ranges.get(name)) for name, detail in sorted(reference.inputs.items())
        }
    return inputs, reference(inputs)


def _fitted(value: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """A given input in the type of the file, quantised where the file is."""
    dtype = np.dtype(detail["dtype"])
    scale, zero_point = detail["quantization"]
    if value.dtype == dtype or not scale or not np.issubdtype(dtype, np.integer):
        return value.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(value / np.float32(scale)) + zero_point, limits.min, limits.max).astype(dtype)


def _made(numbers: np.random.Generator, name: str, detail: dict[str, Any], span: list[float] | None) -> np.ndarray:
    shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
    if span is not None and np.issubdtype(dtype, np.floating):
        return numbers.uniform(*span, shape).astype(dtype)
    if span is not None:
        return numbers.integers(int(span[0]), int(span[1]) + 1, shape).astype(dtype)
    if name.endswith("mask"):  # presence of frames; noise there would be multiplied in dozens of times
        return np.ones(shape, dtype)
    if np.issubdtype(dtype, np.floating):
        return numbers.standard_normal(shape).astype(dtype)
    if dtype == np.int8:
        return numbers.integers(-128, 128, shape).astype(dtype)
    return numbers.integers(0, 2, shape).astype(dtype)


def _compiled(model: str, accelerators: Any) -> Any:
    from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, Options

    # GPU alone: what it does not take is a refusal, not a fall-back. SwiftShader has no float16 arithmetic.
    options = Options(hardware_accelerators=accelerators, gpu_options=GpuOptions(enforce_f32=True))
    return CompiledModel.from_file(model, options=options)


def _on_gpu(
    compiled: Any, reference: _Reference, inputs: dict[str, np.ndarray], *, large: bool
) -> dict[str, np.ndarray]:
    key = reference.key
    fed = {name: compiled.create_input_buffer_by_name(key, name) for name in inputs}
    for name, array in inputs.items():
        fed[name].write(np.ascontiguousarray(array))
    read = {name: compiled.create_output_buffer_by_name(key, name) for name in reference.outputs}
    compiled.run_by_name(key, fed, read)
    if large:
        wait_until_idle()
    return {
        name: np.asarray(read[name].read(int(np.prod(detail["shape"])), np.dtype(detail["dtype"]).type)).reshape(
            detail["shape"]
        )
        for name, detail in reference.outputs.items()
    }


def wait_until_idle(*, checks: int = 3, seconds: float = 0.5, pause: Callable[[float], None] = time.sleep) -> None:
    """Returns once this process has used no processor for some time: a software GPU has then computed what it has.

    The accelerator returns at once and computes afterwards; reading a result waits two minutes for it and then fails
    for good ("Failed to lock custom tensor buffer", LiteRT 2.3.0). A full-size vocoder takes longer.
    """
    quiet, used = 0, time.process_time()
    while quiet < checks:
        pause(seconds)
        before, used = used, time.process_time()
        quiet = quiet + 1 if used - before < _IDLE_RATIO * seconds else 0


def _compared(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> dict[str, Any]:
    """By output: signal-to-noise ratio, largest difference, largest value, and the type of both."""
    rows = {}
    for name in sorted(expected):
        wanted, got = np.asarray(expected[name], np.float64), np.asarray(found[name], np.float64)
        rows[name] = {
            "snr_db": _snr_db(wanted, got),
            "max_abs": float(np.max(np.abs(got - wanted), initial=0.0)),
            "peak": float(np.max(np.abs(wanted), initial=0.0)),
            "dtype": str(expected[name].dtype),
        }
    return rows


def _snr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    signal = float(np.sum(np.square(reference)))
    noise = float(np.sum(np.square(candidate - reference)))
    if noise == 0.0:
        return math.inf
    return -math.inf if signal == 0.0 or not math.isfinite(noise) else 10.0 * math.log10(signal / noise)


@contextmanager
def _printed() -> Iterator[Any]:
    """What C++ code writes to the error stream meanwhile, as a function to call afterwards."""
    kept: IO[bytes]
    with tempfile.TemporaryFile() as kept:
        before = os.dup(2)
        os.dup2(kept.fileno(), 2)
        content: list[bytes] = []
        try:
            yield lambda: content[0].decode("utf-8", "replace")
        finally:
            os.dup2(before, 2)
            os.close(before)
            kept.seek(0)
            content.append(kept.read())
            sys.stderr.write(content[0].decode("utf-8", "replace"))


def _refused(said: str) -> list[list[str]]:
    found = _REFUSED.search(said)
    lines = found.group(1).splitlines() if found else []
    return [[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]


def _placed(said: str, total: int) -> dict[str, int]:
    found = _PLACED.search(said)
    if found is None:
        return {"gpu_ops": 0, "cpu_ops": total}
    first, second = found.groups()
    return {"gpu_ops": 0 if first == "No" else int(first), "cpu_ops": int(second)}


def _why(said: str, otherwise: str) -> str:
    errors = [line.strip() for line in _FAILED.findall(said) if line.strip()]
    return (" · ".join(dict.fromkeys(errors)) or otherwise)[-400:]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
