"""What is to be converted: a voice of several parts, or any single model."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import yaml

from converters.errors import InputError
from converters.spec import PartSpec, TensorSpec
from toolkit.pipeline.origin import RANDOM_ORIGIN, origin_beside
from toolkit.pipeline.run_directory import file_sha256
from toolkit.results import Origin

if TYPE_CHECKING:
    from toolkit.models.voice import Voice

Kind = Literal["voice", "model"]
_DECLARATION = re.compile(
    r"^(?P<name>[A-Za-z_]\w*):(?P<shape>\d+(?:x\d+)*)(?::(?P<dtype>\w+))?(?::(?P<low>-?\d+)\.\.(?P<high>-?\d+))?$"
)
_FLOAT_SPREAD = 1.0
VOICE_SUFFIX = ".safetensors"
"""Of the project's own voice files; see ``toolkit.models.voice_file``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked to convert.

    Attributes:
        model: path, ``package.module:factory`` or empty for the default voice.
        inputs: ``name:shape[:dtype[:low..high]]`` declarations.
        spec: YAML file with the same declarations.
        probe: ``.npz`` of real inputs.
        random_voice: use the seeded voice of random weights.
        teacher: the voice a student's file was made of, where it cannot be found by itself.
    """

    model: str = ""
    inputs: tuple[str, ...] = ()
    spec: Path | None = None
    probe: Path | None = None
    random_voice: bool = False
    teacher: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePart:
    """One graph to convert.

    Attributes:
        name: part name, e.g. ``decoder``.
        bucket: static length in phonemes or frames; 0 for models without buckets.
        model: ``nn.Module``, or ``onnx.ModelProto`` when the source is an ONNX file.
        spec: its static interface.
        probes: real inputs first, then random, time-varying ones.
        real_probes: how many of ``probes`` are real.
    """

    name: str
    bucket: int
    model: Any
    spec: PartSpec
    probes: tuple[dict[str, np.ndarray], ...]
    real_probes: int

    @property
    def key(self) -> str:
        """``name`` or ``name@bucket``."""
        return f"{self.name}@{self.bucket}" if self.bucket else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A model ready for conversion.

    Attributes:
        name: short name for files and titles.
        label: what it is, printed wherever the name is.
        kind: ``voice`` or ``model``.
        voice: the voice, for judging by ear and metric.
        inputs: sha256 by file name of everything read.
        origin: what is said of where it comes from; None when the given files say nothing.
        teacher: of a student, the voice it is judged against; ``None`` where the voice is judged against itself.
    """

    name: str
    label: str
    kind: Kind
    voice: Voice | None
    inputs: dict[str, str] = field(default_factory=dict)
    origin: Origin | None = None
    teacher: Voice | None = None

    @property
    def judged_against(self) -> Voice | None:
        """The float voice the result is compared with: a student's teacher, or the voice itself."""
        return self.teacher or self.voice


def kind_of(request: Request) -> Kind:
    """Voice or single model, from the request alone."""
    if not request.model:
        return "voice"
    path = Path(request.model)
    if path.suffix == VOICE_SUFFIX or (path.suffix == ".onnx" and _voice_config(path) is not None):
        return "voice"
    return "model"


def _voice_config(path: Path) -> Path | None:
    for config in (path.with_name(path.name + ".json"), path.with_suffix(".json")):
        if config.is_file():
            try:
                data = json.loads(config.read_text(encoding="utf-8"))
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                raise InputError(
                    f"the voice's description is not JSON: {error}",
                    where=str(config),
                    hint="download the .onnx.json that belongs to the voice again",
                ) from error
            if isinstance(data, dict) and "phoneme_id_map" in data:
                return config
    return None


def open_voice(request: Request) -> Source:
    """Opens the default voice, a Piper voice, a voice file of this project or the seeded random voice.

    Raises:
        ExtraMissing: the default voice's package is not installed.
        InputError: the files are missing, damaged or not a voice; a student's teacher is not found.
    """
    from toolkit.models.piper import default_voice, load_voice
    from toolkit.models.piper.default import default_voice_path
    from toolkit.models.seeded import seeded_voice

    if request.teacher is not None and Path(request.model).suffix != VOICE_SUFFIX:
        raise InputError(
            "--teacher does nothing for a voice that is nobody's student", where="--teacher", hint="leave it out"
        )
    if request.random_voice:
        voice = seeded_voice()
        return Source(name="random-voice", label=voice.label, kind="voice", voice=voice, origin=RANDOM_ORIGIN)
    if Path(request.model).suffix == VOICE_SUFFIX:
        return _voice_file(Path(request.model), request.teacher)
    if request.model:
        path = Path(request.model)
        config = _voice_config(path)
        voice = load_voice(path, config)
        inputs = {p.name: file_sha256(p) for p in (path, config) if p is not None}
        return Source(
            name=path.stem, label=voice.label, kind="voice", voice=voice, inputs=inputs, origin=origin_beside(path)
        )
    voice = default_voice()
    origin = origin_beside(default_voice_path())
    return Source(
        name=voice.name, label=voice.label, kind="voice", voice=voice, inputs=dict(voice.sources), origin=origin
    )


