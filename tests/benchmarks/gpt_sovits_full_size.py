"""A full-size GPT-SoVITS pair of seeded random weights, and what its conversion costs. Prints JSON.

Run by hand, on a quiet machine; pytest does not collect it:

    python tests/benchmarks/gpt_sovits_full_size.py --out /tmp/full [--version v2] [-- --recipe gpt-sovits-int8 …]

Writes ``VERSION.ckpt``, ``VERSION.pth`` and ``VERSION-anna.npz`` (a seeded voice) into ``--out`` where they are
missing, converts them as a user would, with everything after ``--`` handed to ``toolkit convert``, and samples the
memory of the whole process tree (pages that are shared counted once) four times a second. The run's
own results add how well each float graph agrees with torch, and how long its stages took. The weights are random: they
say what a model costs, never how it sounds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
HEADS, LAYERS = 16, 24


def write_pair(folder: Path, version: str) -> tuple[Path, Path, Path]:
    """The two checkpoints and the features of one voice."""
    from tests.toolkit.voices.made_voices import made_arrays
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
    from toolkit.models.gpt_sovits.seeded import full_config, write_gpt, write_sovits
    from toolkit.models.gpt_sovits.semantic_config import SemanticConfig, semantic_shapes
    from toolkit.models.gpt_sovits.sovits_graphs import random_style
    from toolkit.voices.feature_file import write_features
    from toolkit.voices.features import checked_features

    gpt, sovits, voice = folder / f"{version}.ckpt", folder / f"{version}.pth", folder / f"{version}-anna.npz"
    config = full_config(version)
    if not gpt.exists():
        semantic = SemanticConfig(
            width=512, heads=HEADS, layers=LAYERS, inner=2048, symbols=config.symbols, vocabulary=config.codes + 1
        )
        write_gpt(gpt, semantic_shapes(semantic), heads=HEADS)
    if not sovits.exists():
        write_sovits(sovits, config)
    if not voice.exists():
        style = random_style(read_checkpoint(sovits))
        draw = np.random.default_rng(0)
        arrays: dict[str, Any] = {
            **made_arrays(0),
            "ge": style.ge.numpy(),
            "prompt_codes": draw.integers(0, config.codes, 75),
            "prompt_phones": draw.integers(3, 300, 40),
        }
        if config.speaker:
            arrays["ge_text"] = style.ge_text.numpy()
        write_features(voice, checked_features(arrays, "en"), {})
    return gpt, sovits, voice


def tree_bytes(process: psutil.Process) -> int:
    """Memory of a process and all below it, shared pages once: a fork has its parent's until it starts a program."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue  # it ended between being listed and being asked
    return total


def convert(pair: tuple[Path, Path, Path], out: Path, more: list[str]) -> dict[str, Any]:
    """Runs ``toolkit convert`` and says what it took."""
    gpt, sovits, voice = (str(path) for path in pair)
    command = [sys.executable, "-m", "toolkit", "convert", gpt, sovits, "--voice", voice, "--out", str(out), *more]
    started, peak, at = time.perf_counter(), 0, 0.0
    child = psutil.Popen(command, cwd=ROOT, stdout=sys.stderr)
    while child.poll() is None:
        seen = tree_bytes(child)
        if seen > peak:
            peak, at = seen, time.perf_counter() - started
        time.sleep(0.25)
    if child.returncode not in (0, 1):
        raise subprocess.CalledProcessError(child.returncode, command)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # what other jobs on the machine do not stretch
    sizes = {path.name: path.stat().st_size for path in sorted((out / "bundle").glob("*.tflite"))}
    return {
        "command": command[1:],
        "exit_code": child.returncode,
        "wall_seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_tree_bytes": peak,
        "peak_after_seconds": round(at, 1),
        "files_bytes": sizes,
        "bundle_bytes": sum(path.stat().st_size for path in (out / "bundle").rglob("*") if path.is_file()),
        **measured(out / "results.json"),
        "load_average": [round(value, 2) for value in psutil.getloadavg()],
    }


def measured(results: Path) -> dict[str, Any]:
    """What the run found out: agreement of every float file with torch, and seconds of its stages.

    The float conversion is what ends in the float files: every stage of a graph before its precision is given.
    """
    from toolkit.results import load

    result = load(results)
    worst: dict[str, float] = {}
    for row in result.parity:
        if row.to == "tflite float32" and row.snr_db is not None:
            worst[row.part] = min(worst.get(row.part, float("inf")), round(row.snr_db, 1))
    graphs = {row.part for row in result.parity}
    seconds = {stage.name: round(stage.seconds, 1) for stage in result.stages}
    floats = sum(took for name, took in seconds.items() if name.partition(":")[0] in graphs and "precision" not in name)
    return {"float_snr_db": worst, "float_conversion_seconds": round(floats, 1), "stage_seconds": seconds}


def main() -> None:
    """Writes, converts, prints."""
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--version", default="v2", choices=("v1", "v2", "v2Pro", "v2ProPlus"))
    parser.add_argument("--run", default="run", help="name of the run directory inside --out")
    arguments = parser.parse_args(words[:cut])
    arguments.out.mkdir(parents=True, exist_ok=True)
    pair = write_pair(arguments.out, arguments.version)
    report = convert(pair, arguments.out / arguments.run, words[cut + 1 :])
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
