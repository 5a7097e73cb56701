"""A full-size GPT-SoVITS pair in the shapes a stack leaves: what it weighs and how long it speaks. Prints JSON.

Run by hand, on a quiet machine; pytest does not collect it:

    python tests/benchmarks/stacked_full_size.py --out /tmp/full [--width 256] [--layers 6] [--mlp 0.3] [--encoder 0.1]

The text-to-semantic model is cut to the student's sizes and pruned as `toolkit stack` would, without training; the text
encoder loses channels as `toolkit prune` takes them; flow and vocoder stay whole. Weights are seeded random numbers:
the figures are sizes, host latency and an estimate for a phone, and nothing of quality.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]


def stacked_pair(gpt: Path, sovits: Path, folder: Path, arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Checkpoints of the stacked sizes, written where they are missing."""
    from pruned_step import pruned

    from toolkit.distil.student import new_student, student_config
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
    from toolkit.models.gpt_sovits.seeded import LABEL
    from toolkit.models.gpt_sovits.semantic_file import write_semantic
    from toolkit.pipeline.gpt_sovits import semantic_model
    from toolkit.recipe.shrinking import Distil

    small, light = folder / "stacked.ckpt", folder / "stacked.pth"
    if not small.exists():
        found = read_checkpoint(gpt)
        teacher = semantic_model(found)
        asked = Distil(width=arguments.width, layers=arguments.layers)
        student = new_student(teacher, student_config(teacher.config, asked), asked)
        write_semantic(small, pruned(student, arguments.mlp, 0.0), LABEL, found.config)
    if not light.exists():
        toolkit("prune", str(sovits), "--encoder", str(arguments.encoder), "--out", str(folder / "pruned-sovits"))
        (made,) = (folder / "pruned-sovits").glob("*.pth")
        light.write_bytes(made.read_bytes())
    return small, light


def toolkit(*words: str) -> str:
    """Runs a command of the toolkit; what it prints."""
    done = subprocess.run([sys.executable, "-m", "toolkit", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):
        raise subprocess.CalledProcessError(done.returncode, words)
    return done.stdout


def main() -> None:
    """Writes, converts, estimates, prints."""
    from gpt_sovits_full_size import convert, write_pair

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--mlp", type=float, default=0.3)
    parser.add_argument("--encoder", type=float, default=0.1)
    parser.add_argument("--whole", type=Path, help="run directory of the whole pair, to race with")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    gpt, sovits, voice = write_pair(arguments.out, "v2")
    small, light = stacked_pair(gpt, sovits, arguments.out, arguments)
    run = arguments.out / "run-stacked"
    report: dict[str, Any] = {"conversion": convert((small, light, voice), run, [])}
    for delegate in ("xnnpack", "nnapi"):
        said = toolkit("estimate", str(run), "--delegate", delegate, "--json")
        report[f"estimate_{delegate}"] = json.loads(said)
    if arguments.whole:
        report["sentence"] = json.loads(
            toolkit("bench", str(arguments.whole), str(run), "--codes", "75", "--rounds", "5", "--json")
        )
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
