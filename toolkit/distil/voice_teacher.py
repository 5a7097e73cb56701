"""What a VITS voice says of sentences, part by part, kept on disk by content: another student of it need not ask again.

Durations are a distribution: a sentence is timed several times with the voice's own ``noise_w``, and what is taught is
the mean number of frames. Everything else is stored in half precision, whose steps (2^-11 of a value) are far below
what a student gets wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.distil.shards import known_arrays
from toolkit.models.vits.durations import OnnxDurations
from toolkit.models.vits.flow import ResidualCoupling, ResidualCouplingFlow
from toolkit.models.voice import Buckets, Voice
from toolkit.train.loop import weights_digest

_SHARD: Final = 50
_VERSION: Final = "taught voice 1"
_TAUGHT: Final = ("m_p", "logs_p")
Progress = Callable[[int, int], None]
"""``on_progress(known, of)``, in sentences."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaughtText:
    """What encoder and durations say of a sentence.

    Attributes:
        ids: phoneme ids ``[phonemes]`` int32.
        m_p: prior mean ``[inter, phonemes]`` float16.
        logs_p: prior log deviation ``[inter, phonemes]`` float16.
        frames: mean frames of each phoneme ``[phonemes]`` float32.
        x: what durations are told from ``[hidden, phonemes]`` float16, where it was asked for.
    """

    ids: np.ndarray
    m_p: np.ndarray = field(repr=False)
    logs_p: np.ndarray = field(repr=False)
    frames: np.ndarray = field(repr=False)
    x: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How much was asked.

    Attributes:
        digest: of the teacher, the sentences and what was asked of them.
        asked: sentences the teacher had to be asked about; the others were known.
    """

    digest: str
    asked: int


def taught_texts(
    voice: Voice,
    sentences: Sequence[np.ndarray],
    draws: int,
    cache: Path | None,
    on_progress: Progress | None = None,
    *,
    with_x: bool = False,
) -> tuple[list[TaughtText], Asked]:
    """Encoder outputs and mean durations.

    Args:
        voice: the teacher.
        sentences: phoneme ids ``[phonemes]`` each.
        draws: how often a sentence is timed; sentence ``n``'s noise depends on ``n`` only.
        cache: directory of everything any teacher said; ``None`` keeps nothing.
        on_progress: told how many sentences are known.
        with_x: also what durations are told from.
    """
    taught = (*_TAUGHT, "x") if with_x else _TAUGHT

    def ask(first: int, here: Sequence[np.ndarray]) -> Mapping[str, np.ndarray]:
        said = [_text(voice, ids, number, draws, taught) for number, ids in enumerate(here, first)]
        return {name: np.concatenate([each[name] for each in said], axis=-1) for name in said[0]}

    stored, asked = sharded(
        f"texts {draws}{' x' if with_x else ''}", voice, ("encoder", "durations"), sentences, cache, ask, on_progress
    )
    found = []
    for first, arrays in stored:
        here = sentences[first : first + _SHARD]
        ends = np.cumsum([len(ids) for ids in here])[:-1]
        pieces = {name: np.split(array, ends, axis=-1) for name, array in arrays.items()}
        found += [
            TaughtText(ids=ids, **{name: pieces[name][place] for name in pieces}) for place, ids in enumerate(here)
        ]
    return found, asked


def taught_latents(
    voice: Voice, sentences: Sequence[np.ndarray], cache: Path | None, on_progress: Progress | None = None
) -> tuple[list[np.ndarray], Asked]:
    """What the flow makes of prior samples, coupling by coupling.

    Args:
        voice: the teacher.
        sentences: phoneme ids ``[phonemes]`` each; sentence ``n`` is said with seed ``n`` and the voice's own scales.
        cache: directory of everything any teacher said; ``None`` keeps nothing.
        on_progress: told how many sentences are known.

    Returns:
        For each sentence ``[1 + couplings, channels, frames]`` float16: the prior sample, then what `flow_stages`
        gives.
    """

    def ask(first: int, here: Sequence[np.ndarray]) -> Mapping[str, np.ndarray]:
        said = [_latents(voice, ids, number) for number, ids in enumerate(here, first)]
        return {
            "stages": np.concatenate(said, axis=-1),
            "frames": np.array([each.shape[-1] for each in said], dtype=np.int64),
        }

    stored, asked = sharded("latents", voice, ("encoder", "durations", "flow"), sentences, cache, ask, on_progress)
    found: list[np.ndarray] = []
    for _, arrays in stored:
        found += np.split(arrays["stages"], np.cumsum(arrays["frames"])[:-1], axis=-1)
    return found, asked


def flow_stages(flow: ResidualCouplingFlow, z_p: Tensor, mask: Tensor) -> list[Tensor]:
    """What is there after each coupling, ``[batch, channels, frames]`` each; the last is the latent."""
    found, z = [], z_p
    for layer in reversed(flow.flows):
        z = layer(z, mask)
        if isinstance(layer, ResidualCoupling):
            found.append(z)
    return found


def flow_of(module: nn.Module) -> ResidualCouplingFlow:
    """The flow inside the part ``flow``.

    Raises:
        TypeError: the part holds another kind of flow.
    """
    flow = module.flow
    if not isinstance(flow, ResidualCouplingFlow):
        raise TypeError(f"a flow of kind {type(flow).__name__}")
    return flow


def _text(voice: Voice, ids: np.ndarray, number: int, draws: int, taught: Sequence[str]) -> dict[str, np.ndarray]:
    runner = voice.torch_runners(Buckets(phonemes=(len(ids),), frames=()))["encoder"][len(ids)]
    mask = np.ones((1, 1, len(ids)), dtype=np.float32)
    said = runner({"ids": ids[None].astype(np.int32), "mask": mask})
    choose = np.random.default_rng([number, 0xD0])
    drawn = [
        voice.durations.log_durations(
            said["x"], mask, choose.standard_normal((1, 2, len(ids)), dtype=np.float32) * voice.defaults.noise_w
        )[0, 0]
        for _ in range(draws)
    ]
    return {
        **{name: said[name][0].astype(np.float16) for name in taught},
        "frames": np.mean([np.ceil(np.exp(each)) for each in drawn], axis=0).astype(np.float32),
    }


@torch.inference_mode()
def _latents(voice: Voice, ids: np.ndarray, seed: int) -> np.ndarray:
    encoder = voice.torch_runners(Buckets(phonemes=(len(ids),), frames=()))["encoder"]
    # What is stored is what the flow is asked about, so that the pair is exact.
    z_p = voice.prior_sample(voice.prior(encoder, ids, seed), seed).astype(np.float16)
    signal = torch.from_numpy(z_p.astype(np.float32))
    stages = flow_stages(flow_of(voice.modules["flow"]), signal, torch.ones(1, 1, signal.shape[-1]))
    return np.concatenate([z_p, *(stage.numpy().astype(np.float16) for stage in stages)])


def sharded(
    kind: str,
    voice: Voice,
    parts: Sequence[str],
    sentences: Sequence[np.ndarray],
    cache: Path | None,
    ask: Callable[[int, Sequence[np.ndarray]], Mapping[str, np.ndarray]],
    on_progress: Progress | None,
) -> tuple[list[tuple[int, Mapping[str, np.ndarray]]], Asked]:
    """Arrays of a kind for every ``_SHARD`` sentences, asked for where they are not known.

    Args:
        kind: what is asked; its first word names the files.
        voice: the teacher.
        parts: whose weights decide the answer.
        sentences: phoneme ids ``[phonemes]`` each.
        cache: directory of everything any teacher said; ``None`` keeps nothing.
        ask: answers for some sentences, of which the first has that number.
        on_progress: told how many sentences are known.

    Returns:
        Number of the first sentence and the arrays, for each shard; and how much was asked.
    """
    digest = hashlib.sha256(f"{_VERSION} {kind} {voice.config} {voice.defaults}".encode())
    for name in parts:
        if name in voice.modules:
            digest.update(weights_digest(voice.modules[name]).encode())
    if isinstance(voice.durations, OnnxDurations):
        digest.update(voice.durations.model)
    for ids in sentences:
        digest.update(np.ascontiguousarray(ids, dtype=np.int32).tobytes() + b";")
    folder = None if cache is None else cache / digest.hexdigest()[:24]
    found: list[tuple[int, Mapping[str, np.ndarray]]] = []
    asked = 0
    for first in range(0, len(sentences), _SHARD):
        here = sentences[first : first + _SHARD]
        path = None if folder is None else folder / f"{kind.split()[0]}-{first // _SHARD:05d}.npz"
        arrays, made = known_arrays(path, lambda first=first, here=here: ask(first, here))
        asked += len(here) if made else 0
        found.append((first, arrays))
        if on_progress is not None:
            on_progress(min(first + _SHARD, len(sentences)), len(sentences))
    return found, Asked(digest=digest.hexdigest(), asked=asked)
