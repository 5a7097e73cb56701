"""Distils a VITS voice part by part into one of the same kinds of modules, smaller.

The text encoder and a deterministic duration predictor learn together what the teacher says of phonemes (prior mean,
prior log deviation, mean frames); the flow learns, coupling by coupling, what the teacher's makes of prior samples
drawn as in synthesis; a light decoder learns its sound (`light_decoder`). All start from the teacher's weights
(`encoder_start`, `flow_start`, `decoder_start`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from toolkit.distil.decoder_start import light_config
from toolkit.distil.encoder_start import start_encoder
from toolkit.distil.flow_start import start_flow
from toolkit.distil.light_decoder import distil_decoder
from toolkit.distil.voice_batches import ids_side_by_side, side_by_side
from toolkit.distil.voice_teacher import (
    Asked,
    TaughtText,
    flow_of,
    flow_stages,
    taught_latents,
    taught_texts,
)
from toolkit.errors import RecipeError
from toolkit.models.vits import parts
from toolkit.models.vits.config import DurationsConfig, VitsConfig
from toolkit.models.vits.flow import ResidualCouplingFlow
from toolkit.models.voice import TorchDurations, Voice
from toolkit.recipe.shrinking import DistilVoice
from toolkit.train.loop import asked, batch_places, train_module, training_settings, weights_digest

_FITTED_SENTENCES: Final = 40
_ROUNDED_UP: Final = 0.5
"""A host takes the ceiling of a duration: what is half a frame below the mean is the mean after it."""
_LEAST_FRAMES: Final = 0.3
_TIMED_SENTENCES: Final = 200
_LARGEST_SHIFT: Final = 2.0
_DURATIONS_WEIGHT: Final = 1.0
_STAGE_WEIGHT: Final = 0.5
"""Of what a coupling gives before the last one; the last has 1."""

Told = Callable[[str, int, int, str], None]
"""``on_progress(stage, done, of, note)``."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DistilledVoice:
    """What came of it.

    Attributes:
        voice: the student; it names its teacher.
        losses: of every step, by what was trained.
        asked: how much the teacher was asked, by what about.
    """

    voice: Voice = field(repr=False)
    losses: Mapping[str, tuple[float, ...]] = field(repr=False)
    asked: Mapping[str, int]


def student_config(teacher: VitsConfig, settings: DistilVoice) -> VitsConfig:
    """Sizes of the student.

    Raises:
        RecipeError: a student that is larger than the teacher.
    """
    encoder, flow = teacher.encoder, teacher.flow
    if settings.encoder is not None:
        layers = settings.encoder.layers or encoder.layers
        _no_larger("encoder.filter_channels", settings.encoder.filter_channels, min(encoder.inners))
        _no_larger("encoder.layers", layers, encoder.layers)
        encoder = replace(encoder, filter_channels=settings.encoder.filter_channels, layers=layers)
    if settings.flow is not None:
        layers = settings.flow.layers or len(flow.dilations)
        _no_larger("flow.hidden", settings.flow.hidden, min(flow.hidden, *map(min, flow.gate_widths)))
        _no_larger("flow.layers", layers, len(flow.dilations))
        kept = torch.linspace(0, len(flow.dilations) - 1, layers).round().long().tolist()
        dilations = tuple(flow.dilations[place] for place in kept)
        flow = replace(flow, hidden=settings.flow.hidden, dilations=dilations, gates=None)
    durations = teacher.durations
    if settings.durations is not None:
        asked_for = settings.durations
        durations = DurationsConfig(
            channels=encoder.hidden, hidden=asked_for.hidden, kernel=asked_for.kernel, layers=asked_for.layers
        )
    generator = teacher.generator if settings.decoder is None else light_config(teacher.generator, settings.decoder)
    return replace(teacher, encoder=encoder, flow=flow, durations=durations, generator=generator)


