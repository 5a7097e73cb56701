"""The project's own file of a VITS voice: one ``.safetensors`` whose header says what its parts are.

The header's metadata holds, as JSON under ``flowlite_voice``, the kind and every size of each part, the phoneme table,
the sample rate, and whose student the voice is. A stochastic duration predictor is in the file as the bytes of its
ONNX graph. A file may come from anywhere: sizes are bounded, parts are built without memory and tried on shapes alone
before any weight is taken, and every weight must be there, fit and be finite.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Final, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from torch import Tensor, nn

from converters import frameworks
from converters.errors import InputError
from toolkit.errors import CheckpointError
from toolkit.models.safetensors_file import SafetensorsFile, read_safetensors, write_safetensors
from toolkit.models.vits import parts
from toolkit.models.vits.config import DurationsConfig, EncoderConfig, FlowConfig, VitsConfig
from toolkit.models.vits.decoders import DECODERS, kind_of_decoder
from toolkit.models.vits.durations import INPUT_NAMES, OUTPUT_NAME, OnnxDurations
from toolkit.models.voice import InferenceDefaults, Teacher, TorchDurations, Voice

SUFFIX: Final = ".safetensors"
METADATA_KEY: Final = "flowlite_voice"
ONNX_TENSOR: Final = "durations.onnx"
_KINDS: Final[dict[str, dict[str, type[Any] | None]]] = {
    "encoder": {"transformer": EncoderConfig},
    "durations": {"stochastic": None, "deterministic": DurationsConfig},
    "flow": {"coupling": FlowConfig},
    "decoder": {kind.name: kind.config for kind in DECODERS},
}
_LARGEST_SIZE, _LONGEST_LIST, _MOST_WEIGHTS = 1 << 16, 64, 1 << 30
_COUNTS: Final = ("layers", "couplings", "blocks", "stages")
"""Sizes that say how often something is built, and not how large it is."""
_MAY_BE_EMPTY: Final = ("stages.blocks", "stages.dilations")
"""A light decoder's stage need not have residual blocks."""
_TRIED_LENGTH: Final = 64
_LEFT_OUT: Final = {"encoder": ("attention",), "flow": ("gates",), "decoder": ("widths", "inners")}
"""Sizes that are not in the header where they are ``None``: files from before they were there read, and stay the same.
"""
_SHA256: Final = r"^[0-9a-f]{64}$"
_NAME: Final = r"^\w[\w.,+ -]{0,99}$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Defaults(_Strict):
    noise_scale: float = Field(ge=0.0, le=10.0)
    length_scale: float = Field(gt=0.0, le=10.0)
    noise_w: float = Field(ge=0.0, le=10.0)


class _Teacher(_Strict):
    name: str = Field(pattern=_NAME)
    sources: dict[str, str]
    float32_bytes: int = Field(gt=0)


