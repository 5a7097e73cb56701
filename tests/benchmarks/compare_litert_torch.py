"""Float conversion of HiFi-GAN decoders from PyTorch to TFLite: this toolkit against litert-torch, whole processes.

Run by hand, on a quiet machine; pytest does not collect it. litert-torch and the toolkit pin different versions, so it
has its own environment:

    python3.11 -m venv /path/to/venv-litert
    printf 'torch==2.13.0\n' > /tmp/constraint.txt
    /path/to/venv-litert/bin/pip install litert-torch==0.10.0 torch==2.13.0 -c /tmp/constraint.txt

    python tests/benchmarks/compare_litert_torch.py --litert-python /path/to/venv-litert/bin/python --rounds 3

Both sides get the same pickled module and convert it in a fresh process: interpreter start, imports and writing the
file included. Runs alternate. Peak memory is the process's ``ru_maxrss``. The files are then run on the same random
input and compared with torch. Prints a markdown table.

Decoders: that of the default voice (1.66 M parameters; random weights of the same shapes where its package is missing)
and one of GPT-SoVITS's size (14.4 M), both at 256 frames.
"""

from __future__ import annotations

import argparse
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 256
SIDES = ("toolkit", "litert-torch")
MOVES = ("RESHAPE", "TRANSPOSE", "STRIDED_SLICE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One conversion in its own process."""

    seconds: float
    peak_gigabytes: float
    cpu_seconds: float


def voice_decoder() -> tuple[Any, Any]:
    """The default voice's decoder and its spec."""
    from toolkit.models.piper import default_voice

    return default_voice().part("decoder", FRAMES)


def large_decoder() -> tuple[Any, Any]:
    """A seeded decoder with the widths of GPT-SoVITS, without a mask, and its spec."""
    import torch

    from converters.spec import PartSpec, TensorSpec
    from toolkit.models.vits.config import GeneratorConfig
    from toolkit.models.vits.generator import Generator

    config = GeneratorConfig(
        initial=512,
        up_rates=(10, 8, 2, 2, 2),
        up_kernels=(16, 16, 8, 2, 2),
        up_paddings=(3, 4, 3, 0, 0),
        resblock="1",
        resblock_kernels=(3, 7, 11),
        resblock_dilations=((1, 3, 5),) * 3,
    )
    torch.manual_seed(0)
    module = Generator(config).eval()
    samples = FRAMES * 640
    spec = PartSpec(
        name="decoder",
        inputs=(
            TensorSpec(name="z", shape=(1, config.channels, FRAMES)),
            TensorSpec(name="mask", shape=(1, 1, FRAMES)),
        ),
        outputs=(TensorSpec(name="audio", shape=(1, 1, samples)),),
    )
    return module, spec


DECODERS = {"voice": voice_decoder, "large": large_decoder}


def convert_with_toolkit(module: Any, spec: Any, target: Path) -> None:
    """torch to ONNX to Keras to layers to TFLite."""
    from converters.keras_graph.relayer import relayer
    from converters.keras_to_tflite import to_tflite
    from converters.onnx_graph.pipeline import rewrite
    from converters.onnx_to_keras import to_keras
    from converters.torch_to_onnx import export

    rewritten = rewrite(export(module, spec), spec)
    stage = to_keras(rewritten.model, rewritten.interface)
    del rewritten
    relayered = relayer(stage)
    del stage
    target.write_bytes(to_tflite(relayered.model, relayered.interface))


def convert_with_litert_torch(module: Any, spec: Any, target: Path) -> None:
    """litert-torch's own conversion of the same module."""
    import litert_torch
    import torch

    samples = tuple(torch.ones(tensor.shape) for tensor in spec.inputs)
    litert_torch.convert(module.eval(), samples).export(str(target))


def child(side: str, source: Path, target: Path) -> None:
    """What runs in the measured process."""
    with source.open("rb") as file:
        module, spec = pickle.load(file)
    {"toolkit": convert_with_toolkit, "litert-torch": convert_with_litert_torch}[side](module, spec, target)


def measure(python: str, side: str, source: Path, target: Path) -> Run:
    """Converts in a fresh process and returns its wall time and peak memory."""
    command = [python, str(Path(__file__).resolve()), "--child", side, str(source), str(target)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    log = target.with_suffix(".log")
    with log.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{side} failed:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:]))
    cpu = usage.ru_utime + usage.ru_stime
    return Run(seconds=seconds, peak_gigabytes=usage.ru_maxrss / 1e6, cpu_seconds=cpu)