def distil_voice(
    voice: Voice,
    settings: DistilVoice,
    sentences: Sequence[np.ndarray],
    *,
    cache: Path | None = None,
    checkpoint_dir: Path | None = None,
    on_progress: Told | None = None,
) -> DistilledVoice:
    """Trains a student.

    Args:
        voice: the teacher.
        settings: sizes and training.
        sentences: phoneme ids ``[phonemes]`` each, to teach with; see `toolkit.train.voice_texts`.
        cache: where teachers' outputs are kept.
        checkpoint_dir: where to keep checkpoints of the trainings, and to look for them.
        on_progress: told about sentences and steps.

    Raises:
        RecipeError: a student that is larger than the teacher.
        GateFailed: a training diverged.
    """
    config = student_config(voice.config, settings)
    torch.manual_seed(settings.seed)
    built = parts.build(config)
    modules: dict[str, nn.Module] = {"decoder": voice.modules["decoder"]}
    losses: dict[str, tuple[float, ...]] = {}
    counts: dict[str, int] = {}
    told = on_progress or (lambda stage, done, of, note: None)
    chosen = list(sentences[: settings.sentences])
    if settings.durations is not None:
        draws = settings.durations.draws
        texts, known = taught_texts(voice, chosen, draws, cache, lambda n, of: told("texts", n, of, "sentences known"))
        modules |= {"encoder": built["encoder"], "durations": built["durations"]}
        losses["text"] = _distil_text(voice, modules, settings, texts, known, _folder(checkpoint_dir, "text"), told)
        counts["texts"] = known.asked
    else:
        modules["encoder"] = voice.modules["encoder"]
        modules |= {"durations": voice.modules["durations"]} if "durations" in voice.modules else {}
    if settings.flow is not None:
        spoken = chosen[: settings.flow_sentences]
        latents, known = taught_latents(voice, spoken, cache, lambda n, of: told("latents", n, of, "sentences known"))
        modules["flow"] = built["flow"]
        losses["flow"] = _distil_flow(voice, modules, settings, latents, known, _folder(checkpoint_dir, "flow"), told)
        counts["latents"] = known.asked
    else:
        modules["flow"] = voice.modules["flow"]
    if settings.decoder is not None:
        done = distil_decoder(
            voice, settings.decoder, chosen, seed=settings.seed, cache=cache,
            checkpoint_dir=_folder(checkpoint_dir, "decoder"),
            on_teacher=lambda n, of: told("sound", n, of, "sentences known"),
            on_step=lambda step, of, loss: told("decoder", step, of, f"loss {loss:.4f}"),
        )  # fmt: skip
        modules["decoder"] = done.module
        losses["decoder"], counts["sound"] = done.losses, done.asked
    return DistilledVoice(voice=_student(voice, config, modules), losses=losses, asked=counts)


def _distil_text(
    voice: Voice,
    modules: dict[str, nn.Module],
    settings: DistilVoice,
    texts: Sequence[TaughtText],
    known: Asked,
    checkpoint_dir: Path | None,
    told: Told,
) -> tuple[float, ...]:
    shortest = 2 * voice.config.encoder.window + 1
    trained: dict[str, nn.Module] = {"durations": modules["durations"]}
    if settings.encoder is not None:
        ids, mask = ids_side_by_side([text.ids for text in texts[:_FITTED_SENTENCES]], shortest)
        start_encoder(modules["encoder"].enc_p, voice.modules["encoder"].enc_p, ids, mask)
        trained["encoder"] = modules["encoder"]
    else:
        modules["encoder"] = copy.deepcopy(voice.modules["encoder"])
    durations = modules["durations"].dp
    targets = [np.log(np.maximum(text.frames - _ROUNDED_UP, _LEAST_FRAMES)) for text in texts]
    mean = float(np.concatenate(targets).mean())
    with torch.no_grad():
        durations.proj.bias.fill_(mean)

    how = training_settings(settings.text_training, settings.seed)
    lengths = [len(text.ids) for text in texts]

    def loss_of(step: int) -> Tensor:
        places = batch_places(lengths, how.batch, how.seed, step)
        here = [texts[place] for place in places]
        ids, mask = ids_side_by_side([text.ids for text in here], shortest)
        x, m_p, logs_p = modules["encoder"](ids, mask)
        timed = modules["durations"](x, mask)

        def padded(arrays: Sequence[np.ndarray]) -> Tensor:
            found, _ = side_by_side([np.atleast_2d(array) for array in arrays])
            return functional.pad(found, (0, mask.shape[-1] - found.shape[-1]))

        frames = padded([text.frames for text in here])
        wanted = padded([targets[place] for place in places])
        found = _DURATIONS_WEIGHT * functional.smooth_l1_loss(timed, wanted, reduction="sum", beta=0.5) / mask.sum()
        if settings.encoder is not None:
            mean, deviation = padded([text.m_p for text in here]), padded([text.logs_p for text in here])
            found = found + prior_distance((m_p, logs_p), (mean, deviation), frames)
        return found

    holder = nn.ModuleDict(trained)
    identity = f"text {known.digest} {asked(how)} {weights_digest(holder)}"
    losses = train_module(
        holder, how, loss_of, identity=identity, task="encoder and durations", checkpoint_dir=checkpoint_dir,
        on_progress=lambda step, of, loss: told("text", step, of, f"loss {loss:.4f}"),
    )  # fmt: skip
    with torch.no_grad():
        durations.proj.bias += _missing_length(modules, texts[:_TIMED_SENTENCES], shortest)
    return tuple(losses)


