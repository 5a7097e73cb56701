"""``toolkit speak``: what a phone app does with a bundle, in Python: numpy around the LiteRT interpreter."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import InputError
from converters.spec import Interface, Layout, PartSpec, Runner, TensorSpec
from converters.tflite_graph.metadata import read_metadata
from converters.tflite_graph.run import tflite_runner
from toolkit.engine.bundle import bundle_folder


def speak_to_file(bundle: Path, *, text: str, phonemes: str, out: Path, threads: int, seed: int) -> str:
    """Synthesises into a WAV file; returns the line to print.

    Raises:
        InputError: no bundle there, or neither text nor phonemes given.
        ExtraMissing: ``text`` without espeak-ng.
    """
    from toolkit.models.vits.bundle import load_host

    folder = bundle_folder(bundle)
    host = load_host(folder)
    if not text and not phonemes:
        raise InputError("nothing to say", where="toolkit speak", hint="give --text or --phonemes")
    if text:
        from toolkit.data.phonemize import espeak_phonemes

        phonemes = espeak_phonemes(text, host.language)
    runners = bundle_runners(folder, threads)
    host = host.with_graphs(runners)
    started = time.perf_counter()
    wave = host.synthesise(runners, host.phoneme_ids(phonemes), seed)
    elapsed = time.perf_counter() - started
    _write_wave(out, wave, host.sample_rate_hz)
    seconds = len(wave) / host.sample_rate_hz
    factor = elapsed / seconds
    return f"{out}  {seconds:.2f} s of audio in {elapsed:.2f} s, real-time factor {factor:.2f} ({threads} threads)"


def bundle_runners(folder: Path, threads: int) -> dict[str, dict[int, Runner]]:
    """Runners by part and bucket, from the metadata each file carries.

    Raises:
        InputError: a file is missing, damaged or was not written by this toolkit.
    """
    from toolkit.models.vits.bundle import load_host

    runners: dict[str, dict[int, Runner]] = {}
    for name in load_host(folder).buckets:
        path = folder / f"{name}.tflite"
        if not path.is_file():
            raise InputError(
                "not a voice bundle: the file is missing", where=str(path), hint="give a run or its bundle/"
            )
        data = path.read_bytes()
        facts = read_metadata(data)
        if "signatures" not in facts:
            raise InputError("was not written by `toolkit convert`", where=str(path), hint="give a run or its bundle/")
        for signature, tensors in facts["signatures"].items():
            bucket = int(signature.rpartition("_")[2])
            interface = _interface(name, tensors)
            runners.setdefault(name, {})[bucket] = tflite_runner(
                data, interface, num_threads=threads, signature=signature
            )
    return runners


def _interface(name: str, tensors: dict[str, Any]) -> Interface:
    layouts = {
        key: Layout(tuple(t["torch_shape"]), tuple(t["expanded"]), tuple(t["permutation"]))
        for key, t in tensors.items()
    }
    specs = {
        key: TensorSpec(name=key, shape=tuple(t["torch_shape"]), dtype=t["dtype"], axes=tuple(t["axes"]))
        for key, t in tensors.items()
    }
    inputs = tuple(spec for key, spec in specs.items() if tensors[key]["role"] == "input")
    outputs = tuple(spec for key, spec in specs.items() if tensors[key]["role"] == "output")
    return Interface(spec=PartSpec(name=name, inputs=inputs, outputs=outputs), layouts=layouts)


def _write_wave(out: Path, wave: np.ndarray, sample_rate_hz: int) -> None:
    import wave as wav

    pcm = (np.clip(wave, -1.0, 1.0) * 32767.0).astype("<i2")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.partial")
    with wav.open(str(temporary), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes(pcm.tobytes())
    temporary.replace(out)
