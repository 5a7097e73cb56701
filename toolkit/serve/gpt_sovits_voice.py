"""A GPT-SoVITS bundle for the page: text, tokens and noise in Python; flow and vocoder again in the browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from converters.errors import InputError
from toolkit.engine.bundle import Bundle, GraphFact, read_bundle
from toolkit.engine.chunks import next_chunk
from toolkit.engine.degrade import NO_DEADLINE, Ladder
from toolkit.engine.loading import GraphLoader
from toolkit.engine.reading import read_sentences
from toolkit.engine.residency import Residency
from toolkit.engine.singing import rungs_of
from toolkit.engine.speaking import Engine, check_voice
from toolkit.pipeline.engine_speech import written_sentences
from toolkit.serve.packing import Call, Graph, Piece, Spoken, Stage, Tensor, Utterance
from toolkit.serve.recorder import Recorder
from toolkit.serve.vits_voice import seed_of
from toolkit.voices.database import VoiceDatabase

_ON_PYTHON = "Text, tokens and noise come from Python; from there on the browser goes by itself."
_VOCODERS = ("vocoder", "vocoder_stream")


class GptSovitsVoice:
    """Speaks with a bundle as an enrolled user and notes what its graphs were fed.

    Args:
        folder: the bundle.
        user_id: whose voice.
        database: where it is enrolled.
        threads: of each model.
        memory_bytes: most the process may grow.
        phones: what is said when a request asks for nothing; the phones of the voice's own reference when empty.

    Raises:
        InputError: no user.
        EngineError: the bundle is unusable, makes codes only, or belongs to another model than the voice.
        VoiceError: no such voice, or the database is unusable.
    """

    def __init__(
        self, folder: Path, *, user_id: str, database: Path, threads: int, memory_bytes: int, phones: str = ""
    ) -> None:
        if not user_id:
            raise InputError(
                "this bundle speaks as a user", where="toolkit serve", hint="give --user ID and --database"
            )
        residency = Residency(memory_bytes)
        self._bundle = read_bundle(folder)
        rung = rungs_of(self._bundle)[0]  # the CPU, and no other: a lighter vocoder would be another comparison
        with VoiceDatabase(database) as voices:
            self._voice = voices.read(user_id)
        check_voice(self._bundle, self._voice)
        self._user_id = user_id
        self._phones = phones or " ".join(str(int(phone)) for phone in self._voice.arrays["prompt_phones"])
        self._recorder = Recorder(threads, frozenset({"flow", *_VOCODERS}))
        self._loader = GraphLoader(residency, threads=threads, opener=self._recorder.open)
        self._engine = Engine(self._bundle, self._loader, Ladder((rung,), NO_DEADLINE))
        self.files = tuple(self._bundle.files)

    def speak(self, asked: Mapping[str, str]) -> Spoken:
        """Says it.

        Args:
            asked: ``phones`` or ``text``, and ``seed``.

        Raises:
            EngineError: a phone is unknown, or a sentence too long for the bundle.
            ExtraMissing: the text's language needs packages that are not installed.
        """
        seed = seed_of(asked)
        text = asked.get("text", "")
        phones = "" if text else asked.get("phones", "") or self._phones
        written = written_sentences(self._bundle, text, phones, self._voice.language, "cut5")
        self._recorder.forget()
        notes: list[str] = []
        sentences = read_sentences(self._bundle, self._loader, written, notes)
        waves: dict[int, list[np.ndarray]] = {}
        for piece in self._engine.speak(self._voice, sentences, seed=seed):
            if piece.rung != "pause":
                waves.setdefault(piece.sentence, []).append(piece.samples)
        calls = self._recorder.calls
        first: dict[str, Call] = {}
        for call in calls:
            first.setdefault(call.graph, call)
        return Spoken(
            label=f"{self._bundle.label} as {self._user_id}",
            said=text or phones,
            ways=("phones", "text"),
            on_python=" ".join((_ON_PYTHON, *(f"Note: {note}." for note in notes))),
            sample_rate_hz=self._bundle.sample_rate_hz,
            graphs=tuple(_graph(self._bundle, fact, self._idle(fact, first)) for fact in self._bundle.graphs.values()),
            calls=tuple(first.values()),
            constants={name: array for name, array in self._voice.arrays.items() if name in ("ge", "ge_text")},
            utterances=tuple(
                self._utterance(group, np.concatenate(waves[number]))
                for group, number in zip(_by_sentence(self._bundle, calls), sorted(waves), strict=True)
            ),
        )

    def _idle(self, fact: GraphFact, called: Mapping[str, Call]) -> str:
        if fact.name in called:
            return ""
        return self._recorder.refused.get(fact.name, "not used by this sentence")

    def _utterance(self, calls: Sequence[Call], audio: np.ndarray) -> Utterance:
        flow, *vocoders = calls
        frames = int(flow.inputs["mask"].sum())
        pieces: list[Piece] = []
        for call in vocoders:
            length = self._bundle.graphs[call.graph].tensors["z"].shape[2]
            done = pieces[-1].end if pieces else 0
            # A graph that holds the whole sentence needs no context; see ``Singer``.
            overlap = 0 if not done and length >= frames else self._bundle.overlap_frames
            chunk = next_chunk(done, frames, length, overlap)
            pieces.append(Piece(graph=call.graph, start=chunk.start, first=chunk.first, end=chunk.end))
        whole = Piece(graph=flow.graph, start=0, first=0, end=frames)
        hop = self._bundle.samples_per_frame
        return Utterance(
            signal=np.ascontiguousarray(flow.inputs["z_p"][:, :, :frames]),
            stages=(
                Stage(name="flow", source="z_p", target="z", hop=1, pieces=(whole,)),
                Stage(name="vocoder", source="z", target="audio", hop=hop, pieces=tuple(pieces)),
            ),
            audio=audio,
        )


def _by_sentence(bundle: Bundle, calls: Sequence[Call]) -> list[list[Call]]:
    """Flow and vocoder calls; a flow begins a sentence."""
    groups: list[list[Call]] = []
    for call in calls:
        kind = bundle.graphs[call.graph].kind
        if kind == "flow":
            groups.append([call])
        elif kind in _VOCODERS:
            groups[-1].append(call)
    return groups


def _graph(bundle: Bundle, fact: GraphFact, idle: str) -> Graph:
    return Graph(
        name=fact.name,
        file=fact.file,
        signature=fact.signature,
        size_bytes=bundle.files[fact.file].size_bytes,
        idle=idle,
        tensors={
            name: Tensor(role=tensor.role, dtype=tensor.dtype, layout=tensor.layout)
            for name, tensor in fact.tensors.items()
        },
    )
