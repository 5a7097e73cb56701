"""Piper voices (`.onnx` with its `.json`) as VITS modules of this project."""

from __future__ import annotations

from toolkit.models.piper.default import default_voice
from toolkit.models.piper.load import load_voice

__all__ = ["default_voice", "load_voice"]