def _voice_file(path: Path, given: Path | None) -> Source:
    from toolkit.models.voice_file import read_voice
    from toolkit.pipeline.teacher import find_teacher

    voice = read_voice(path)
    if given is not None and voice.teacher is None:
        raise InputError(
            "--teacher does nothing for a voice that is nobody's student", where=str(path), hint="leave it out"
        )
    teacher = None if voice.teacher is None else find_teacher(voice.teacher, path, given)
    inputs = {**voice.sources, **({} if teacher is None else teacher.sources)}
    return Source(name=voice.name, label=voice.label, kind="voice", voice=voice, inputs=inputs, teacher=teacher)


def open_model(request: Request, seed: int) -> tuple[Source, SourcePart]:
    """Opens any PyTorch or ONNX model with the declared inputs.

    Raises:
        InputError: nothing is there, the declaration does not fit, or the file is damaged.
    """
    from converters.load_model import load_model

    declared, ranges = declared_inputs(request)
    loaded = load_model(request.model, declared)
    path = Path(request.model)
    inputs = {path.name: file_sha256(path)} if path.is_file() else {}
    probes: list[dict[str, np.ndarray]] = []
    if request.probe is not None:
        probes.append(_read_probe(request.probe, loaded.spec))
        inputs[request.probe.name] = file_sha256(request.probe)
    rng = np.random.default_rng(seed)
    probes += [
        random_like(probes[0], rng) if request.probe is not None else random_inputs(loaded.spec, ranges, rng)
        for _ in range(2)
    ]
    name = re.sub(r"\W+", "-", path.stem if path.suffix else request.model.rpartition(":")[2]).strip("-") or "model"
    part = SourcePart(
        name="model",
        bucket=0,
        model=loaded.model,
        spec=loaded.spec,
        probes=tuple(probes),
        real_probes=int(request.probe is not None),
    )
    return Source(name=name, label=f"{loaded.origin} {request.model}", kind="model", voice=None, inputs=inputs), part


def declared_inputs(request: Request) -> tuple[tuple[TensorSpec, ...], dict[str, tuple[int, int]]]:
    """The declared inputs, and the value range of integer ones.

    Raises:
        InputError: a declaration cannot be read.
    """
    texts = list(request.inputs)
    if request.spec is not None:
        texts += _spec_file(request.spec)
    specs: list[TensorSpec] = []
    ranges: dict[str, tuple[int, int]] = {}
    for text in texts:
        match = _DECLARATION.match(text)
        if not match or (match["dtype"] or "float32") not in ("float32", "int32"):
            raise InputError(
                f"cannot read the input declaration {text!r}",
                code="input/bad-declaration",
                where="--input",
                hint="NAME:SHAPE[:float32|int32[:LOW..HIGH]], e.g. mel:1x80x200 or ids:1x128:int32:0..255",
            )
        shape = tuple(int(size) for size in match["shape"].split("x"))
        specs.append(TensorSpec(name=match["name"], shape=shape, dtype=match["dtype"] or "float32"))
        if match["low"] is not None:
            ranges[match["name"]] = (int(match["low"]), int(match["high"]))
    return tuple(specs), ranges


def _spec_file(path: Path) -> list[str]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = data["inputs"]
        return [
            ":".join(
                [
                    str(e["name"]),
                    "x".join(str(s) for s in e["shape"]),
                    str(e.get("dtype", "float32")),
                    *([f"{e['range'][0]}..{e['range'][1]}"] if "range" in e else []),
                ]
            )
            for e in entries
        ]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, IndexError) as error:
        raise InputError(
            f"cannot read the input declarations: {error!r}",
            code="input/bad-declaration",
            where=str(path),
            hint="inputs: [{name: mel, shape: [1, 80, 200], dtype: float32}]",
        ) from error


def _read_probe(path: Path, spec: PartSpec) -> dict[str, np.ndarray]:
    hint = "write it with numpy.savez"
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise InputError("not a readable .npz: it holds a single array", where=str(path), hint=hint)
        with archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"not a readable .npz: {error}", where=str(path), hint=hint) from error
    for tensor in spec.inputs:
        found = arrays.get(tensor.name)
        if found is None or found.shape != tensor.shape:
            raise InputError(
                f"input {tensor.name!r} is {'missing' if found is None else found.shape}, declared {tensor.shape}",
                code="input/wrong-shape",
                where=str(path),
                hint="give one array for each declared input",
            )
    return {t.name: arrays[t.name].astype(t.dtype) for t in spec.inputs}


def random_inputs(
    spec: PartSpec, ranges: dict[str, tuple[int, int]], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Random inputs that vary along every axis; integers stay inside their declared range (default 0..1)."""
    arrays: dict[str, np.ndarray] = {}
    for tensor in spec.inputs:
        if tensor.dtype == "int32":
            low, high = ranges.get(tensor.name, (0, 1))
            arrays[tensor.name] = rng.integers(low, high, tensor.shape, dtype=np.int32, endpoint=True)
        else:
            arrays[tensor.name] = (rng.standard_normal(tensor.shape) * _FLOAT_SPREAD).astype(np.float32)
    return arrays


def random_like(real: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random inputs with a real probe's masks, spreads and id range, so that they stay inside what a part accepts."""
    arrays: dict[str, np.ndarray] = {}
    for name, array in real.items():
        if "mask" in name:
            arrays[name] = array.copy()
        elif np.issubdtype(array.dtype, np.integer):
            arrays[name] = rng.permuted(array, axis=-1)
        else:
            arrays[name] = (rng.standard_normal(array.shape) * (array.std() or 1.0)).astype(np.float32)
    return arrays
