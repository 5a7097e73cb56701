"""A VITS voice for the page: text, encoder and durations in Python; flow and decoder again in the browser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from converters.errors import InputError
from converters.spec import Arrays, Layout, Runner
from converters.tflite_graph.metadata import read_metadata
from toolkit.engine.chunks import plan_chunks
from toolkit.models.vits.bundle import Host, load_host
from toolkit.models.vits.host import smallest_bucket
from toolkit.pipeline.speech import bundle_runners
from toolkit.serve.packing import Call, Graph, Piece, Spoken, Stage, Tensor, Utterance

PARTS = ("encoder", "flow", "decoder")
_DEFAULT = "ðɪs vˈɔɪs ɹˈʌnz ɪn ðə bɹˈaʊzɚ."  # this voice runs in the browser


class VitsVoice:
    """Speaks with a bundle and notes what its graphs were fed.

    Args:
        folder: the bundle.
        threads: of the interpreters.
        phonemes: what is said when a request asks for nothing.

    Raises:
        InputError: it is no voice bundle, or damaged.
    """

    def __init__(self, folder: Path, *, threads: int, phonemes: str = "") -> None:
        self._runners = bundle_runners(folder, threads)
        self._host: Host = load_host(folder).with_graphs(self._runners)
        self._graphs = _graphs(folder)
        self._phonemes = phonemes or _DEFAULT
        self.files = tuple(f"{part}.tflite" for part in PARTS)

    def speak(self, asked: Mapping[str, str]) -> Spoken:
        """Says it.

        Args:
            asked: ``phonemes`` or ``text``, and ``seed``.

        Raises:
            InputError: nothing the voice can say, or too long for its encoder.
            ExtraMissing: ``text`` without espeak-ng.
        """
        host, phonemes = self._host, asked.get("phonemes", "") or self._phonemes
        if asked.get("text"):
            from toolkit.data.phonemize import espeak_phonemes

            phonemes = espeak_phonemes(asked["text"], host.language)
        seed = seed_of(asked)
        calls: dict[str, Call] = {}
        runners = {
            part: {bucket: _noted(f"{part}_{bucket}", run, calls) for bucket, run in buckets.items()}
            for part, buckets in self._runners.items()
        }
        prior = host.prior(runners["encoder"], host.phoneme_ids(phonemes), seed)
        signal = host.prior_sample(prior, seed)
        audio = host.run_decoder(runners["decoder"], host.run_flow(runners["flow"], signal))
        frames = signal.shape[2]
        stages = (
            Stage(
                name="flow",
                source="z_p",
                target="z",
                hop=1,
                pieces=self._pieces("flow", frames, host.flow_reach_frames),
            ),
            Stage(
                name="decoder",
                source="z",
                target="audio",
                hop=host.hop,
                pieces=self._pieces("decoder", frames, host.decoder_reach_frames),
            ),
        )
        return Spoken(
            label=host.label,
            said=asked.get("text") or phonemes,
            ways=("phonemes", "text"),
            on_python="Text, durations and noise come from Python; from there on the browser goes by itself.",
            sample_rate_hz=host.sample_rate_hz,
            graphs=tuple(
                graph if graph.name in calls else _idle(graph, "too long or too short for this sentence")
                for graph in self._graphs
            ),
            calls=tuple(calls.values()),
            constants={},
            utterances=(Utterance(signal=signal, stages=stages, audio=audio),),
        )

    def _pieces(self, part: str, frames: int, reach: int) -> tuple[Piece, ...]:
        """The same cut as ``vits.host.run_frames``: the smallest graph that holds all, or the longest in chunks."""
        buckets = self._runners[part]
        fitting = smallest_bucket(frames, buckets)
        if fitting is not None:
            return (Piece(graph=f"{part}_{fitting}", start=0, first=0, end=frames),)
        longest = max(buckets)
        return tuple(
            Piece(graph=f"{part}_{longest}", start=chunk.start, first=chunk.first, end=chunk.end)
            for chunk in plan_chunks(frames, longest, reach)
        )


def seed_of(asked: Mapping[str, str]) -> int:
    """The seed a request asks for.

    Raises:
        InputError: it is no number from 0 up.
    """
    given = asked.get("seed", "0")
    if not given.isascii() or not given.isdigit() or len(given) > 9:
        raise InputError(f"seed is {given[:20]!r}", where="/sentence", hint="a number from 0 to 999999999")
    return int(given)


def _noted(name: str, run: Runner, calls: dict[str, Call]) -> Runner:
    def noted(arrays: Arrays) -> dict[str, np.ndarray]:
        outputs = dict(run(arrays))
        kept = {key: np.asarray(array) for key, array in arrays.items()}
        calls.setdefault(name, Call(graph=name, inputs=kept, outputs=outputs))
        return outputs

    return noted


def _graphs(folder: Path) -> tuple[Graph, ...]:
    found: list[Graph] = []
    for part in PARTS:
        path = folder / f"{part}.tflite"
        content = path.read_bytes()
        for signature, tensors in read_metadata(content)["signatures"].items():
            found.append(
                Graph(
                    name=f"{part}_{signature.rpartition('_')[2]}",
                    file=path.name,
                    signature=signature,
                    size_bytes=len(content),
                    tensors={
                        name: Tensor(
                            role=fact["role"],
                            dtype=fact["dtype"],
                            layout=Layout(
                                tuple(fact["torch_shape"]), tuple(fact["expanded"]), tuple(fact["permutation"])
                            ),
                        )
                        for name, fact in tensors.items()
                    },
                )
            )
    return tuple(found)


def _idle(graph: Graph, reason: str) -> Graph:
    return Graph(
        name=graph.name,
        file=graph.file,
        signature=graph.signature,
        size_bytes=graph.size_bytes,
        tensors=graph.tensors,
        idle=reason,
    )
