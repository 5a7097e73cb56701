"""Loads any Piper voice: `.onnx` with its `.json`."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from converters.errors import InputError
from toolkit.models.piper import graph as piper_graph
from toolkit.models.piper.durations import extract_durations
from toolkit.models.piper.hyperparameters import read_config
from toolkit.models.piper.weights import fold_speaker, load_into, speaker_vector
from toolkit.models.vits import parts
from toolkit.models.voice import InferenceDefaults, Voice


class _Audio(BaseModel):
    # Piper adds fields from version to version; those not used here are not judged.
    model_config = ConfigDict(extra="ignore", frozen=True)
    sample_rate: int = Field(gt=0)


class _Espeak(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    voice: str = "en-us"


class _Inference(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    noise_scale: float = 0.667
    length_scale: float = 1.0
    noise_w: float = 0.8


class _PiperJson(BaseModel):
    """The part of a Piper ``.json`` that synthesis needs."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    audio: _Audio
    espeak: _Espeak = _Espeak()
    inference: _Inference = _Inference()
    phoneme_id_map: dict[str, tuple[int, ...]]


def load_voice(onnx_path: Path | str, json_path: Path | str | None = None, speaker: int = 0) -> Voice:
    """Reads a Piper voice into the project's own modules.

    Args:
        onnx_path: the ``.onnx`` file.
        json_path: its settings; ``<onnx_path>.json`` when ``None``.
        speaker: which speaker of a multi-speaker voice; folded into the weights.

    Raises:
        InputError: a file is missing, damaged or foreign; there is no such speaker.
    """
    onnx_path = Path(onnx_path)
    json_path = Path(json_path) if json_path else onnx_path.with_name(onnx_path.name + ".json")
    settings = _read_settings(json_path)
    graph = piper_graph.read(onnx_path)
    config = read_config(graph)
    vector = speaker_vector(graph, speaker)
    tensors = graph.tensors if vector is None else fold_speaker(graph.tensors, config, vector)
    modules = parts.build(config)
    load_into(modules, tensors, str(onnx_path))
    name = onnx_path.name.removesuffix(".onnx")
    return Voice(
        name=name,
        label=name if vector is None else f"{name}, speaker {speaker}",
        sources={path.name: sha256_of(path) for path in (onnx_path, json_path)},
        config=config,
        modules=modules,
        durations=extract_durations(graph, vector),
        sample_rate_hz=settings.audio.sample_rate,
        phoneme_id_map=settings.phoneme_id_map,
        defaults=InferenceDefaults(
            noise_scale=settings.inference.noise_scale,
            length_scale=settings.inference.length_scale,
            noise_w=settings.inference.noise_w,
        ),
        language=settings.espeak.voice,
    )


def sha256_of(path: Path) -> str:
    """Digest of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_settings(path: Path) -> _PiperJson:
    try:
        settings = _PiperJson.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(
            "the voice's settings file does not exist",
            code="input/voice-missing",
            where=str(path),
            hint="a Piper voice is two files: put the .onnx.json beside the .onnx, or name it",
        ) from error
    except (ValidationError, OSError) as error:
        raise InputError(
            f"not the settings of a Piper voice: {_first_line(error)}",
            code="input/voice-damaged",
            where=str(path),
            hint="download the .onnx.json again",
        ) from error
    missing = [symbol for symbol in ("_", "^", "$") if symbol not in settings.phoneme_id_map]
    if missing:
        raise InputError(
            f"phoneme_id_map has no {', '.join(missing)}",
            code="input/voice-foreign",
            where=str(path),
            hint="download the .onnx.json again; Piper marks blank, start and end with _ ^ $",
        )
    return settings


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}"
    return str(error)
