"""Finds the results files that do not follow the published schema."""

from __future__ import annotations

import json
from pathlib import Path

from tests.json_schema import violations
from toolkit.results import json_schema


def broken_results_files(folder: Path) -> dict[str, list[str]]:
    """What is wrong with each ``results.json`` below a folder; of made-up contents only what claims to be schema 1."""
    schema, found = json_schema(), {}
    for path in sorted(folder.rglob("results.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue  # damaged on purpose: the tests that refuse such a file write one
        if isinstance(data, dict) and data.get("schema") == 1 and (broken := violations(data, schema)):
            found[str(path.relative_to(folder))] = broken[:5]
    return found
