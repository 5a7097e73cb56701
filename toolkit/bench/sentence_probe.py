"""Child process of `toolkit.pipeline.sentence_bench`: many voices speak under a memory bound; writes JSON.

The bundle's graphs and every voice share one bound, as in an app. What is reported is measured from outside the engine:
peak resident memory (VmHWM) over that of the process before the bundle was read.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

from toolkit.bench.memory_probe import high_water_bytes


def main(arguments: list[str]) -> None:
    """Arguments: bundle, codes, phones, threads, voices, bound in bytes."""
    folder, (codes, phones, threads, voices, bound_bytes) = Path(arguments[0]), map(int, arguments[1:])
    import_module("ai_edge_litert.interpreter")  # loaded first, so that the runtime is not charged to the engine

    from toolkit.bench.sentence import made_sentence, made_voice, of_length
    from toolkit.engine.bundle import read_bundle
    from toolkit.engine.degrade import Ladder
    from toolkit.engine.loading import GraphLoader
    from toolkit.engine.residency import Residency
    from toolkit.engine.singing import rungs_of
    from toolkit.engine.speaking import Engine

    before, residency = high_water_bytes(), Residency(bound_bytes)
    bundle = of_length(read_bundle(folder), codes, phones)
    loader = GraphLoader(residency, threads=threads)
    engine, samples = Engine(bundle, loader, Ladder(rungs_of(bundle))), 0
    enrolled = [made_voice(bundle, seed) for seed in range(voices)]
    for number, voice in enumerate(enrolled):
        sentence = made_sentence(bundle, phones, number)
        samples += sum(len(piece.samples) for piece in engine.speak(voice, [sentence], seed=number))
    found = {
        "empty_bytes": before,
        "peak_bytes": high_water_bytes(),
        "evictions": residency.evictions,
        "samples": samples,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
