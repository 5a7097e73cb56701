"""How close two renderings of the same utterances are: signal, mel, speaker and predicted opinion."""

from __future__ import annotations

from toolkit.quality.evaluate import QualityReport, UtteranceQuality, evaluate

__all__ = ["QualityReport", "UtteranceQuality", "evaluate"]