def agreement(module: Any, spec: Any, target: Path) -> tuple[float, str]:
    """SNR against torch on a random input, in dB, and the operators that only move data."""
    import numpy as np
    import torch
    from ai_edge_litert.interpreter import Interpreter

    from converters.tflite_graph.read import read_tflite

    rng = np.random.default_rng(0)
    z = rng.standard_normal(spec.inputs[0].shape).astype(np.float32)
    arrays = [z, np.ones(spec.inputs[1].shape, np.float32)]
    with torch.no_grad():
        expected = module(*[torch.from_numpy(array) for array in arrays]).numpy()
    interpreter = Interpreter(model_path=str(target), num_threads=2)
    interpreter.allocate_tensors()
    details = sorted(interpreter.get_input_details(), key=lambda d: -int(np.prod(d["shape"])))
    for detail, array in zip(details, arrays, strict=True):
        shape = tuple(detail["shape"])
        last = array.transpose(0, 2, 1)[:, None] if len(shape) == 4 else array
        interpreter.set_tensor(detail["index"], np.ascontiguousarray(last.reshape(shape)))
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).reshape(expected.shape)
    snr = 10 * np.log10(np.sum(expected**2) / max(float(np.sum((expected - found) ** 2)), 1e-30))
    kinds = Counter(op.kind for op in read_tflite(target).ops)
    return float(snr), f"{sum(kinds[k] for k in MOVES)} of {sum(kinds.values())}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litert-python", help="interpreter of the environment with litert-torch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--decoder", choices=sorted(DECODERS), action="append")
    parser.add_argument("--child", nargs=3, metavar=("SIDE", "SOURCE", "TARGET"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        child(options.child[0], Path(options.child[1]), Path(options.child[2]))
        return
    if not options.litert_python:
        parser.error("--litert-python is needed")
    sys.path.insert(0, str(ROOT))
    pythons = {"toolkit": sys.executable, "litert-torch": options.litert_python}
    lines = [
        "| decoder | converter | wall time s (median; each) | CPU s | peak memory GB | SNR dB | data movement ops |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.decoder or sorted(DECODERS, reverse=True):
            module, spec = DECODERS[name]()
            source = Path(scratch) / f"{name}.pickle"
            source.write_bytes(pickle.dumps((module, spec)))
            targets = {side: Path(scratch) / f"{name}-{side}.tflite" for side in SIDES}
            runs: dict[str, list[Run]] = {side: [] for side in SIDES}
            for _ in range(options.rounds):
                for side in SIDES:
                    runs[side].append(measure(pythons[side], side, source, targets[side]))
            parameters = sum(parameter.numel() for parameter in module.parameters()) / 1e6
            for side in SIDES:
                seconds = [run.seconds for run in runs[side]]
                peak = max(run.peak_gigabytes for run in runs[side])
                snr, moves = agreement(module, spec, targets[side])
                each = ", ".join(f"{value:.1f}" for value in seconds)
                cpu = statistics.median(run.cpu_seconds for run in runs[side])
                lines.append(
                    f"| {name}, {parameters:.2f} M | {side} | {statistics.median(seconds):.1f} ({each}) "
                    f"| {cpu:.1f} | {peak:.2f} | {snr:.1f} | {moves} |"
                )
            ratio = statistics.median(
                ours.seconds / theirs.seconds for ours, theirs in zip(runs[SIDES[0]], runs[SIDES[1]], strict=True)
            )
            lines.append(f"| {name} | toolkit over litert-torch | {ratio:.2f} x | | | | |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