@torch.no_grad()
def _missing_length(modules: Mapping[str, nn.Module], texts: Sequence[TaughtText], shortest: int) -> float:
    """What must be added to every log duration so that all sentences together last as long as the teacher's.

    What is uncertain of a duration is uncertain of its logarithm; the mean of logarithms lies below that of frames.
    """
    said = []
    for text in texts:
        ids, mask = ids_side_by_side([text.ids], shortest)
        x, _, _ = modules["encoder"](ids, mask)
        said.append(modules["durations"](x, mask)[0, 0, : len(text.ids)].numpy())
    found, wanted = np.concatenate(said), sum(float(text.frames.sum()) for text in texts)
    low, high = -_LARGEST_SHIFT, _LARGEST_SHIFT
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if np.ceil(np.exp(found + middle)).sum() > wanted else (middle, high)
    return (low + high) / 2


def prior_distance(found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor], frames: Tensor) -> Tensor:
    """How far one prior is from another: squared distance of means in the teacher's deviations, and of log deviations.

    The second-order form of the divergence between the two normal distributions, mean over frames and channels.

    Args:
        found: means and log deviations ``[batch, channels, phonemes]``.
        wanted: likewise, the teacher's.
        frames: how long each phoneme lasts ``[batch, 1, phonemes]``; 0 for padding.
    """
    distance = 0.5 * ((found[0] - wanted[0]) * torch.exp(-wanted[1])).square() + (found[1] - wanted[1]).square()
    return (distance.mean(1, keepdim=True) * frames).sum() / frames.sum()


def _distil_flow(
    voice: Voice,
    modules: dict[str, nn.Module],
    settings: DistilVoice,
    latents: Sequence[np.ndarray],
    known: Asked,
    checkpoint_dir: Path | None,
    told: Told,
) -> tuple[float, ...]:
    student, teacher = flow_of(modules["flow"]), flow_of(voice.modules["flow"])
    shown, mask = side_by_side(latents[: _FITTED_SENTENCES // 2])
    torch.manual_seed(settings.seed)  # whatever was trained before, or taken up from a checkpoint
    start_flow(student, teacher, shown[:, 0], mask)
    how = training_settings(settings.flow_training, settings.seed)
    lengths = [each.shape[-1] for each in latents]

    def loss_of(step: int) -> Tensor:
        places = batch_places(lengths, how.batch, how.seed, step)
        return latent_distance(student, *side_by_side([latents[place] for place in places]))

    identity = f"flow {known.digest} {asked(how)} {weights_digest(student)}"
    return tuple(
        train_module(
            student, how, loss_of, identity=identity, task="flow", checkpoint_dir=checkpoint_dir,
            on_progress=lambda step, of, loss: told("flow", step, of, f"loss {loss:.4f}"),
        )
    )  # fmt: skip


def latent_distance(flow: ResidualCouplingFlow, stages: Tensor, mask: Tensor) -> Tensor:
    """How far a flow is from another's couplings: squared distance after each, mean over frames and channels, summed.

    Args:
        flow: as many couplings.
        stages: prior samples and what the other makes of them ``[batch, 1 + couplings, channels, frames]``.
        mask: ``[batch, 1, frames]``.
    """
    outputs = flow_stages(flow, stages[:, 0], mask)
    total = stages.new_zeros(())
    for number, output in enumerate(outputs, 1):
        error = ((output - stages[:, number]).square() * mask).sum() / (mask.sum() * output.shape[1])
        total = total + error * (1.0 if number == len(outputs) else _STAGE_WEIGHT)
    return total


def _student(teacher: Voice, config: VitsConfig, modules: Mapping[str, nn.Module]) -> Voice:
    weights = {name: sum(value.numel() for value in module.parameters()) for name, module in modules.items()}
    durations = TorchDurations(module=modules["durations"]) if "durations" in modules else teacher.durations
    origin = teacher.origin
    return replace(
        teacher,
        name=f"{origin.name}-student",
        label=f"{origin.name}, a student of {sum(weights.values()) / 1e6:.2f} M weights",
        sources={},
        config=config,
        modules=dict(modules),
        durations=durations,
        teacher=origin,
    )


def _folder(directory: Path | None, name: str) -> Path | None:
    return None if directory is None else directory / name


def _no_larger(what: str, own: int, limit: int) -> None:
    if own > limit:
        raise RecipeError(
            f"the student's {what} is {own}, the teacher's {limit}",
            code="recipe/out-of-range",
            where=f"distil → {what}",
            hint=f"at most {limit}",
        )
