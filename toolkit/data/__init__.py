"""Sentences and clips that models are calibrated and judged on, with a manifest that is checked before use."""

from __future__ import annotations

from toolkit.data.manifest import DEFAULT_ROOT, Clip, Manifest, Sentence, load_manifest

__all__ = ["DEFAULT_ROOT", "Clip", "Manifest", "Sentence", "load_manifest"]
