"""The convolutional student's two graphs for static lengths, and inputs as sentences give them.

Between the graphs stands `toolkit.engine.length_regulator`, which has no static shape and stays on the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from converters.spec import PartSpec, TensorSpec
from toolkit.engine.buckets import filled, presence
from toolkit.engine.length_regulator import frames_of, regulate
from toolkit.engine.parallel_codes import FRAMES, PHONES
from toolkit.models.gpt_sovits.calibration import (
    CALIBRATION,
    HELD_OUT,
    SpokenSentences,
    Utterance,
    calibration_phones,
)
from toolkit.models.gpt_sovits.checkpoint import Checkpoint
from toolkit.models.gpt_sovits.phone_graph import PhoneGraph
from toolkit.models.parallel_semantic.config import TIMING_ROWS, ParallelConfig
from toolkit.models.parallel_semantic.model import HIDDEN, LOG_DURATIONS, LOGITS, ParallelSemantic

Inputs = dict[str, np.ndarray]
_FULL = (0.55, 0.95)  # how full the probes make a bucket
_FRAMES_A_PHONE = 2.1
_TOGETHER = (1, 2, 1, 3)  # sentences said at once, by turns


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelBuckets:
    """Static lengths to convert for.

    Attributes:
        phones: of a sentence.
        frames: codes of a sentence.
    """

    phones: tuple[int, ...] = (96, 224)
    frames: tuple[int, ...] = (100, 250)


def parallel_graphs(model: ParallelSemantic, buckets: ParallelBuckets, *, seed: int = 0) -> Iterator[PhoneGraph]:
    """The graphs for the given lengths, those of phones first.

    Args:
        model: in inference mode.
        buckets: lengths.
        seed: of the random sentences the probes are made of.
    """
    for length in buckets.phones:
        probes = tuple(
            phone_inputs(_random_phones(model.config, int(length * share), seed + place), length)
            for place, share in enumerate(_FULL)
        )
        yield PhoneGraph(PHONES, length, model.phones, phone_spec(model.config, length), probes)
    for length in buckets.frames:
        probes = tuple(
            frame_inputs(model, _random_phones(model.config, int(length * share / _FRAMES_A_PHONE), seed + place),
                         length, frames=int(length * share))
            for place, share in enumerate(_FULL)
        )  # fmt: skip
        yield PhoneGraph(FRAMES, length, model.frames, frame_spec(model.config, length), probes)


def phone_spec(config: ParallelConfig, length: int) -> PartSpec:
    """Interface of the graph over ``length`` phones."""
    return PartSpec(
        name=PHONES,
        inputs=(
            TensorSpec(name="phones", shape=(1, length), dtype="int32", axes=("batch", "phones")),
            TensorSpec(name="mask", shape=(1, 1, length), axes=("batch", "one", "phones")),
        ),
        outputs=(
            TensorSpec(name=HIDDEN, shape=(1, config.width, length), axes=("batch", "channels", "phones")),
            TensorSpec(name=LOG_DURATIONS, shape=(1, 1, length), axes=("batch", "one", "phones")),
        ),
    )


def frame_spec(config: ParallelConfig, length: int) -> PartSpec:
    """Interface of the graph over ``length`` frames of 40 ms."""
    return PartSpec(
        name=FRAMES,
        inputs=(
            TensorSpec(name="rows", shape=(1, config.width, length), axes=("batch", "channels", "frames")),
            TensorSpec(name="timing", shape=(1, TIMING_ROWS, length), axes=("batch", "channels", "frames")),
            TensorSpec(name="mask", shape=(1, 1, length), axes=("batch", "one", "frames")),
        ),
        outputs=(TensorSpec(name=LOGITS, shape=(1, config.codes, length), axes=("batch", "codes", "frames")),),
    )


def phone_inputs(phones: np.ndarray, length: int) -> Inputs:
    """Inputs of the first graph as the engine makes them; ``phones`` are ``[n] int32``, cut at ``length``."""
    said = phones[:length]
    return {"phones": filled(said[None], length), "mask": presence(len(said), length)}


@torch.inference_mode()
def frame_inputs(model: ParallelSemantic, phones: np.ndarray, length: int, frames: int | None = None) -> Inputs:
    """Inputs of the second graph as the engine makes them.

    Args:
        model: gives rows and durations.
        phones: ``[n] int32``.
        length: frames of the graph; what is beyond is cut.
        frames: how many the sentence has; by its durations otherwise.
    """
    ids, mask = torch.from_numpy(phones[None]), torch.ones(1, 1, len(phones))
    hidden, log_durations = (each.numpy() for each in model.phones(ids, mask))
    placed = regulate(frames_of(log_durations), frames)
    said = min(placed.frames, length)
    return {
        "rows": filled((hidden[0] @ placed.shares)[None, :, :said], length),
        "timing": filled(placed.timing[None, :, :said], length),
        "mask": presence(said, length),
    }


class ParallelSentences:
    """The project's own sentences as inputs of the graphs; see ``calibration.SpokenSentences``.

    Args:
        model: who says them.
    """

    def __init__(self, model: ParallelSemantic) -> None:
        self._model = model

    def calibration(self, graph: PhoneGraph) -> tuple[Inputs, ...]:
        """Inputs to choose ranges by and to train on."""
        return tuple(self._inputs(graph, phones) for phones in self.sentences[:CALIBRATION])

    def held_out(self, graph: PhoneGraph) -> Iterator[Inputs]:
        """Inputs of sentences no range and no weight has seen."""
        yield from (self._inputs(graph, phones) for phones in self.sentences[CALIBRATION:])

    @cached_property
    def sentences(self) -> list[np.ndarray]:
        """Phones of everything that is said, held-out sentences last."""
        left = calibration_phones(self._model.config.symbols)
        return [
            np.concatenate([left.pop(0) for _ in range(_TOGETHER[place % len(_TOGETHER)])])
            for place in range(CALIBRATION + HELD_OUT)
        ]

    def _inputs(self, graph: PhoneGraph, phones: np.ndarray) -> Inputs:
        if graph.kind == PHONES:
            return phone_inputs(phones, graph.bucket)
        return frame_inputs(self._model, phones, graph.bucket)


class StudentSpeech(SpokenSentences):
    """The same sentences as inputs of SoVITS's graphs: the student says them.

    Args:
        model: who says them.
        sovits: codes to sound.
        seed: of noise and the random style.
    """

    def __init__(self, model: ParallelSemantic, sovits: Checkpoint, *, seed: int = 0) -> None:
        self._model, self._checkpoint, self._seed = model, sovits, seed
        self._voice, self._prompt = None, None
        self._own = ParallelSentences(model)

    def calibration(self, graph: PhoneGraph) -> tuple[Inputs, ...]:
        """See ``SpokenSentences``."""
        return self._own.calibration(graph) if graph.kind in (PHONES, FRAMES) else super().calibration(graph)

    def held_out(self, graph: PhoneGraph) -> Iterator[Inputs]:
        """See ``SpokenSentences``."""
        yield from self._own.held_out(graph) if graph.kind in (PHONES, FRAMES) else super().held_out(graph)

    def _said(self) -> tuple[Utterance, ...]:
        nothing = np.zeros(0, np.int32)
        return tuple(
            Utterance(
                phones=phones[None], spoken=phones, bert=np.zeros((1, 0, len(phones)), np.float32), prompt=nothing,
                codes=_likeliest(self._model, phones),
            )
            for phones in self._own.sentences
        )  # fmt: skip


def _random_phones(config: ParallelConfig, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, config.symbols, max(1, count)).astype(np.int32)


@torch.inference_mode()
def _likeliest(model: ParallelSemantic, phones: np.ndarray) -> np.ndarray:
    """Codes ``[n] int32`` of a sentence."""
    hidden, log_durations = model.phones(torch.from_numpy(phones[None]), torch.ones(1, 1, len(phones)))
    placed = regulate(frames_of(log_durations.numpy()))
    rows, timing = hidden @ torch.from_numpy(placed.shares), torch.from_numpy(placed.timing[None])
    logits = model.frames(rows, timing, torch.ones(1, 1, placed.frames))
    return logits[0].argmax(dim=0).numpy().astype(np.int32)
