"""Places every file of the sweep, and every model of the zoo, by the tables and by the executed GPU accelerator.

By hand, where the software GPU is installed: ``python -m tests.benchmarks.gpu_placement_sweep [--whole] [--write]``.
Without ``--whole`` the zoo's models, which take minutes to convert, keep their committed records. ``--write`` puts what
was executed into the committed file, which the tests hold the tables against.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import sys
import tempfile
from pathlib import Path

from tests.toolkit.delegates.gpu_sweep import CASES
from tests.toolkit.delegates.gpu_sweep.record import COMMITTED, committed, digest, disagreements, row, save
from tests.toolkit.delegates.gpu_sweep.whole import whole_models
from toolkit.delegates.place import place
from toolkit.delegates.software_gpu import GpuJob, execute_all


def _order(key: str) -> tuple[bool, str]:
    return key.startswith("zoo "), key


def main() -> int:
    """Runs the sweep; the exit code is 1 where anything differs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--whole", action="store_true", help="convert and run the zoo's models too")
    parser.add_argument("--write", action="store_true", help="replace the committed records")
    parser.add_argument("--missing", action="store_true", help="only files without a committed record")
    parser.add_argument("--only", default="", help="cases whose id contains this")
    asked = parser.parse_args()
    files = {case.id: (case.write(), case.input_ranges()) for case in CASES if asked.only in case.id}
    if asked.whole:
        files |= {key: (content, {}) for key, content in whole_models() if asked.only in key}
    if asked.missing and COMMITTED.exists():
        known = {key: record["file"] for key, record in committed()["cases"].items()}
        files = {key: found for key, found in files.items() if known.get(key) != digest(found[0])}
    placed = {}
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for number, (key, (content, ranges)) in enumerate(files.items()):
            path = Path(folder) / f"{number}.tflite"
            path.write_bytes(content)
            jobs.append(GpuJob(model=path, ranges=ranges))
            found = place(content, "p", "gpu_litert")
            placed[key] = (found.delegated_ops, bool(found.wrong_results))
        executed = execute_all(jobs, timeout=120)
    rows = {key: row(content, found) for (key, (content, _)), found in zip(files.items(), executed, strict=True)}
    differing = disagreements(placed, rows)
    for line in differing:
        sys.stdout.write(line + "\n")
    wrong = sum(record.get("judgement") == "wrong" for record in rows.values())
    sys.stdout.write(f"{len(rows)} files, {len(differing)} disagree, {wrong} silently wrong\n")
    if asked.write:
        known = {case.id for case in CASES}
        before = committed()["cases"] if COMMITTED.exists() else {}
        kept = {key: record for key, record in before.items() if key in known or key.startswith("zoo ")}
        causes = committed()["exceptions"] if COMMITTED.exists() else {}
        names = [line.partition(": ")[0] for line in differing]
        save(
            {key: (kept | rows)[key] for key in sorted(kept | rows, key=_order)},
            {
                "accelerator": f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}, WebGPU on SwiftShader",
                "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            },
            {key: causes.get(key, "not explained yet") for key in names},
        )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
