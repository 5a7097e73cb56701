"""Choosing the next semantic token on the host, equal to upstream (GPT-SoVITS, ``AR/models/utils.py``).

The order of operations is part of the model: penalty, top-p on untempered logits, temperature, top-k, softmax, and a
race of Exp(1) variables. The stop test reads the logits *after* the penalty, because upstream edits them in place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.errors import EngineError

_LOWEST_TEMPERATURE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSettings:
    """How tokens are drawn; the defaults are those of upstream's page.

    Attributes:
        top_k: how many of the most likely tokens may win; 1 is deterministic.
        top_p: probability mass that may win, in (0, 1].
        temperature: above 0; higher is more varied.
        repetition_penalty: 1 or more; how much tokens already said lose.
    """

    top_k: int = 15
    top_p: float = 1.0
    temperature: float = 1.0
    repetition_penalty: float = 1.35

    def __post_init__(self) -> None:
        problems = [
            (self.top_k >= 1, f"top_k is {self.top_k}", "1 or more"),
            (0.0 < self.top_p <= 1.0, f"top_p is {self.top_p}", "above 0, at most 1"),
            (0.0 <= self.temperature < 1e6, f"temperature is {self.temperature}", "0 or more"),
            (0.0 < self.repetition_penalty < 1e6, f"repetition_penalty is {self.repetition_penalty}", "above 0"),
        ]
        for holds, message, hint in problems:
            if not holds:
                raise EngineError(message, code="engine/bad-setting", where="sampling", hint=hint)


def penalised(logits: np.ndarray, previous: np.ndarray, penalty: float) -> np.ndarray:
    """Logits with every token said before made less likely, each once however often it was said.

    Args:
        logits: ``[V] float32``.
        previous: ``[n]`` ids said so far, the prompt included.
        penalty: 1 changes nothing.

    Returns:
        A new ``[V] float32``.
    """
    changed = np.array(logits, np.float32)
    if penalty != 1.0 and previous.size:
        scores = changed[previous]
        factor = np.float32(penalty)
        changed[previous] = np.where(scores < 0, scores * factor, scores / factor)
    return changed


def probabilities(logits: np.ndarray, settings: SamplingSettings) -> np.ndarray:
    """What each token is drawn with, from penalised logits.

    Args:
        logits: ``[V] float32``, after ``penalised``.
        settings: how to draw.

    Returns:
        ``[V] float32``, summing to 1.
    """
    kept = logits
    if settings.top_p < 1.0:
        order = np.argsort(-logits, kind="stable")
        beyond = np.cumsum(_softmax(logits[order]), dtype=np.float32) > np.float32(settings.top_p)
        beyond[0] = False  # one token at least
        kept = np.array(logits)
        kept[order[beyond]] = -np.inf
    kept = kept / np.float32(max(settings.temperature, _LOWEST_TEMPERATURE))
    k = min(settings.top_k, kept.size)
    pivot = np.partition(kept, kept.size - k)[kept.size - k]
    return _softmax(np.where(kept < pivot, np.float32(-np.inf), kept))


def draw(chances: np.ndarray, exponential: np.ndarray) -> int:
    """The winner of the race: each token's probability over its Exp(1) variable.

    Args:
        chances: ``[V]`` from ``probabilities``.
        exponential: ``[V]`` of Exp(1), above 0.
    """
    return int(np.argmax(chances / exponential))


class Sampler:
    """Draws tokens of one sentence from one seeded generator.

    Args:
        settings: how to draw.
        generator: its state is the only randomness; the same state gives the same sentence.
    """

    def __init__(self, settings: SamplingSettings, generator: np.random.Generator) -> None:
        self.settings = settings
        self._generator = generator

    def next(self, logits: np.ndarray, previous: np.ndarray) -> tuple[int, int]:
        """Draws one token.

        Args:
            logits: ``[V] float32``.
            previous: ids said so far, the prompt included.

        Returns:
            The token drawn, and the most likely one after the penalty (the stop rule reads both).
        """
        changed = penalised(logits, previous, self.settings.repetition_penalty)
        chances = probabilities(changed, self.settings)
        race = self._generator.standard_exponential(chances.size, dtype=np.float32)
        # An exact 0 would win whatever its probability; the smallest float stands for it.
        return draw(chances, np.maximum(race, np.finfo(np.float32).tiny)), int(np.argmax(changed))


def _softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values - values.max(), dtype=np.float32)
    return raised / raised.sum(dtype=np.float32)
