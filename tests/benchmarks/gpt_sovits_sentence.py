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
        self.held, self.stored = {}, {}
        for name, tensor in fact.tensors.items():
            if tensor.role == "input":
                # torch has a cache as the bundle's file has it; the engine sees it with its own order of axes.
                turned = name.startswith(("k_cache_", "v_cache_"))
                shape = tensor.layout.target_shape if turned else tensor.shape
                self.stored[name] = np.zeros(shape, tensor.dtype)
                axes = np.argsort(tensor.layout.permutation) if turned else range(len(shape))
                self.held[name] = self.stored[name].transpose(tuple(axes))

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs it; an input that is not fed keeps its last value."""
        for name, value in feeds.items():
            self.held[name][...] = value
        fed = {name: array for name, array in self.stored.items() if name in self.read}
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


def sides(arguments: argparse.Namespace) -> dict[str, Callable[[int], Any]]:
    """What says a sentence with a seed and returns its times."""
    import torch

    from toolkit.bench.sentence import SentenceTimes, engine_speaker, made_sentence
    from toolkit.engine.bundle import read_bundle
    from toolkit.pipeline.torch_speech import torch_speech
    from toolkit.voices.feature_file import read_features

    torch.set_num_threads(arguments.threads)
    bundle, voice = read_bundle(arguments.bundle), read_features(arguments.voice)[0]
    said = {"codes": arguments.codes, "phones": arguments.phones, "threads": arguments.threads, "voice": voice}
    speech = torch_speech([arguments.gpt, arguments.sovits], voice)
    phones = made_sentence(bundle, arguments.phones).phones

    def torch_said(seed: int) -> SentenceTimes:
        started = time.perf_counter()
        made = speech.speak(phones, seed=seed, codes_min=arguments.codes, codes_max=arguments.codes)
        assert len(made.codes) == arguments.codes
        return SentenceTimes(whole=time.perf_counter() - started)

    models = exported([arguments.gpt, arguments.sovits], arguments.voice, lengths_of(bundle))
    return {
        "bundle": engine_speaker(bundle, **said),
        "pytorch": torch_said,
        "onnxruntime": engine_speaker(
            bundle, **said, opener=lambda path, delegate, in_place: OnnxFile(models, arguments.threads)
        ),
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
    from toolkit.bench.sentence import race_sentences

    times = race_sentences(sides(arguments), arguments.rounds)
    report: dict[str, Any] = {
        "codes": arguments.codes,
        "phones": arguments.phones,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "audio_seconds": arguments.codes / 25,
        "median_seconds": {
            name: {
                phase: round(statistics.median(getattr(one, phase) for one in of_side), 3)
                for phase, value in dataclasses.asdict(of_side[0]).items()
                if value == value  # PyTorch's phases are not told apart
            }
            for name, of_side in times.items()
        },
    }
    for other in ("pytorch", "onnxruntime"):
        ratios = [a.whole / b.whole for a, b in zip(times["bundle"], times[other], strict=True)]
        report[f"bundle_over_{other}"] = {
            "median": round(statistics.median(ratios), 3),
            "lowest": round(min(ratios), 3),
            "highest": round(max(ratios), 3),
        }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
