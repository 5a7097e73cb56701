"""``toolkit bench BUNDLE``: a whole sentence with a GPT-SoVITS bundle, and what many voices hold in memory."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.bench import machine
from toolkit.bench.guard import Parent, guarded, seconds_for
from toolkit.bench.memory import in_child
from toolkit.bench.sentence import CODES_PER_SECOND, SentenceTimes, engine_speaker, of_length, race_sentences
from toolkit.bench.stats import paired_ratio
from toolkit.engine.bundle import read_bundle

PHASES = ("whole", "first_audio", "prefill", "steps", "acoustics", "vocoder")
_SECONDS_A_CODE = 1.0  # 25 times slower than the sound lasts: slower than any processor this is for
_TITLES = ("whole", "1st audio", "prefill", "steps", "enc+flow", "vocoder")


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceBench:
    """Times of the same sentence with several bundles, round by round.

    Attributes:
        codes: length of the sentence, 25 codes a second.
        threads: of each interpreter.
        times: rounds of each bundle; the first is what the others are compared with.
        memory: for each bundle, what the probe found.
        voices: how many spoke there.
        bound_bytes: bound they spoke under.
        where: the machine.
    """

    codes: int
    threads: int
    times: dict[str, list[SentenceTimes]]
    memory: dict[str, dict[str, int]]
    voices: int
    bound_bytes: int
    where: str

    def medians(self, name: str) -> dict[str, float]:
        """Median seconds of each phase."""
        return {p: statistics.median(getattr(one, p) for one in self.times[name]) for p in PHASES}

    def ratios(self) -> dict[str, tuple[float, float, float]]:
        """Whole sentence over the first bundle's, with its 95 % interval, by bundle."""
        baseline, *others = self.times
        base = [one.whole for one in self.times[baseline]]
        return {name: paired_ratio(base, [one.whole for one in self.times[name]]) for name in others}

    def grown_bytes(self, name: str) -> int:
        """What a process that does nothing else held at most over what it held before the bundle was read."""
        return self.memory[name]["peak_bytes"] - self.memory[name]["empty_bytes"]

    def as_json(self) -> dict[str, Any]:
        """All numbers."""
        return {
            "codes": self.codes,
            "audio_seconds": self.codes / CODES_PER_SECOND,
            "threads": self.threads,
            "where": self.where,
            "seconds": {name: [dataclasses.asdict(one) for one in of] for name, of in self.times.items()},
            "median_seconds": {name: self.medians(name) for name in self.times},
            "ratios": {name: dict(zip(("median", "low", "high"), r, strict=True)) for name, r in self.ratios().items()},
            "voices": self.voices,
            "bound_bytes": self.bound_bytes,
            "grown_bytes": {name: self.grown_bytes(name) for name in self.memory},
            "evictions": {name: found["evictions"] for name, found in self.memory.items()},
        }

    def as_text(self) -> str:
        """A table, then ratios and memory."""
        audio, rounds = self.codes / CODES_PER_SECOND, len(next(iter(self.times.values())))
        lines = [
            f"{audio:g} s of sound ({self.codes} codes), {self.threads} threads, seconds, medians of {rounds} rounds; "
            "made-up voice and phones",
            f"{'bundle':<34}" + "".join(f"{title:>10}" for title in _TITLES) + f"{'RTF':>7}",
        ]
        for name in self.times:
            found = self.medians(name)
            row = "".join(f"{found[phase]:>10.3f}" for phase in PHASES)
            lines.append(f"{name[-33:]:<34}{row}{found['whole'] / audio:>7.2f}")
        baseline = next(iter(self.times))
        for name, (ratio, low, high) in self.ratios().items():
            lines.append(f"{name} over {baseline}: {ratio:.3f} (95 % interval {low:.3f} to {high:.3f})")
        for name, found in self.memory.items():
            lines.append(
                f"{name}: {self.voices} voice(s) under a bound of {self.bound_bytes / 2**20:.0f} MiB: the process grew "
                f"by at most {self.grown_bytes(name) / 2**20:.0f} MiB, {found['evictions']} eviction(s)"
            )
        return "\n".join([*lines, f"where: {self.where}"])


def bench_bundles(
    folders: Sequence[Path],
    *,
    codes: int,
    phones: int,
    threads: int,
    rounds: int,
    voices: int,
    bound_bytes: int,
    patience_seconds: float | None = None,
    on_progress: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> SentenceBench:
    """Measures bundles that take turns, then each one's memory in a process of its own.

    Args:
        folders: bundles.
        codes: length of the sentence.
        phones: of the sentence.
        threads: of each interpreter.
        rounds: sentences of each bundle that count.
        voices: how many speak while memory is measured.
        bound_bytes: bound they speak under.
        patience_seconds: of the first sentences of all bundles together; by size and length when left out.
        on_progress: told of what is done.

    Raises:
        EngineError: a bundle is damaged.
        BenchError: a bundle says no such sentence, crashes LiteRT or is not done with it in time, or the memory probe
            failed.
    """
    total = rounds + 1 + len(folders)
    named = named_folders(folders)
    bundles = {name: of_length(read_bundle(folder), codes, phones) for name, folder in named.items()}

    def race(ready: Parent) -> dict[str, list[SentenceTimes]]:
        speakers = {
            name: engine_speaker(bundle, codes=codes, phones=phones, threads=threads)
            for name, bundle in bundles.items()
        }

        def told(done: int, of: int) -> None:
            if done == 1:
                ready()
            ready.tell(done, total, "sentences")

        return race_sentences(speakers, rounds, told)

    # LiteRT trusts its files, and a digest only says that they are those which were written: damage before that, or an
    # operator this runtime gets wrong, ends a process. It is not to be this one.
    sizes = [sum(file.size_bytes for file in bundle.files.values()) for bundle in bundles.values()]
    limit = patience_seconds or sum(seconds_for(size) + _SECONDS_A_CODE * codes for size in sizes)
    times = guarded(race, seconds=limit, where=", ".join(named), on_news=on_progress)
    memory = {}
    for number, (name, folder) in enumerate(named.items()):
        memory[name] = in_child("toolkit.bench.sentence_probe", folder, codes, phones, threads, voices, bound_bytes)
        on_progress(rounds + 2 + number, total, "memory")
    return SentenceBench(
        codes=codes, threads=threads, times=times, memory=memory, voices=voices, bound_bytes=bound_bytes,
        where=machine.where(),
    )  # fmt: skip


def named_folders(folders: Sequence[Path]) -> dict[str, Path]:
    """Each folder by a name of its own, numbered where it was given before: a bundle raced with itself shows noise."""
    names = [str(folder) for folder in folders]
    unique = [
        name if names.index(name) == at else f"{name} ({names[: at + 1].count(name)})" for at, name in enumerate(names)
    ]
    return dict(zip(unique, folders, strict=True))
