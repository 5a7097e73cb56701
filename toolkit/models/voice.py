"""A voice: its three graphs for any bucket, and the synthesis that runs them whatever language they are written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from converters import frameworks
from converters.errors import InputError
from converters.spec import PartSpec, Runner
from toolkit.models.vits import host
from toolkit.models.vits.config import VitsConfig
from toolkit.models.vits.durations import OnnxDurations
from toolkit.models.vits.reach import flow_reach_frames, generator_reach_frames

if TYPE_CHECKING:
    from torch import nn

PARTS = ("encoder", "flow", "decoder")

PartRunners = Mapping[str, Mapping[int, Runner]]
"""Part name to bucket to runner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buckets:
    """The static lengths a voice is converted for.

    Attributes:
        phonemes: lengths of the encoder.
        frames: lengths of flow and decoder.
    """

    phonemes: tuple[int, ...] = (128, 256)
    frames: tuple[int, ...] = (256, 512)

    def of(self, part: str) -> tuple[int, ...]:
        """Lengths of a part."""
        return self.phonemes if part == "encoder" else self.frames


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceDefaults:
    """Sampling settings a voice was published with.

    Attributes:
        noise_scale: deviation of the prior sample.
        length_scale: multiplies durations.
        noise_w: deviation of the duration noise.
    """

    noise_scale: float = 0.667
    length_scale: float = 1.0
    noise_w: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Voice:
    """A VITS voice of one speaker.

    Attributes:
        label: what it is, for reports, e.g. ``en_US-joe-medium`` or ``random weights, not speech``.
        source: file name it was read from; empty for seeded voices.
        sha256: digest of that file; empty for seeded voices.
        config: sizes.
        modules: ``encoder``, ``flow`` and ``decoder``.
        durations: the duration predictor, run on the host.
        sample_rate_hz: sample rate of the audio.
        phoneme_id_map: phoneme to ids.
        defaults: sampling settings.
        language: espeak voice the phonemes come from, e.g. ``en-us``.
    """

    label: str
    source: str = ""
    sha256: str = ""
    config: VitsConfig
    modules: Mapping[str, nn.Module] = field(repr=False)
    durations: OnnxDurations = field(repr=False)
    sample_rate_hz: int
    phoneme_id_map: Mapping[str, tuple[int, ...]] = field(repr=False)
    defaults: InferenceDefaults = InferenceDefaults()
    language: str = "en-us"

    @property
    def hop(self) -> int:
        """Audio samples per frame."""
        return self.config.generator.hop

    def part(self, name: str, bucket: int) -> tuple[nn.Module, PartSpec]:
        """A part and its static interface.

        Raises:
            InputError: no such part.
        """
        from toolkit.models.vits import parts

        if name not in self.modules:
            raise InputError(
                f"no part {name!r}", code="input/no-such-part", where=self.label, hint=f"parts: {', '.join(PARTS)}"
            )
        return self.modules[name], parts.spec(self.config, name, bucket)

    def parts(self, buckets: Buckets) -> dict[str, tuple[nn.Module, PartSpec]]:
        """Every part for every bucket, keyed ``part@bucket``; the module is shared between buckets."""
        return {f"{name}@{bucket}": self.part(name, bucket) for name in PARTS for bucket in buckets.of(name)}

    def phoneme_ids(self, phonemes: Sequence[str]) -> np.ndarray:
        """Ids of a phoneme sequence as Piper feeds them: start, a blank after each phoneme, end.

        Args:
            phonemes: one symbol each; a string works, symbol by symbol.

        Returns:
            ``[ids]`` int32. Symbols the voice does not know are left out, as Piper does.

        Raises:
            InputError: none of the phonemes is known.
        """
        table = self.phoneme_id_map
        blank, known = table["_"], [table[phoneme] for phoneme in phonemes if phoneme in table]
        if not known:
            raise InputError(
                f"the voice knows none of the phonemes {''.join(phonemes)!r}",
                code="input/unknown-phonemes",
                where=self.label,
                hint=f"give IPA as espeak-ng writes it for {self.language!r}",
            )
        ids = [*table["^"], *blank]
        for symbol in known:
            ids += [*symbol, *blank]
        return np.array([*ids, *table["$"]], dtype=np.int32)

    def prior(
        self,
        runners: Mapping[int, Runner],
        ids: np.ndarray,
        seed: int = 0,
        *,
        length_scale: float | None = None,
        noise_w: float | None = None,
    ) -> host.Prior:
        """Runs the encoder and the durations; see ``vits.host.encode``."""
        return host.encode(
            runners,
            self.durations,
            ids,
            np.random.default_rng([seed, 0]),
            length_scale=self.defaults.length_scale if length_scale is None else length_scale,
            noise_w=self.defaults.noise_w if noise_w is None else noise_w,
        )

    def prior_sample(self, prior: host.Prior, seed: int = 0, *, noise_scale: float | None = None) -> np.ndarray:
        """The flow's input ``z_p`` ``[1, channels, frames]`` for a prior and a seed."""
        scale = self.defaults.noise_scale if noise_scale is None else noise_scale
        return prior.sample(np.random.default_rng([seed, 1]), scale)

    def run_flow(self, runners: Mapping[int, Runner], z_p: np.ndarray) -> np.ndarray:
        """Latent ``[1, channels, frames]`` of a prior sample of any length."""
        return host.run_frames(runners, ("z_p", "z"), z_p, reach=flow_reach_frames(self.config.flow))

    def run_decoder(self, runners: Mapping[int, Runner], z: np.ndarray) -> np.ndarray:
        """Waveform ``[frames * hop]`` of a latent of any length."""
        reach = generator_reach_frames(self.config.generator)
        return host.run_frames(runners, ("z", "audio"), z, reach=reach, hop=self.hop)[0, 0].astype(np.float32)

    def synthesise(
        self,
        runners: PartRunners,
        ids: np.ndarray,
        seed: int = 0,
        noise_scale: float | None = None,
        length_scale: float | None = None,
        noise_w: float | None = None,
    ) -> np.ndarray:
        """Speaks.

        The noise depends on the seed and the true lengths only, so every representation of the parts gets the same.

        Args:
            runners: ``encoder``, ``flow`` and ``decoder``, each by bucket.
            ids: phoneme ids ``[phonemes]``.
            seed: of the noise.
            noise_scale: deviation of the prior sample; the voice's default when ``None``.
            length_scale: multiplies durations; the voice's default when ``None``.
            noise_w: deviation of the duration noise; the voice's default when ``None``.

        Returns:
            Float32 waveform ``[samples]`` in [-1, 1].

        Raises:
            InputError: the sentence has more phonemes than the largest encoder bucket.
        """
        prior = self.prior(runners["encoder"], ids, seed, length_scale=length_scale, noise_w=noise_w)
        z_p = self.prior_sample(prior, seed, noise_scale=noise_scale)
        return self.run_decoder(runners["decoder"], self.run_flow(runners["flow"], z_p))

    def torch_runners(self, buckets: Buckets) -> dict[str, dict[int, Runner]]:
        """The parts as torch runs them: the reference of every comparison."""
        return {
            name: {bucket: torch_runner(*self.part(name, bucket)) for bucket in buckets.of(name)} for name in PARTS
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
