"""Latent frames to samples, chunk by chunk, on whichever rung of the ladder the machine can keep up with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from toolkit.engine.acoustics import wanted
from toolkit.engine.bundle import Bundle, GraphFact
from toolkit.engine.chunks import Chunk, middle, next_chunk, window
from toolkit.engine.degrade import Ladder, Rung
from toolkit.engine.loading import GraphLoader
from toolkit.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SungChunk:
    """Samples of a stretch of one sentence.

    Attributes:
        frames: the stretch.
        samples: ``[n] float32`` in [-1, 1].
        rung: what sang it.
        elapsed_seconds: what it took.
    """

    frames: Chunk
    samples: np.ndarray = field(repr=False)
    rung: str
    elapsed_seconds: float


class Singer:
    """Runs the vocoder of a bundle.

    Args:
        bundle: its graphs.
        loader: opens them.
        ladder: where the engine stands; told of every chunk.
        memory_short: asked after each chunk.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        bundle: Bundle,
        loader: GraphLoader,
        ladder: Ladder,
        *,
        memory_short: Callable[[], bool],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._bundle = bundle
        self._loader = loader
        self._ladder = ladder
        self._memory_short = memory_short
        self._clock = clock

    def sing(self, latent: np.ndarray, styles: Mapping[str, np.ndarray], earlier_seconds: float) -> Iterator[SungChunk]:
        """Samples of a sentence, each exactly once and in order, whatever fails in between.

        A chunk that fails was not handed out yet: the same frames are run again one rung below.

        Args:
            latent: ``[1, channels, frames]``.
            styles: constants of the voice, for graphs that take them.
            earlier_seconds: what text and flow took; each chunk bears its share of it against the deadline.

        Raises:
            EngineError: it failed on the last rung.
        """
        frames, done = latent.shape[2], 0
        while done < frames:
            rung = self._ladder.rung
            graph, overlap = self._graph(rung, frames, done)
            chunk = next_chunk(done, frames, graph.tensors["z"].shape[2], overlap)
            started = self._clock()
            try:
                samples = self._run(graph, rung, chunk, latent, styles)
            except EngineError as error:
                if not self.fell(error):
                    raise
                continue
            elapsed = self._clock() - started
            done = chunk.end
            yield SungChunk(frames=chunk, samples=samples, rung=rung.name, elapsed_seconds=elapsed)
            share = earlier_seconds * (chunk.end - chunk.first) / frames
            self._ladder.observe(
                elapsed_seconds=elapsed + share,
                audio_seconds=len(samples) / self._bundle.sample_rate_hz,
                memory_short=self._memory_short(),
            )

    def fell(self, error: EngineError) -> bool:
        """Goes one rung down for an error that another rung may not have; says whether there was one."""
        if error.code not in ("engine/delegate", "engine/graph", "engine/memory-bound"):
            return False
        return self._ladder.failed(error.message, permanent=error.code == "engine/delegate") is not None

    def _run(
        self,
        graph: GraphFact,
        rung: Rung,
        chunk: Chunk,
        latent: np.ndarray,
        styles: Mapping[str, np.ndarray],
    ) -> np.ndarray:
        fed, mask = window(latent, chunk, graph.tensors["z"].shape[2])
        with self._loader.using(self._bundle, rung.delegate) as graphs:
            audio = graphs(graph).run(wanted(graph, {"z": fed, "mask": mask, **styles}))["audio"]
        samples = middle(audio, chunk, self._bundle.samples_per_frame)
        expected = (chunk.end - chunk.first) * self._bundle.samples_per_frame
        if len(samples) != expected or not np.isfinite(samples).all():
            raise EngineError(
                f"{len(samples)} samples for {expected}, or some not finite", code="engine/graph", where=graph.name
            )
        return samples

    def _graph(self, rung: Rung, frames: int, done: int) -> tuple[GraphFact, int]:
        """The vocoder of a rung and the context its chunks need.

        The first chunk of a sentence takes the shortest graph, so that sound comes early; later ones the shortest that
        ends the sentence, or the longest.
        """
        kind = "vocoder_light" if rung.light and self._has_light() else "vocoder"
        overlap = self._bundle.overlap_frames
        streaming = self._bundle.of_kind(f"{kind}_stream")
        if streaming:
            left = frames - max(0, done - overlap)
            ending = [graph for graph in streaming if graph.tensors["z"].shape[2] >= left]
            return (ending or streaming)[0 if ending or not done else -1], overlap
        whole = self._bundle.of_kind(kind)
        if not whole:
            raise EngineError("the bundle has no vocoder", code="engine/bundle", where=str(self._bundle.folder))
        fitting = [graph for graph in whole if graph.tensors["z"].shape[2] >= frames]
        return (fitting[0], 0) if fitting and not done else (whole[-1], overlap)

    def _has_light(self) -> bool:
        return bool(self._bundle.of_kind("vocoder_light_stream") or self._bundle.of_kind("vocoder_light"))


def rungs_of(bundle: Bundle, delegate: str = "") -> tuple[Rung, ...]:
    """The ways a bundle can run, best first: the delegate, the CPU, the CPU with the lighter vocoder.

    A vocoder in 16 bits (for NPUs) has no use on a CPU while there is a lighter one: below a delegate it is left out.

    Raises:
        EngineError: the bundle makes codes and no sound.
    """
    if bundle.contents != "speech":
        raise EngineError(
            "this bundle turns text into semantic codes and has no graphs that make sound of them",
            code="engine/codes-only",
            where=bundle.label,
            hint="convert the GPT .ckpt together with a SoVITS .pth",
        )
    rungs = [Rung(name="delegate", delegate=delegate)] if delegate else []
    lighter = bundle.of_kind("vocoder_light_stream") or bundle.of_kind("vocoder_light")
    slow = any(graph.slow_on_cpu for kind in ("vocoder_stream", "vocoder") for graph in bundle.of_kind(kind))
    if not (delegate and lighter and slow):
        rungs.append(Rung(name="cpu"))
    if lighter:
        rungs.append(Rung(name="cpu, light vocoder", light=True))
    return tuple(rungs)
