"""Graphs on demand: files are opened when a sentence needs them and stay while the memory bound allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from toolkit.engine.bundle import Bundle, GraphFact
from toolkit.engine.compiled import CompiledFile
from toolkit.engine.graphs import Graph, LiteFile
from toolkit.engine.host_memory import lends_memory
from toolkit.engine.memory import release_pages_of
from toolkit.engine.residency import Residency

# Where a delegate may run; the token loop stays on the CPU: it moves weights, it does not compute.
DELEGATED = (
    "nar_phones",
    "nar_frames",
    "text_encoder",
    "flow",
    "vocoder",
    "vocoder_stream",
    "vocoder_light",
    "vocoder_light_stream",
)
# What edits its inputs between runs.
IN_PLACE = ("t2s_step",)
# What a first load may take, in file sizes: a vocoder of 14.7 MB was measured to take 58 (float16 and int8-storage are
# widened and packed), a transformer of 80 MB in int8 206 with the caches of two lengths.
_EXPANSION = 4


class OpenFile(Protocol):
    """A file of a bundle, opened."""

    def graph(self, fact: GraphFact) -> Graph:
        """The graph of a signature."""


Opener = Callable[[Path, str, bool], OpenFile]
"""Opens a file on a delegate (empty: the CPU), with inputs that can be edited in place or not."""


class _Opened(NamedTuple):
    """What an open file is found by."""

    folder: str
    file: str
    delegate: str
    in_place: bool

    def __str__(self) -> str:
        return f"{self.file} on {self.delegate}" if self.delegate else self.file


class GraphLoader:
    """Opens files of bundles within a memory bound.

    Args:
        residency: keeps the bound.
        threads: of each interpreter.
        opener: opens a file; on LiteRT by default.
    """

    def __init__(self, residency: Residency, *, threads: int = 2, opener: Opener | None = None) -> None:
        self.residency = residency
        self._opener = opener or _lite_opener(threads)
        self._checked: set[tuple[Path, str]] = set()

    @contextmanager
    def using(self, bundle: Bundle, delegate: str = "") -> Iterator[Callable[[GraphFact], Graph]]:
        """Graphs of a bundle; each file that is asked for stays until the block ends.

        Args:
            bundle: whose graphs.
            delegate: for the kinds a delegate may run.
        """
        with ExitStack() as stack:
            opened: dict[str, Graph] = {}
            fresh: list[Path] = []

            def graph(fact: GraphFact) -> Graph:
                if fact.name not in opened:
                    where = delegate if fact.kind in DELEGATED else ""
                    # Where compiled models can be edited, prefill and step share one, and its packed weights.
                    in_place = fact.kind in IN_PLACE and not lends_memory()
                    file = stack.enter_context(
                        self.residency.using(
                            _Opened(str(bundle.folder), fact.file, where, in_place),
                            lambda: self._loaded(bundle, fact.file, where, in_place, fresh),
                            _EXPANSION * bundle.files[fact.file].size_bytes,
                            group=str(bundle.folder),
                        )
                    )
                    opened[fact.name] = file.graph(fact)
                return opened[fact.name]

            yield graph
            for path in fresh:  # it ran, so its weights are packed
                release_pages_of(path)

    def _loaded(self, bundle: Bundle, file: str, delegate: str, in_place: bool, fresh: list[Path]) -> _GraphsOfFile:
        fresh.append(bundle.folder / file)
        return _GraphsOfFile(self._open(bundle, file, delegate, in_place))

    def _open(self, bundle: Bundle, file: str, delegate: str, in_place: bool) -> OpenFile:
        known = (bundle.folder, file)
        if known in self._checked:  # its digest was right in this process; reading it all again would cost a load
            return self._opener(bundle.folder / file, delegate, in_place)
        path = bundle.checked_file(file)
        self._checked.add(known)
        return self._opener(path, delegate, in_place)


def _lite_opener(threads: int) -> Opener:
    def opened(path: Path, delegate: str, in_place: bool) -> OpenFile:
        if delegate or in_place:
            return LiteFile(path, threads=threads, delegate=delegate)
        return CompiledFile(path, threads=threads)

    return opened


class _GraphsOfFile:
    """An open file that makes each of its graphs once."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._graphs: dict[str, Graph] = {}

    def graph(self, fact: GraphFact) -> Graph:
        if fact.name not in self._graphs:
            self._graphs[fact.name] = self._file.graph(fact)
        return self._graphs[fact.name]
