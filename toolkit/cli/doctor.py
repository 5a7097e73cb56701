"""``toolkit doctor``: is this environment able to convert, and what else can be done here?"""

from __future__ import annotations

import json
import sys

import typer

from converters.errors import ExtraMissing
from toolkit.cli.diagnosis import Finding, diagnose

_SHOWN = {"ok": "ok", "absent": "absent", "missing": "MISSING", "differs": "DIFFERS"}


def doctor(
    as_json: bool = typer.Option(False, "--json", help="Print the findings as JSON."),
) -> None:
    """Check Python, pinned packages, extras and the programs that some commands use; says what to install.

    Exit code 2 when converting itself is not possible as verified; what is optional may be absent.
    """
    found = diagnose()
    if as_json:
        typer.echo(json.dumps([finding.as_dict() for finding in found], indent=1))
    else:
        for title in dict.fromkeys(finding.area for finding in found):
            typer.echo(title)
            for finding in found:
                if finding.area == title:
                    typer.echo(_line(finding))
    if wrong := [finding.name for finding in found if finding.state in ("missing", "differs")]:
        raise ExtraMissing(
            f"the environment differs from requirements.lock: {', '.join(wrong)}",
            code="environment/differs",
            where=sys.prefix,
            hint="run: make env  (or pip install --no-deps --require-hashes -r requirements.lock)",
        )


def _line(finding: Finding) -> str:
    text = f"  {_SHOWN[finding.state]:<9}{finding.name:<32}{finding.found or '-'}"
    if finding.state == "ok":
        return text
    return f"{text}  {finding.purpose}" + (f"\n{'':<11}{finding.remedy}" if finding.remedy else "")
