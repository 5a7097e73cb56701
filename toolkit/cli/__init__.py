"""The command line. It builds a recipe, calls the pipeline and turns errors into exit codes.

Exit codes: 0 all gates passed · 1 a gate failed (artefacts kept) · 2 usage, input, environment or internal error.
"""

from __future__ import annotations

import sys

PYTHON = (3, 11)
"""The one release that the locked packages exist for together: onnx2tf 1.29.24 builds a Keras graph on it."""


def main() -> None:
    """Entry point of the ``toolkit`` command."""
    if sys.version_info[:2] != PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.stderr.write(
            f"error[environment/python]: Python {found} runs this, and the locked packages are for 3.11\n"
            f"  in  {sys.executable}\n"
            "  hint: make env PYTHON=python3.11, then .venv/bin/toolkit\n"
        )
        sys.exit(2)
    from toolkit.cli.app import run

    run()
