"""One whole sentence, text to sound: the bundle against PyTorch and onnxruntime in float32. Prints JSON.

Run by hand, on a quiet machine; pytest does not collect it:

    python tests/benchmarks/gpt_sovits_sentence.py GPT.ckpt SOVITS.pth VOICE.npz RUN/bundle --codes 75

All three sides say the same number of codes (the stop token is held back, 25 codes are a second of sound) on the same
number of threads, taking turns within a round; the ratios are medians over the rounds. PyTorch runs the sentence's own
lengths with a key-value cache, as upstream does. onnxruntime runs the graphs of the bundle, exported from torch, with
all its optimisations, under the engine's own loop; its inputs are handed over without copies.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


class OnnxGraph:
    """A graph of a bundle as an onnxruntime session, with inputs that stay where they are."""

    def __init__(self, fact: Any, model: Any, threads: int) -> None:
        import onnxruntime

        self.fact = fact
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.names = [value.name for value in self.session.get_outputs()]
        self.read = {value.name for value in self.session.get_inputs()}
        self.held = {
            name: np.zeros(tensor.shape, tensor.dtype)
            for name, tensor in fact.tensors.items()
            if tensor.role == "input"
        }

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs it; an input that is not fed keeps its last value."""
        for name, value in feeds.items():
            self.held[name][...] = value
        fed = {name: array for name, array in self.held.items() if name in self.read}
        return dict(zip(self.names, self.session.run(self.names, fed), strict=True))

    def edit(self, name: str, change: Callable[[np.ndarray], None]) -> None:
        """Lets ``change`` write into an input."""
        change(self.held[name])


class OnnxFile:
    """All graphs, by name."""

    def __init__(self, models: dict[str, Any], threads: int) -> None:
        self.models, self.threads = models, threads

    def graph(self, fact: Any) -> OnnxGraph:
        """The graph of a fact."""
        return OnnxGraph(fact, self.models[fact.name], self.threads)


def exported(paths: list[Path], voice: Path, lengths: Any) -> dict[str, Any]:
    """ONNX graphs of the pair at the lengths of a bundle."""
    from converters.torch_to_onnx import export
    from toolkit.pipeline.gpt_sovits import pair_graphs, read_pair, semantic_model
    from toolkit.voices.feature_file import read_features

    pair = read_pair(paths)
    made = pair_graphs(pair, semantic_model(pair.gpt), lengths, read_features(voice)[0], 0)
    return {graph.name: export(graph.module, graph.spec) for graph in made}


def lengths_of(bundle: Any) -> Any:
    """The bundle's buckets, as a recipe gives them."""
    from toolkit.recipe.schema import GptSovits

    def shapes(kind: str) -> list[Any]:
        return [graph.tensors for graph in bundle.of_kind(kind)]

    return GptSovits(
        prefill=tuple((t["phones"].shape[1], t["prompts"].shape[1]) for t in shapes("t2s_prefill")),
        cache_rows=tuple(graph.length for graph in bundle.of_kind("t2s_step")),
        text=tuple((t["codes"].shape[1], t["phones"].shape[1]) for t in shapes("text_encoder")),
        flow=tuple(graph.length for graph in bundle.of_kind("flow")),
        vocoder_stream=tuple(t["z"].shape[2] for t in shapes("vocoder_stream")),
        text_features=any("bert" in t for t in shapes("t2s_prefill")),
    )


def sides(arguments: argparse.Namespace, phones: np.ndarray) -> dict[str, Callable[[int], dict[str, float]]]:
    """What says a sentence with a seed and returns seconds by phase."""
    import torch

    from toolkit.engine.bundle import read_bundle
    from toolkit.engine.degrade import Ladder, Patience
    from toolkit.engine.loading import GraphLoader
    from toolkit.engine.residency import Residency
    from toolkit.engine.singing import rungs_of
    from toolkit.engine.speaking import Engine, Sentence, SpeechReport
    from toolkit.pipeline.torch_speech import torch_speech
    from toolkit.voices.feature_file import read_features

    torch.set_num_threads(arguments.threads)
    found = read_bundle(arguments.bundle)
    facts = dataclasses.replace(found.semantic, steps_min=arguments.codes, steps_max=arguments.codes)
    bundle = dataclasses.replace(found, semantic=facts)
    voice = read_features(arguments.voice)[0]
    never = Patience(deadline_factor=1e9)

    def engine(opener: Any = None) -> Callable[[int], dict[str, float]]:
        loader = GraphLoader(Residency(1 << 40), threads=arguments.threads, opener=opener)
        speaker = Engine(bundle, loader, Ladder(rungs_of(bundle), never))

        def said(seed: int) -> dict[str, float]:
            report, started = SpeechReport(), time.perf_counter()
            pieces = list(speaker.speak(voice, [Sentence(phones=phones, text="")], seed=seed, report=report))
            whole = time.perf_counter() - started
            assert report.codes == arguments.codes, report.codes
            assert sum(len(piece.samples) for piece in pieces) > 1280 * arguments.codes
            known = report.prefill_seconds + report.step_seconds + report.acoustic_seconds
            return {
                "whole": whole,
                "prefill": report.prefill_seconds,
                "steps": report.step_seconds,
                "text encoder and flow": report.acoustic_seconds,
                "vocoder": whole - known,
            }

        return said

    speech = torch_speech([arguments.gpt, arguments.sovits], voice)

    def torch_said(seed: int) -> dict[str, float]:
        started = time.perf_counter()
        made = speech.speak(phones, seed=seed, codes_min=arguments.codes, codes_max=arguments.codes)
        assert len(made.codes) == arguments.codes
        return {"whole": time.perf_counter() - started}

    models = exported([arguments.gpt, arguments.sovits], arguments.voice, lengths_of(bundle))
    return {
        "bundle": engine(),
        "pytorch": torch_said,
        "onnxruntime": engine(lambda path, delegate, in_place: OnnxFile(models, arguments.threads)),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gpt", type=Path)
    parser.add_argument("sovits", type=Path)
    parser.add_argument("voice", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--codes", type=int, default=75)
    parser.add_argument("--phones", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    phones = np.random.default_rng(0).integers(3, 300, arguments.phones).astype(np.int32)
    speakers = sides(arguments, phones)
    for say in speakers.values():
        say(0)  # loads, packs weights
    times: dict[str, list[dict[str, float]]] = {name: [] for name in speakers}
    for seed in range(arguments.rounds):
        for name, say in speakers.items():
            times[name].append(say(seed))
    report: dict[str, Any] = {
        "codes": arguments.codes,
        "phones": arguments.phones,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "audio_seconds": arguments.codes / 25,
        "median_seconds": {
            name: {phase: round(statistics.median(t[phase] for t in of_side), 3) for phase in of_side[0]}
            for name, of_side in times.items()
        },
    }
    for other in ("pytorch", "onnxruntime"):
        ratios = [a["whole"] / b["whole"] for a, b in zip(times["bundle"], times[other], strict=True)]
        report[f"bundle_over_{other}"] = {
            "median": round(statistics.median(ratios), 3),
            "lowest": round(min(ratios), 3),
            "highest": round(max(ratios), 3),
        }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
