"""The command line. It builds a recipe, calls the pipeline and turns errors into exit codes.

Exit codes: 0 all gates passed · 1 a gate failed (artefacts kept) · 2 usage, input, environment or internal error.
"""

from __future__ import annotations


def main() -> None:
    """Entry point of the ``toolkit`` command."""
    from toolkit.cli.app import run

    run()
