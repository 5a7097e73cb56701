"""Errors of the upper floor: recipes, gates, quality and benchmarks. They extend the tree in `converters.errors`.

ToolError
├── RecipeError      a recipe field or rule is wrong
├── CheckpointError  a checkpoint is foreign, damaged, hostile or of a version that cannot be converted
├── DataError        calibration data or a clip is missing or damaged
├── DelegateError    a delegate table or level is unknown
├── DeviceError      nothing is known of a device, or not enough for an estimate
├── SearchError      an intent cannot be searched for
├── BenchError       a measurement could not be made
├── AuditError       asked and realised precision differ
├── VoiceError       the voice database, a voice in it or a features file is unusable
├── HistoryError     the history of results, or a result in it, is unusable
├── EngineError      a speaking bundle, one of its graphs or its memory bound is unusable
├── ServeError       the local page cannot be served
└── GateFailed       a quality, size or parity gate did not hold (exit code 1, artefacts kept)
"""

from __future__ import annotations

from converters.errors import ToolError


class RecipeError(ToolError):
    """A recipe field or rule is wrong."""

    code = "recipe/invalid"


class CheckpointError(ToolError):
    """A checkpoint is foreign, damaged, hostile or of a version that cannot be converted."""

    code = "checkpoint/unusable"


class DataError(ToolError):
    """Calibration data or a clip is missing or damaged."""

    code = "data/unusable"


class DelegateError(ToolError):
    """A delegate table or level is unknown."""

    code = "delegate/unknown"


class DeviceError(ToolError):
    """Nothing is known of a device, or not enough for an estimate."""

    code = "device/unknown"


class SearchError(ToolError):
    """An intent cannot be searched for."""

    code = "search/intent"


class BenchError(ToolError):
    """A measurement could not be made."""

    code = "bench/failed"


class AuditError(ToolError):
    """Asked and realised precision differ."""

    code = "precision/not-realised"


class VoiceError(ToolError):
    """The voice database, a voice in it or a features file is unusable."""

    code = "voices/unusable"


class HistoryError(ToolError):
    """The history of results, or a result in it, is unusable."""

    code = "history/unusable"


class EngineError(ToolError):
    """A speaking bundle, one of its graphs or its memory bound is unusable."""

    code = "engine/unusable"


class ServeError(ToolError):
    """The local page cannot be served."""

    code = "serve/failed"


class GateFailed(ToolError):
    """A quality, size or parity gate did not hold; artefacts are kept."""

    code = "gate/failed"
