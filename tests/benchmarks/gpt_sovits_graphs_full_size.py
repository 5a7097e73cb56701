"""Graphs of GPT-SoVITS at full size, seeded random weights, each kind alone: what it costs to make. Prints JSON.

Run by hand; pytest does not collect it:

    python tests/benchmarks/gpt_sovits_graphs_full_size.py --out /tmp/graphs --gpt /tmp/full/v2Pro.ckpt \\
        --sovits /tmp/full/v2Pro.pth [--only ssl vocoder_stream …]

The pair is written by ``gpt_sovits_full_size.py``. HuBERT, RoBERTa and ERes2NetV2 are written here, in the form users
have them in. Each kind is converted for many voices (the style is an input), with the default recipe, in a process of
its own whose memory is sampled four times a second; `toolkit convert` does the same one after the other. At last a
made-up recording is enrolled once with the graphs and once in torch. The weights are random: agreement is that of
arithmetic, and says nothing of a voice.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
CHARACTERS = "今天气真不错我们去公园走一吧，。"
SAID = "今天天气真不错，我们去公园走一走吧。"
LISTENING = ("ssl", "code_extractor", "style_encoder", "speaker_encoder", "bert")
SINGING = ("text_encoder", "flow", "vocoder_stream", "vocoder_light_stream")
KINDS = (*SINGING, *LISTENING)


def models(folder: Path) -> dict[str, Path]:
    """The three files, written where they are missing."""
    import torch

    from toolkit.models.gpt_sovits.bert import Bert, BertConfig
    from toolkit.models.gpt_sovits.hubert import Hubert, HubertConfig

    hubert = HubertConfig(
        channels=(512,) * 7, kernels=(10, 3, 3, 3, 3, 2, 2), strides=(5, 2, 2, 2, 2, 2, 2), width=768, heads=12,
        layers=12, inner=3072, position_kernel=128, position_groups=16,
    )  # fmt: skip
    bert = BertConfig(tokens=21128, positions=512, width=1024, heads=16, layers=22, inner=4096)
    unread = {f"encoder.layer.{layer}.output.dense.bias": torch.zeros(1024) for layer in (22, 23)}
    makers: dict[str, Any] = {
        "hubert/model.pt": lambda: _seeded(Hubert(hubert)),
        "bert/model.pt": lambda: _seeded(Bert(bert)) | unread,
        "eres2netv2.ckpt": lambda: _seeded(_speaker_encoder()),
    }
    for name, make in makers.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            torch.save(make(), path)
    (folder / "hubert/config.json").write_text(json.dumps({"num_attention_heads": 12}), encoding="utf-8")
    (folder / "bert/config.json").write_text(json.dumps({"num_attention_heads": 16}), encoding="utf-8")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(CHARACTERS)]
    (folder / "bert/vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return {"ssl": folder / "hubert", "bert": folder / "bert", "sv": folder / "eres2netv2.ckpt"}


def _speaker_encoder() -> Any:
    """ERes2NetV2 w24s4ep4: 3, 4, 6, 3 blocks, four branches of 24/64 of the stage's channels, fused in the last two."""
    from toolkit.models.gpt_sovits.eres2net import SpeakerEncoder, _Block

    stages, into = [], 64
    for number, (depth, planes) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True)):
        width, blocks = planes * 24 // 64, []
        for block in range(depth):
            stride = 2 if number and not block else 1
            inner = width // 4 if number > 1 else 0
            blocks.append(_Block(into, 4 * planes, width, 4, stride, inner, stride > 1 or into != 4 * planes))
            into = 4 * planes
        stages.append(blocks)
    return SpeakerEncoder(stages, 64, (1024, 2048, 512))


def _seeded(module: Any) -> dict[str, Any]:
    """A state dict of numbers that let signals through: matrices by their fan-in, gains near one."""
    import torch

    draw, found = np.random.default_rng(0), {}
    for name, value in module.state_dict().items():
        noise = draw.standard_normal(tuple(value.shape), np.float32)
        if name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
            noise = np.abs(1 + 0.1 * noise)
        elif value.ndim < 2:
            noise = 0.1 * noise
        else:
            noise = noise / math.sqrt(np.prod(value.shape[1:]))
        found[name] = torch.from_numpy(np.asarray(noise, np.float32))
    return found


