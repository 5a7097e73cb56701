"""``toolkit voices add`` from a recording: which networks listen, and what may not be given together."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from converters.errors import InputError
from toolkit.pipeline.enrolment import check_request, enrol_recording
from toolkit.pipeline.recording_features import RecordingFeatures
from toolkit.text.front_end import LANGUAGES
from toolkit.voices.database import VoiceDatabase

_BOUND_BYTES = 3 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What the user gave; empty and ``None`` where nothing.

    Attributes:
        audio: the reference recording.
        text: what is said in it.
        language: of the text.
        sovits: SoVITS checkpoint.
        ssl: HuBERT.
        bert: BERT.
        sv: speaker encoder.
        bundle: a bundle with enrolment graphs, instead of the four before.
    """

    audio: Path | None
    text: str
    language: str
    sovits: Path | None
    ssl: Path | None
    bert: Path | None
    sv: Path | None
    bundle: Path | None

    def refuse_beside_features(self) -> None:
        """An option that would be ignored is an error.

        Raises:
            InputError: one was given beside a features file.
        """
        for field in fields(self):
            if field.name not in ("audio", "language") and getattr(self, field.name):
                raise _usage(f"--{field.name} does nothing beside --features", "leave one of the two out")

    def check(self) -> None:
        """Whether there is all that is needed.

        Raises:
            InputError: something is missing, or two ways are given at once.
        """
        if self.audio is None:
            raise _usage(
                "neither features nor a recording", "give --features FILE.npz, or --audio, --text and --sovits"
            )
        if not self.text.strip():
            raise _usage("what is said in the recording is not given", 'add --text "…", word for word')
        if self.language not in LANGUAGES:
            raise _usage(f"the language of the text is {self.language!r}", f"--language {', '.join(LANGUAGES)}")
        if self.bundle is not None:
            for name in ("sovits", "ssl", "bert", "sv"):
                if getattr(self, name) is not None:
                    raise _usage(f"--{name} does nothing beside --bundle", "its graphs are the networks")
        elif self.sovits is None or self.ssl is None:
            missing = "--sovits" if self.sovits is None else "--ssl"
            raise _usage(f"{missing} is not given", "--sovits SOVITS.pth and --ssl chinese-hubert-base, or --bundle")


def enrol_with(
    recording: Recording, database: Path, user_id: str, *, consent: str, replace: bool, threads: int
) -> tuple[str, list[str]]:
    """Makes the features of a recording and stores them.

    Args:
        recording: what the user gave.
        database: the file; made if it is not there.
        user_id: who.
        consent: the note.
        replace: overwrite another voice of that id.
        threads: of the networks.

    Returns:
        ``added``, ``unchanged`` or ``replaced``; and a line for each array that could not be made.

    Raises:
        InputError: something is missing.
        ToolError: see ``enrol_recording``, ``TorchNetworks`` and ``BundleNetworks``.
    """
    recording.check()
    check_request(user_id, consent)
    assert recording.audio is not None
    make = _maker(recording, threads)
    done = enrol_recording(
        database,
        user_id,
        recording.audio,
        make,
        text=recording.text,
        language=recording.language,
        consent=consent,
        replace=replace,
    )
    with VoiceDatabase(database) as voices:
        absent = voices.show(user_id).provenance.get("absent", {})
    return done, [f"{name} is absent: {reason}" for name, reason in absent.items()]


def _maker(recording: Recording, threads: int) -> RecordingFeatures:
    if recording.bundle is not None:
        return _bundle_maker(recording.bundle, threads)
    import torch

    from toolkit.pipeline.enrolment_torch import TorchNetworks

    assert recording.sovits is not None and recording.ssl is not None
    torch.set_num_threads(threads)
    networks = TorchNetworks(recording.sovits, recording.ssl, recording.bert, recording.sv)
    return RecordingFeatures(networks, networks.sources)


def _bundle_maker(folder: Path, threads: int) -> RecordingFeatures:
    from toolkit.engine.bundle import ENGINE_FILE, bundle_folder, read_bundle
    from toolkit.engine.listening import BundleNetworks
    from toolkit.engine.loading import GraphLoader
    from toolkit.engine.residency import Residency
    from toolkit.pipeline.run_directory import file_sha256

    inside = bundle_folder(folder)
    # HuBERT alone takes more than a sentence may; it is heard once for each voice, on the PC or while the app waits.
    loader = GraphLoader(Residency(_BOUND_BYTES), threads=threads)
    networks = BundleNetworks(read_bundle(inside), loader)
    return RecordingFeatures(networks, {ENGINE_FILE: file_sha256(inside / ENGINE_FILE)})


def _usage(message: str, hint: str) -> InputError:
    return InputError(message, code="usage/invalid", where="toolkit voices add", hint=hint)
