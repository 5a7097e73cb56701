"""A voice: its graphs for any bucket, and the synthesis that runs them whatever language they are written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from converters import frameworks
from converters.errors import InputError
from converters.spec import PartSpec, Runner
from toolkit.models.vits.bundle import Host, write_host
from toolkit.models.vits.config import VitsConfig
from toolkit.models.vits.durations import DurationPredictor, GraphDurations, OnnxDurations
from toolkit.models.vits.reach import flow_reach_frames
from toolkit.models.vits.speech import InferenceDefaults, PartRunners, Speech

__all__ = ["PARTS", "Buckets", "InferenceDefaults", "PartRunners", "Voice", "torch_runner"]

if TYPE_CHECKING:
    from torch import nn

PARTS = ("encoder", "flow", "decoder")
"""What every voice has; one with deterministic durations has a graph of them behind the encoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """The static lengths a voice is converted for.

    Attributes:
        phonemes: lengths of the encoder and of deterministic durations.
        frames: lengths of flow and decoder.
    """

    phonemes: tuple[int, ...] = (128, 256)
    frames: tuple[int, ...] = (256, 512)

    def of(self, part: str) -> tuple[int, ...]:
        """Lengths of a part."""
        return self.phonemes if part in ("encoder", "durations") else self.frames


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TorchDurations:
    """A deterministic duration predictor in torch, for sentences of any length. The noise offered changes nothing.

    Attributes:
        module: the part ``durations``.
    """

    module: nn.Module = field(repr=False)

    def log_durations(self, x: np.ndarray, mask: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """See ``vits.durations.DurationPredictor``."""
        torch = frameworks.torch()
        with torch.inference_mode():
            return self.module(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(mask)).numpy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """The voice a student was made of, so that the student can be judged against it.

    Attributes:
        name: its name.
        sources: name of each file it was read from to its sha256.
        float32_bytes: bytes of its weights in float32, duration predictor included.
    """

    name: str
    sources: Mapping[str, str]
    float32_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Voice(Speech):
    """A VITS voice of one speaker.

    Attributes:
        name: file name without its ending, e.g. ``en_US-joe-medium``.
        label: what it is, for reports, e.g. ``en_US-joe-medium`` or ``random weights, not speech``.
        sources: name of each file it was read from to its sha256; empty for seeded voices.
        config: sizes.
        modules: ``encoder``, ``flow`` and ``decoder``; ``durations`` where they are deterministic.
        durations: the duration predictor: a stochastic one, or ``TorchDurations`` of the module.
        sample_rate_hz: sample rate of the audio.
        phoneme_id_map: phoneme to ids.
        defaults: sampling settings.
        language: espeak voice the phonemes come from, e.g. ``en-us``.
        teacher: the voice it is a smaller form of; ``None`` for one that is nobody's student.
    """

    name: str
    label: str
    sources: Mapping[str, str] = field(default_factory=dict)
    config: VitsConfig
    modules: Mapping[str, nn.Module] = field(repr=False)
    durations: DurationPredictor = field(repr=False)
    sample_rate_hz: int
    phoneme_id_map: Mapping[str, tuple[int, ...]] = field(repr=False)
    defaults: InferenceDefaults = field(default_factory=InferenceDefaults)
    language: str = "en-us"
    teacher: Teacher | None = None

    @property
    def part_names(self) -> tuple[str, ...]:
        """Its graphs, in the order they run."""
        return tuple(name for name in ("encoder", "durations", "flow", "decoder") if name in self.modules)

    @property
    def origin(self) -> Teacher:
        """What a smaller form of this voice is one of: the voice it was itself made of, or it."""
        return self.teacher or Teacher(name=self.name, sources=dict(self.sources), float32_bytes=self.float32_bytes)

    @property
    def float32_bytes(self) -> int:
        """Bytes of all weights in float32, a stochastic duration predictor's included."""
        weights = sum(value.numel() for module in self.modules.values() for value in module.parameters())
        stochastic = self.durations.weights if isinstance(self.durations, OnnxDurations) else 0
        return 4 * (weights + stochastic)

    @property
    def hop(self) -> int:
        """Audio samples per frame."""
        return self.config.generator.hop

    @property
    def flow_reach_frames(self) -> int:
        """Context the flow needs to each side of a chunk."""
        return flow_reach_frames(self.config.flow)

    @property
    def decoder_reach_frames(self) -> int:
        """Context the decoder needs to each side of a chunk."""
        from toolkit.models.vits.decoders import kind_of_decoder

        return kind_of_decoder(self.config.generator).reach_frames(self.config.generator)

    def part(self, name: str, bucket: int) -> tuple[nn.Module, PartSpec]:
        """A part and its static interface.

        Raises:
            InputError: no such part.
        """
        from toolkit.models.vits import parts

        if name not in self.modules:
            raise InputError(
                f"no part {name!r}",
                code="input/no-such-part",
                where=self.label,
                hint=f"parts: {', '.join(self.part_names)}",
            )
        return self.modules[name], parts.spec(self.config, name, bucket)

    def parts(self, buckets: Buckets) -> dict[str, tuple[nn.Module, PartSpec]]:
        """Every part for every bucket, keyed ``part@bucket``; the module is shared between buckets."""
        return {f"{name}@{bucket}": self.part(name, bucket) for name in self.part_names for bucket in buckets.of(name)}

    def host(self, buckets: Buckets) -> Host:
        """The voice without its graphs: what ships beside the converted files."""
        return Host(
            name=self.name,
            label=self.label,
            language=self.language,
            sample_rate_hz=self.sample_rate_hz,
            hop=self.hop,
            flow_reach_frames=self.flow_reach_frames,
            decoder_reach_frames=self.decoder_reach_frames,
            buckets={name: buckets.of(name) for name in self.part_names},
            defaults=self.defaults,
            phoneme_id_map=self.phoneme_id_map,
            durations=self.durations if isinstance(self.durations, OnnxDurations) else GraphDurations(runners={}),
        )

    def write_host_files(self, directory: Path, buckets: Buckets) -> tuple[Path, ...]:
        """Writes ``voice.json``, and ``duration.onnx`` where durations are stochastic.

        ``vits.bundle.load_host`` reads them without torch.
        """
        return write_host(self.host(buckets), directory)

    def torch_runners(self, buckets: Buckets) -> dict[str, dict[int, Runner]]:
        """The parts as torch runs them: the reference of every comparison."""
        return {
            name: {bucket: torch_runner(*self.part(name, bucket)) for bucket in buckets.of(name)}
            for name in self.part_names
        }


def torch_runner(module: nn.Module, spec: PartSpec) -> Runner:
    """Runs a module on named arrays.

    Args:
        module: the part.
        spec: its interface; input names in the order of ``forward``.
    """
    torch = frameworks.torch()

    def run(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        inputs = [torch.from_numpy(np.ascontiguousarray(arrays[tensor.name])) for tensor in spec.inputs]
        with torch.inference_mode():
            outputs = module(*inputs)
        results = outputs if isinstance(outputs, tuple) else (outputs,)
        return {tensor.name: result.numpy() for tensor, result in zip(spec.outputs, results, strict=True)}

    return run
