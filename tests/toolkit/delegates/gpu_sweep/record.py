"""What the executed accelerator said of each file of the sweep, as it is committed beside the cases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.delegates.software_gpu import Executed

COMMITTED = Path(__file__).parent / "executed.json"


def digest(content: bytes) -> str:
    """Tells whether a record belongs to a file."""
    return hashlib.sha256(content).hexdigest()[:12]


def row(content: bytes, found: Executed | str) -> dict[str, Any]:
    """One record; ``snr_db`` is the worst output's, None where all are equal."""
    if isinstance(found, str):
        # What the process printed before its end differs from run to run; its code does not.
        return {"file": digest(content), "no_answer": found.partition(":")[0]}
    finite = [error.snr_db for error in found.outputs.values() if abs(error.snr_db) != float("inf")]
    return {
        "file": digest(content),
        "accepted": found.accepted,
        "gpu_ops": found.gpu_ops,
        "cpu_ops": found.cpu_ops,
        "refused": [list(pair) for pair in found.refused] or ([["", found.reason]] if found.reason else []),
        "judgement": found.judgement,
        "snr_db": round(min(finite), 1) if finite else None,
    }


def save(rows: Mapping[str, Mapping[str, Any]], about: Mapping[str, Any], exceptions: Mapping[str, str]) -> None:
    """Writes the committed file, a line for each case."""
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in rows.items()]
    head = f'"about": {json.dumps(about)},\n"exceptions": {json.dumps(exceptions, indent=1)},\n'
    COMMITTED.write_text("{" + head + '"cases": {\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8")


def committed() -> dict[str, Any]:
    """The committed file: ``about``, ``exceptions`` (id to cause) and ``cases`` (id to record)."""
    return json.loads(COMMITTED.read_text(encoding="utf-8"))


def disagreements(placed: Mapping[str, tuple[int, bool]], rows: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """Cases where tables and execution differ.

    Args:
        placed: by case, how many operators the tables put on the GPU, and whether they warn of wrong results.
        rows: the records.
    """
    found = []
    for key, (delegated, warned) in placed.items():
        record = rows[key]
        if "no_answer" in record:
            # A file that ends the process runs nothing on the GPU, and the tables have to say so.
            if delegated or "ended with code" not in record["no_answer"]:
                found.append(f"{key}: tables {delegated} operators, no answer: {record['no_answer']}")
            continue
        executed = record["gpu_ops"]
        if executed != delegated:
            found.append(f"{key}: tables {delegated} operators, executed {executed}: {record['refused']}")
        if executed and warned is not (record["judgement"] == "wrong"):
            found.append(f"{key}: tables warn: {warned}, executed {record['judgement']} ({record['snr_db']} dB)")
    return found