class VoiceHeader(_Strict):
    """What the header says. Each part is ``kind`` and the fields of that kind's sizes in ``vits.config``."""

    format: Literal[1] = 1
    name: str = Field(pattern=_NAME)
    label: str = Field(min_length=1, max_length=200)
    language: str = Field(pattern=r"^[\w-]{1,40}$")
    sample_rate_hz: int = Field(ge=4000, le=192000)
    defaults: _Defaults
    phoneme_id_map: dict[str, tuple[int, ...]]
    encoder: dict[str, Any]
    durations: dict[str, Any]
    flow: dict[str, Any]
    decoder: dict[str, Any]
    teacher: _Teacher | None = None

    @field_validator("phoneme_id_map")
    @classmethod
    def _has_marks(cls, table: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        missing = [symbol for symbol in ("_", "^", "$") if not table.get(symbol)]
        if missing:
            raise ValueError(f"no ids for {', '.join(missing)} (blank, start, end)")
        return table


def write_voice(path: Path, voice: Voice) -> Path:
    """Writes a voice whole or not at all; the same voice gives the same bytes.

    Args:
        path: ends in ``.safetensors``.
        voice: what to write; its ``sources`` are not: they are the files it was made of, ``teacher`` says whose.
    """
    tensors: dict[str, Tensor] = {}
    for name in voice.part_names:
        tensors |= dict(voice.modules[name].state_dict())
    if isinstance(voice.durations, OnnxDurations):
        tensors[ONNX_TENSOR] = torch.frombuffer(bytearray(voice.durations.model), dtype=torch.uint8)
    described = header_of(voice).model_dump(mode="json")
    text = json.dumps(described, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return write_safetensors(path, tensors, {METADATA_KEY: text})


def header_of(voice: Voice) -> VoiceHeader:
    """What a voice's file says of it."""
    config, teacher = voice.config, voice.teacher
    return VoiceHeader(
        name=voice.name,
        label=voice.label,
        language=voice.language,
        sample_rate_hz=voice.sample_rate_hz,
        defaults=_Defaults(**asdict(voice.defaults)),
        phoneme_id_map=dict(voice.phoneme_id_map),
        encoder={"kind": "transformer", **_told(config.encoder, "encoder")},
        durations={"kind": "stochastic"}
        if config.durations is None
        else {"kind": "deterministic", **asdict(config.durations)},
        flow={"kind": "coupling", **_told(config.flow, "flow")},
        decoder={"kind": kind_of_decoder(config.generator).name, **_told(config.generator, "decoder")},
        teacher=None if teacher is None else _Teacher(**{**asdict(teacher), "sources": dict(teacher.sources)}),
    )


def _told(config: Any, part: str) -> dict[str, Any]:
    return {name: size for name, size in asdict(config).items() if size is not None or name not in _LEFT_OUT[part]}


def read_voice(path: Path | str) -> Voice:
    """Reads a voice from an untrusted file; nothing of it is run.

    Raises:
        InputError: missing, damaged, of another kind, or its parts do not fit together.
    """
    path = Path(path)
    try:
        stored = read_safetensors(path)
    except CheckpointError as error:
        missing = error.code == "checkpoint/not-found"
        raise InputError(
            error.message, code="input/voice-missing" if missing else "input/voice-damaged", where=str(path),
            hint="give a voice file of `toolkit distil`, or a Piper .onnx",
        ) from error  # fmt: skip
    header = _header(stored, path)
    config = VitsConfig(
        encoder=_sizes(header, "encoder", path),
        flow=_sizes(header, "flow", path),
        generator=_sizes(header, "decoder", path),
        durations=_sizes(header, "durations", path),
    )
    _check_together(header, config, path)
    modules = _filled(config, stored.tensors, path)
    return Voice(
        name=header.name,
        label=header.label,
        sources={path.name: stored.sha256},
        config=config,
        modules=modules,
        durations=TorchDurations(module=modules["durations"])
        if config.durations is not None
        else _stochastic(stored.tensors, path),
        sample_rate_hz=header.sample_rate_hz,
        phoneme_id_map=header.phoneme_id_map,
        defaults=InferenceDefaults(**header.defaults.model_dump()),
        language=header.language,
        teacher=None if header.teacher is None else Teacher(**header.teacher.model_dump()),
    )


def _header(stored: SafetensorsFile, path: Path) -> VoiceHeader:
    text = stored.metadata.get(METADATA_KEY)
    if text is None:
        raise InputError(
            f"its header does not describe a voice ({METADATA_KEY} is missing)", code="input/voice-foreign",
            where=str(path), hint="give a voice file of `toolkit distil`; weights of other models convert as modules",
        )  # fmt: skip
    try:
        return VoiceHeader.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise _unfit(f"{'.'.join(map(str, first['loc'])) or 'header'}: {first['msg']}", path) from error


def _sizes(header: VoiceHeader, part: str, path: Path) -> Any:
    """The sizes of a part as its kind's dataclass; ``None`` for a kind without any."""
    told = dict(getattr(header, part))
    kind, kinds = told.pop("kind", None), _KINDS[part]
    if not isinstance(kind, str) or kind not in kinds:
        raise InputError(
            f"{part}: kind is {str(kind)[:40]!r}, this version knows {', '.join(kinds)}", code="input/voice-foreign",
            where=str(path), hint="convert it with the version of the toolkit that wrote it, or a newer one",
        )  # fmt: skip
    config = kinds[kind]
    expected = set() if config is None else {field.name for field in fields(config)}
    told = dict.fromkeys(expected & set(_LEFT_OUT.get(part, ()))) | told
    odd = expected ^ set(told)
    if odd:
        raise _unfit(f"{part}.{min(odd)[:40]}: {'missing' if min(odd) in expected else 'not a size of ' + kind}", path)
    if config is None:
        return None
    try:
        # From JSON text, where a list may be a tuple and everything else is strict.
        found = TypeAdapter(config).validate_json(json.dumps(told), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise _unfit(f"{part}.{'.'.join(map(str, first['loc']))}: {first['msg']}", path) from error
    _check_bounds(found, part, path)
    return found


def _check_bounds(value: Any, where: str, path: Path) -> None:
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            _check_bounds(getattr(value, field.name), f"{where}.{field.name}", path)
    elif isinstance(value, tuple):
        if not (0 if where.endswith(_MAY_BE_EMPTY) else 1) <= len(value) <= _LONGEST_LIST:
            raise _unfit(f"{where}: {len(value)} entries, between 1 and {_LONGEST_LIST} are possible", path)
        for each in value:
            _check_bounds(each, where, path)
    elif isinstance(value, int) and not isinstance(value, bool):
        # Only a padding may be 0; what else must not is found when the part is tried.
        limit = _LONGEST_LIST if where.endswith(_COUNTS) else _LARGEST_SIZE
        if not 0 <= value <= limit:
            raise _unfit(f"{where}: {value} is not between 0 and {limit}", path)
    elif isinstance(value, float) and not 0.0 <= value <= 1e6:
        raise _unfit(f"{where}: {value} is not between 0 and 1,000,000", path)


def _check_together(header: VoiceHeader, config: VitsConfig, path: Path) -> None:
    ids = [number for numbers in header.phoneme_id_map.values() for number in numbers]
    if not all(0 <= number < config.encoder.vocabulary for number in ids):
        raise _unfit(
            f"phoneme_id_map: ids from {min(ids)} to {max(ids)} for {config.encoder.vocabulary} phonemes", path
        )
    together = {
        "flow.channels and encoder.inter": (config.flow.channels, config.encoder.inter),
        "decoder.channels and flow.channels": (config.generator.channels, config.flow.channels),
    }
    if config.durations is not None:
        together["durations.channels and encoder.hidden"] = (config.durations.channels, config.encoder.hidden)
    for what, (one, other) in together.items():
        if one != other:
            raise _unfit(f"{what} are {one} and {other}, and must be equal", path)


def _filled(config: VitsConfig, tensors: Mapping[str, Tensor], path: Path) -> dict[str, nn.Module]:
    modules = _tried(config, path)
    wanted = {name: value.shape for module in modules.values() for name, value in module.state_dict().items()}
    if sum(shape.numel() for shape in wanted.values()) > _MOST_WEIGHTS:
        raise _unfit("its sizes ask for more than a thousand million weights", path)
    surplus = set(tensors) - set(wanted) - ({ONNX_TENSOR} if config.durations is None else set())
    if surplus:
        raise _unfit(f"tensor {min(surplus)[:80]!r} belongs to no part", path)
    for name, shape in wanted.items():
        value = tensors.get(name)
        if value is None or value.shape != shape or value.dtype != torch.float32:
            found = "missing" if value is None else f"{value.dtype} of shape {list(value.shape)}".removeprefix("torch.")
            raise _unfit(f"tensor {name!r} is {found}, its part wants float32 of shape {list(shape)}", path)
        if not bool(value.isfinite().all()):
            raise _unfit(f"tensor {name!r} has values that are not finite", path)
    for module in modules.values():
        module.load_state_dict({name: tensors[name] for name in module.state_dict()}, assign=True)
        module.eval().requires_grad_(False)
    return modules


def _tried(config: VitsConfig, path: Path) -> dict[str, nn.Module]:
    """The parts without weights, each run once on shapes alone: it takes no memory and no time, whatever the sizes."""
    part = "parts"
    try:
        with torch.device("meta"), torch.inference_mode():
            modules = parts.build(config)
            for part, module in modules.items():
                spec = parts.spec(config, part, _TRIED_LENGTH)
                dtypes = {"int32": torch.int32, "float32": torch.float32}
                found = module(*(torch.zeros(tensor.shape, dtype=dtypes[tensor.dtype]) for tensor in spec.inputs))
                for tensor, output in zip(spec.outputs, found if isinstance(found, tuple) else (found,), strict=True):
                    if tuple(output.shape) != tensor.shape:
                        raise ValueError(f"{tensor.name} comes out as {list(output.shape)}, not {list(tensor.shape)}")
    except (RuntimeError, ValueError, ArithmeticError, IndexError, KeyError, TypeError) as error:
        message = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise _unfit(f"{part}: its sizes do not fit together: {message}", path) from error
    return modules


def _stochastic(tensors: Mapping[str, Tensor], path: Path) -> OnnxDurations:
    found = tensors.get(ONNX_TENSOR)
    if found is None or found.dtype != torch.uint8 or found.ndim != 1 or not len(found):
        raise _unfit(f"{ONNX_TENSOR} is {'missing' if found is None else 'not bytes'}: durations are stochastic", path)
    data, onnx = found.numpy().tobytes(), frameworks.onnx()
    try:
        graph = onnx.load_model_from_string(data)
        onnx.checker.check_model(graph)
    except Exception as error:  # protobuf and onnx each raise their own
        raise _unfit(f"{ONNX_TENSOR} is no ONNX graph ({type(error).__name__})", path) from error
    names = tuple(each.name for each in graph.graph.input), tuple(each.name for each in graph.graph.output)
    if names != (INPUT_NAMES, (OUTPUT_NAME,)):
        raise _unfit(f"{ONNX_TENSOR} takes {', '.join(names[0])[:80]} and gives {', '.join(names[1])[:80]}", path)
    return OnnxDurations(model=data)


def _unfit(message: str, path: Path) -> InputError:
    return InputError(
        message,
        code="input/voice-damaged",
        where=str(path),
        hint="copy the file again, or make it again: toolkit distil",
    )
