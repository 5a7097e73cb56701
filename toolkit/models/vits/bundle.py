"""The host side of a converted voice as two files beside its graphs: ``duration.onnx`` and ``voice.json``.

With them a converted voice speaks without torch and without the voice it was made from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from converters.errors import InputError
from toolkit.models.vits.durations import OnnxDurations
from toolkit.models.vits.speech import InferenceDefaults, Speech
from toolkit.whole_file import whole_file

DURATION_FILE = "duration.onnx"
VOICE_FILE = "voice.json"


class _Defaults(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    noise_scale: float
    length_scale: float
    noise_w: float


class VoiceFile(BaseModel):
    """``voice.json``: everything a host needs besides the graphs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    name: str
    label: str
    language: str
    sample_rate_hz: int = Field(gt=0)
    hop: int = Field(gt=0)
    flow_reach_frames: int = Field(ge=0)
    decoder_reach_frames: int = Field(ge=0)
    buckets: dict[str, tuple[int, ...]]
    defaults: _Defaults
    phoneme_id_map: dict[str, tuple[int, ...]]
    duration_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Host(Speech):
    """A converted voice without its graphs.

    Attributes:
        name: file name of the voice without its ending.
        label: what it is, for reports.
        language: espeak voice the phonemes come from.
        sample_rate_hz: sample rate of the audio.
        hop: audio samples per frame.
        flow_reach_frames: context the flow needs to each side of a chunk.
        decoder_reach_frames: context the decoder needs to each side of a chunk.
        buckets: part to the static lengths it was converted for.
        defaults: sampling settings.
        phoneme_id_map: phoneme to ids.
        durations: the duration predictor.
    """

    name: str
    label: str
    language: str
    sample_rate_hz: int
    hop: int
    flow_reach_frames: int
    decoder_reach_frames: int
    buckets: Mapping[str, tuple[int, ...]]
    defaults: InferenceDefaults
    phoneme_id_map: Mapping[str, tuple[int, ...]] = field(repr=False)
    durations: OnnxDurations = field(repr=False)


def write_host(host: Host, directory: Path) -> tuple[Path, Path]:
    """Writes ``duration.onnx`` and ``voice.json``; the same host gives the same bytes.

    Returns:
        The two paths.
    """
    described = VoiceFile(
        name=host.name,
        label=host.label,
        language=host.language,
        sample_rate_hz=host.sample_rate_hz,
        hop=host.hop,
        flow_reach_frames=host.flow_reach_frames,
        decoder_reach_frames=host.decoder_reach_frames,
        buckets=dict(host.buckets),
        defaults=_Defaults(**asdict(host.defaults)),
        phoneme_id_map=dict(host.phoneme_id_map),
        duration_sha256=hashlib.sha256(host.durations.model).hexdigest(),
    )
    text = json.dumps(described.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    directory.mkdir(parents=True, exist_ok=True)
    paths = (directory / DURATION_FILE, directory / VOICE_FILE)
    for path, content in zip(paths, (host.durations.model, text.encode()), strict=True):
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
    return paths


def load_host(directory: Path) -> Host:
    """Reads what ``write_host`` wrote.

    Raises:
        InputError: a file is missing, damaged, or of another voice.
    """
    path = directory / VOICE_FILE
    hint = "give the bundle folder of a run, as `toolkit convert` wrote it"
    try:
        described = VoiceFile.model_validate_json(path.read_bytes())
        model = (directory / DURATION_FILE).read_bytes()
    except OSError as error:
        raise InputError(
            "not a voice bundle: a file is missing", code="input/bundle", where=str(error.filename), hint=hint
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{path}: {'.'.join(map(str, first['loc']))}"
        raise InputError(f"not a voice bundle: {first['msg']}", code="input/bundle", where=where, hint=hint) from error
    if hashlib.sha256(model).hexdigest() != described.duration_sha256:
        raise InputError(
            "the duration predictor is not the one this voice was written with",
            code="input/bundle",
            where=str(directory / DURATION_FILE),
            hint=hint,
        )
    return Host(
        durations=OnnxDurations(model=model),
        defaults=InferenceDefaults(**described.defaults.model_dump()),
        **described.model_dump(exclude={"format", "defaults", "duration_sha256"}),
    )
