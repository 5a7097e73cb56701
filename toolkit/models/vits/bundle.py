"""The host side of a converted voice as files beside its graphs: ``voice.json``, and ``duration.onnx`` where durations
are stochastic. With deterministic ones there is a graph ``durations.tflite`` instead, and no need for onnxruntime.

With them a converted voice speaks without torch and without the voice it was made from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from converters.errors import InputError
from toolkit.models.vits.durations import GraphDurations, OnnxDurations
from toolkit.models.vits.speech import InferenceDefaults, PartRunners, Speech
from toolkit.whole_file import whole_file

DURATION_FILE = "duration.onnx"
VOICE_FILE = "voice.json"
DURATIONS_PART = "durations"


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
    buckets: dict[Literal["encoder", "durations", "flow", "decoder"], tuple[int, ...]]
    defaults: _Defaults
    phoneme_id_map: dict[str, tuple[int, ...]]
    duration_sha256: str | None

    @field_validator("buckets")
    @classmethod
    def _complete(cls, buckets: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        missing = {"encoder", "flow", "decoder"} - set(buckets)
        if missing or not all(buckets.values()):
            raise ValueError(f"no lengths for {', '.join(sorted(missing)) or 'a part'}")
        return buckets


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
        durations: the duration predictor; a deterministic one has no graph before ``with_graphs``.
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
    durations: OnnxDurations | GraphDurations = field(repr=False)

    def with_graphs(self, runners: PartRunners) -> Host:
        """The host whose durations, where they are a graph, come from the runners given."""
        if isinstance(self.durations, OnnxDurations):
            return self
        return replace(self, durations=GraphDurations(runners=runners[DURATIONS_PART]))


def write_host(host: Host, directory: Path) -> tuple[Path, ...]:
    """Writes ``voice.json``, and ``duration.onnx`` where durations are stochastic; the same host gives the same bytes.

    Returns:
        The paths.
    """
    stochastic = host.durations.model if isinstance(host.durations, OnnxDurations) else None
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
        duration_sha256=None if stochastic is None else hashlib.sha256(stochastic).hexdigest(),
    )
    text = json.dumps(described.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    directory.mkdir(parents=True, exist_ok=True)
    contents = {} if stochastic is None else {directory / DURATION_FILE: stochastic}
    contents[directory / VOICE_FILE] = text.encode()
    for path, content in contents.items():
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
    return tuple(contents)


def load_host(directory: Path) -> Host:
    """Reads what ``write_host`` wrote.

    Raises:
        InputError: a file is missing, damaged, or of another voice.
    """
    path = directory / VOICE_FILE
    hint = "give the bundle folder of a run, as `toolkit convert` wrote it"
    try:
        described = VoiceFile.model_validate_json(path.read_bytes())
        model = None if described.duration_sha256 is None else (directory / DURATION_FILE).read_bytes()
    except OSError as error:
        raise InputError(
            "not a voice bundle: a file is missing", code="input/bundle", where=str(error.filename), hint=hint
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{path}: {'.'.join(map(str, first['loc']))}"
        raise InputError(f"not a voice bundle: {first['msg']}", code="input/bundle", where=where, hint=hint) from error
    if model is None and DURATIONS_PART not in described.buckets:
        raise InputError(
            "the voice has neither a stochastic duration predictor nor a graph of durations",
            code="input/bundle", where=f"{path}: duration_sha256", hint=hint,
        )  # fmt: skip
    if model is not None and hashlib.sha256(model).hexdigest() != described.duration_sha256:
        raise InputError(
            "the duration predictor is not the one this voice was written with",
            code="input/bundle",
            where=str(directory / DURATION_FILE),
            hint=hint,
        )
    return Host(
        durations=GraphDurations(runners={}) if model is None else OnnxDurations(model=model),
        defaults=InferenceDefaults(**described.defaults.model_dump()),
        **described.model_dump(exclude={"format", "defaults", "duration_sha256"}),
    )