def convert(kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Converts the graphs of one kind with the default recipe and keeps them for the enrolment."""
    from converters.tflite_graph.merge import merge_signatures
    from toolkit.pipeline.artefacts import interface_facts
    from toolkit.pipeline.events import Silent, StageClock
    from toolkit.pipeline.gpt_sovits import convert_graph
    from toolkit.pipeline.gpt_sovits_precision import GraphPrecision
    from toolkit.pipeline.run_directory import building
    from toolkit.recipe.load import load

    recipe, clock, out = load("gpt-sovits", tuple(arguments.set)), StageClock(Silent()), arguments.out
    precision = GraphPrecision(recipe, _speech(kind, arguments), clock, out / "resume")
    found: dict[str, Any] = {}
    with building(out / f"run_{kind}") as directory:
        for graph in _graphs(kind, arguments, recipe):
            converted = convert_graph(graph, recipe, clock, out / "repro", directory, precision)
            rows = [row.snr_db for row in converted.parity if row.to == "tflite float32" and row.snr_db is not None]
            shipped, name = converted.shipped, converted.name
            bundle = out / "bundle"
            bundle.mkdir(exist_ok=True)
            (bundle / f"{name}.tflite").write_bytes(merge_signatures([(name, shipped.tflite)]))
            facts = {"file": f"{name}.tflite", "signature": name, "tensors": interface_facts(shipped.interface)}
            (bundle / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")
            found[name] = {
                "float_snr_db": round(min(rows), 1),
                "shipped_snr_db": round(min(converted.lost.snr_db.values()), 1),
                "float_bytes": (directory.path / f"float32/{name}.tflite").stat().st_size,
                "shipped_bytes": len(shipped.tflite),
            }
    stages = {record.name: round(record.seconds, 1) for record in clock.records}
    return {"graphs": found, "stage_seconds": stages}


def _speech(kind: str, arguments: argparse.Namespace) -> Any:
    """Sentences to choose ranges by, for what sings; nothing that listens says any."""
    from toolkit.models.gpt_sovits.calibration import SpokenSentences
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
    from toolkit.pipeline.gpt_sovits import semantic_model

    if kind in LISTENING:
        return None
    semantic = semantic_model(read_checkpoint(arguments.gpt, "gpt"), share=True)
    return SpokenSentences(semantic, read_checkpoint(arguments.sovits, "sovits"))


def _graphs(kind: str, arguments: argparse.Namespace, recipe: Any) -> Iterator[Any]:
    """The graphs of a kind at the recipe's lengths; only what they need is read."""
    from toolkit.models.gpt_sovits import listener_graphs as made
    from toolkit.models.gpt_sovits.bert import load_bert
    from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
    from toolkit.models.gpt_sovits.eres2net import load_speaker_encoder
    from toolkit.models.gpt_sovits.hubert import load_hubert
    from toolkit.models.gpt_sovits.sovits_graphs import SovitsBuckets, enrolment_graphs, sovits_graphs
    from toolkit.models.gpt_sovits.state_dict import read_state_dict

    settings = recipe.gpt_sovits
    paths = models(arguments.out) if kind in LISTENING else {}
    if kind in SINGING:
        wanted = "text" if kind == "text_encoder" else kind
        none: dict[str, tuple[Any, ...]] = {"text": (), "flow": (), "vocoder_stream": ()}
        lengths = SovitsBuckets(**{**none, wanted: getattr(settings, wanted.replace("_light", ""))})
        yield from sovits_graphs(read_checkpoint(arguments.sovits), lengths)
    elif kind == "ssl":
        yield from made.ssl_graphs(load_hubert(read_state_dict(paths["ssl"])), settings.ssl_samples)
    elif kind == "speaker_encoder":
        yield from made.speaker_graphs(load_speaker_encoder(read_state_dict(paths["sv"])), settings.speaker_frames)
    elif kind == "bert":
        yield from made.bert_graphs(load_bert(read_state_dict(paths["bert"])), settings.bert_tokens)
    else:
        lengths = SovitsBuckets(style=settings.style_frames, extractor=settings.reference_codes)
        yield from (g for g in enrolment_graphs(read_checkpoint(arguments.sovits), lengths) if g.kind == kind)


def enrol(arguments: argparse.Namespace) -> dict[str, Any]:
    """A made-up recording of ten seconds through the graphs and through torch."""
    from converters.parity import compare
    from toolkit.engine.bundle import read_bundle
    from toolkit.engine.listening import BundleNetworks
    from toolkit.engine.loading import GraphLoader
    from toolkit.engine.residency import Residency
    from toolkit.models.gpt_sovits.listener_graphs import _murmur
    from toolkit.pipeline.enrolment_torch import TorchNetworks
    from toolkit.pipeline.recording_features import RecordingFeatures

    paths = models(arguments.out)
    torch_networks = TorchNetworks(arguments.sovits, paths["ssl"], paths["bert"], paths["sv"])
    _describe(arguments.out / "bundle", torch_networks)
    residency = Residency(1 << 40)
    graphs = BundleNetworks(read_bundle(arguments.out / "bundle"), GraphLoader(residency))
    wave, arrays, seconds = _murmur(9 * 16000, 3), {}, {}
    for name, networks in (("torch", torch_networks), ("graphs", graphs)):
        started = time.perf_counter()
        arrays[name] = RecordingFeatures(networks, {})(wave, 16000, SAID, "zh")
        seconds[name] = round(time.perf_counter() - started, 2)
    expected, found = arrays["torch"], arrays["graphs"]
    same = expected["prompt_codes"] == found["prompt_codes"]
    report = compare({k: v for k, v in expected.items() if v.dtype == np.float32},
                     {k: v for k, v in found.items() if v.dtype == np.float32})  # fmt: skip
    return {
        "prompt_codes": len(same),
        "same_codes": int(same.sum()),
        "snr_db": {name: round(float(tensor.snr_db), 1) for name, tensor in report.tensors.items()},
        "seconds": seconds,
        "engine_peak_bytes": residency.peak_bytes,
    }


def _describe(folder: Path, networks: Any) -> None:
    """``engine.json`` over the graphs that were made; what speaks is described and not there."""
    from toolkit.engine.bundle import FORMAT
    from toolkit.pipeline.gpt_sovits_listeners import listening_facts
    from toolkit.pipeline.run_directory import file_sha256

    files = sorted(folder.glob("*.tflite"))
    facts = {
        "format": FORMAT, "label": "listeners", "version": "v2Pro", "model_sha256": networks.model_sha256,
        "style_sha256": "", "symbols": networks.symbols, "sample_rate_hz": 32000, "samples_per_frame": 640,
        "overlap_frames": 0, "noise_scale": 0.5,
        "semantic": {"width": 512, "layers": 24, "vocabulary": 1025, "stop_token": 1024, "text_alpha": 1.0,
                     "audio_alpha": 1.0},
        **listening_facts(networks._listeners),
        "files": {f.name: {"sha256": file_sha256(f), "size_bytes": f.stat().st_size} for f in files},
        "graphs": {f.stem: json.loads(f.with_suffix(".json").read_text()) for f in files},
    }  # fmt: skip
    (folder / "engine.json").write_text(json.dumps(facts), encoding="utf-8")


def in_process(kind: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One kind in a process of its own, with the memory it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = ["--out", str(arguments.out), "--sovits", str(arguments.sovits), "--one", kind]
    words += ["--gpt", str(arguments.gpt)] if arguments.gpt else []
    words += [word for change in arguments.set for word in ("--set", change)]
    started, peak = time.perf_counter(), 0
    child = psutil.Popen([sys.executable, __file__, *words], cwd=ROOT, stdout=subprocess.PIPE)
    while child.poll() is None:
        for one in (child, *child.children(recursive=True)):
            try:
                peak = max(peak, one.memory_info().rss)
            except psutil.NoSuchProcess:
                continue  # it ended between being listed and being asked
        time.sleep(0.25)
    said = child.stdout.read().decode()
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, words)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        **json.loads(said.strip().splitlines()[-1]),
        "wall_seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_bytes": peak,
    }


def main() -> None:
    """Writes, converts, enrols, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sovits", type=Path, required=True, help="v2Pro or v2ProPlus .pth")
    parser.add_argument("--gpt", type=Path, help=".ckpt: what sings is given its precision on sentences it says")
    parser.add_argument("--set", action="append", default=[], help="a change of the recipe, as of toolkit convert")
    parser.add_argument("--only", nargs="*", default=(*KINDS, "enrol"), choices=(*KINDS, "enrol"))
    parser.add_argument("--one", choices=(*KINDS, "enrol", "weights"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.one == "weights":
        sys.stdout.write(json.dumps({name: str(path) for name, path in models(arguments.out).items()}) + "\n")
        return
    if arguments.one:
        found = enrol(arguments) if arguments.one == "enrol" else convert(arguments.one, arguments)
        sys.stdout.write(json.dumps(found) + "\n")
        return
    if arguments.gpt is None and set(arguments.only) & set(SINGING):
        parser.error("--gpt is needed for what sings")
    if set(arguments.only) - set(SINGING):
        in_process("weights", arguments)  # by themselves: making them takes memory no conversion needs
    for kind in arguments.only:
        sys.stdout.write(json.dumps({kind: in_process(kind, arguments)}, indent=1) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
