"""From a run or a bundle to a server that is ready."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from toolkit.engine.bundle import is_bundle
from toolkit.errors import ServeError
from toolkit.serve.litertjs import VERSION, litertjs_files
from toolkit.serve.packing import Spoken, pack
from toolkit.serve.server import PageServer
from toolkit.serve.site import site_of

_VITS_FILE = "voice.json"


class Voice(Protocol):
    """A bundle that speaks; ``files`` are its ``.tflite`` files."""

    files: tuple[str, ...]

    def speak(self, asked: dict[str, str]) -> Spoken:
        """Says what is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSettings:
    """How Python speaks.

    Attributes:
        threads: of each interpreter.
        phones: said when the page asks for nothing: phonemes of a VITS voice, phones of a GPT-SoVITS one.
        user_id: GPT-SoVITS: whose voice.
        database: GPT-SoVITS: where it is enrolled.
        memory_bytes: GPT-SoVITS: most the process may grow.
    """

    threads: int = 2
    phones: str = ""
    user_id: str = ""
    database: Path = field(default=Path("voices.sqlite3"))
    memory_bytes: int = 2 << 30


def open_page(given: Path, *, litertjs: Path, port: int, settings: VoiceSettings) -> PageServer:
    """A server for a run's or a bundle's page; ``serve_forever`` starts it.

    Args:
        given: a run directory, its ``index.html`` or ``results.json``, or a bundle.
        litertjs: what was given to npm's ``--prefix``.
        port: 0 takes a free one.
        settings: how Python speaks.

    Raises:
        ServeError: nothing there that speaks; or the port is taken.
        ExtraMissing: LiteRT.js is not there, or another one.
        InputError: the voice is damaged, or no user given.
        EngineError: the bundle is damaged, or makes no sound.
        VoiceError: no such user.
    """
    bundle, run = bundle_of(given)
    files = litertjs_files(litertjs)
    voice = _voice(bundle, settings)
    site = site_of(bundle, voice.files, run, files)
    more = {"litertjs": VERSION, "report": "/report/index.html" if "/report/index.html" in site.files else ""}
    return PageServer(site, lambda asked: pack(voice.speak(asked), more), port)


def bundle_of(given: Path) -> tuple[Path, Path | None]:
    """The bundle and, where it is in one, the run directory.

    Raises:
        ServeError: neither a run nor a bundle that speaks.
    """
    given = given.parent if given.name in ("index.html", "results.json", "report.md") else given
    for folder in (given / "bundle", given):
        if is_bundle(folder) or (folder / _VITS_FILE).is_file():
            run = folder.resolve().parent
            return folder, run if folder.resolve().name == "bundle" and (run / "manifest.json").is_file() else None
    raise ServeError(
        "no bundle that speaks: neither voice.json (a VITS voice) nor engine.json (GPT-SoVITS)"
        if given.is_dir()
        else "no such directory",
        code="serve/no-bundle",
        where=str(given),
        hint="give a run of `toolkit convert` on a voice, or its bundle/",
    )


def _voice(bundle: Path, settings: VoiceSettings) -> Voice:
    if is_bundle(bundle):
        from toolkit.serve.gpt_sovits_voice import GptSovitsVoice

        return GptSovitsVoice(
            bundle,
            user_id=settings.user_id,
            database=settings.database,
            threads=settings.threads,
            memory_bytes=settings.memory_bytes,
            phones=settings.phones,
        )
    from toolkit.serve.vits_voice import VitsVoice

    return VitsVoice(bundle, threads=settings.threads, phonemes=settings.phones)
