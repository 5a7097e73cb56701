"""What `toolkit distil` and `toolkit prune` may be told. Every field is described here and nothing else is accepted."""

from __future__ import annotations

from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from toolkit.errors import RecipeError
from toolkit.recipe.changes import apply_change

_Settings = TypeVar("_Settings", "Distil", "DistilParallel", "DistilVoice", "Prune", "PruneVoice")
PROTECTED_PARTS: dict[str, str] = {"flow": "flow.*", "decoder": "dec.*"}
"""Parts of a voice that stay as they are unless a recipe says otherwise, and the globs of their tensors."""
PROTECTED: tuple[str, ...] = tuple(PROTECTED_PARTS.values())
"""The flow and the VAE's decoder: errors there add up and are heard."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Training(_Strict):
    """How weights are trained."""

    steps: int = Field(600, ge=0, description="optimiser steps")
    batch: PositiveInt = Field(16, description="sentences a step")
    learning_rate: PositiveFloat = Field(1e-3, description="the largest; warm-up, then a cosine")
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    checkpoint_every_steps: PositiveInt = 50


class Teaching(_Strict):
    """What a model learns beside a teacher: alpha * T^2 * KL + (1 - alpha) * cross-entropy of the data."""

    temperature: float = Field(5.0, ge=3.0, le=7.0, description="softens both models' logits")
    alpha: float = Field(0.4, ge=0.0, le=1.0, description="weight of what the teacher says; the data has the rest")


class Distil(Teaching):
    """A smaller model learns from a larger one."""

    width: PositiveInt | None = Field(
        None, description="features of a row; three quarters of the teacher's if left out"
    )
    layers: PositiveInt | None = Field(None, description="transformer layers; half of the teacher's if left out")
    heads: PositiveInt | None = Field(None, description="attention heads; heads as wide as the teacher's if left out")
    inner: PositiveInt | None = Field(
        None, description="features inside a feed-forward block; in proportion if left out"
    )
    start: Literal["inherit", "random"] = Field(
        "inherit", description="inherit: first weights are rows and columns of the teacher's"
    )
    cross_entropy_rise_max: float | None = Field(
        None, ge=0.0, description="quality gate, nats above the teacher on held-out sentences; none if left out"
    )
    training: Training = Training()
    seed: int = 0

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.width is not None and self.width % 2:
            raise ValueError("width is odd; positions are pairs of sine and cosine")
        return self


class DistilParallel(Teaching):
    """A convolutional model, which says all codes of a sentence at once, learns from one that says them in turn."""

    width: PositiveInt = Field(192, le=8192, description="channels between blocks")
    expansion: PositiveInt = Field(3, le=16, description="channels inside a block, times the width")
    phone_blocks: int = Field(4, ge=0, le=64, description="blocks over phones")
    frame_blocks: int = Field(6, ge=0, le=64, description="blocks over frames")
    phone_kernel: PositiveInt = Field(5, le=127, description="phones a block looks at, odd")
    frame_kernel: PositiveInt = Field(9, le=127, description="frames a block looks at, odd")
    duration_weight: float = Field(0.2, ge=0.0, description="of the squared error of log durations, beside the codes")
    cross_entropy_rise_max: float | None = Field(
        None, ge=0.0, description="quality gate, nats above the teacher on held-out sentences; none if left out"
    )
    training: Training = Training(steps=1600, batch=16, learning_rate=2e-3)
    seed: int = 0

    @model_validator(mode="after")
    def _centred(self) -> Self:
        if not self.phone_kernel % 2 or not self.frame_kernel % 2:
            raise ValueError("a kernel is even; a block looks as far ahead as back")
        return self


class EncoderStudent(_Strict):
    """A text encoder with narrower feed-forward blocks and fewer layers; its width stays."""

    filter_channels: PositiveInt = Field(160, description="channels inside the feed-forward blocks")
    layers: PositiveInt | None = Field(None, description="transformer layers; all of the teacher's if left out")


class FlowStudent(_Strict):
    """A flow whose couplings are narrower and shallower; their number and what they flip stay."""

    hidden: PositiveInt = Field(64, description="channels of the WaveNet inside each coupling")
    layers: PositiveInt | None = Field(None, description="layers of that WaveNet; the teacher's if left out")


class DurationsStudent(_Strict):
    """A deterministic duration predictor."""

    hidden: PositiveInt = Field(128, description="channels between its convolutions")
    kernel: PositiveInt = Field(3, description="width of its convolutions, odd")
    layers: PositiveInt = Field(2, description="how many convolutions")
    draws: PositiveInt = Field(4, description="how often the teacher times a sentence; the mean is taught")

    @model_validator(mode="after")
    def _centred(self) -> Self:
        if self.kernel % 2 == 0:
            raise ValueError("kernel is even; a convolution over phonemes has a middle")
        return self


class DecoderStudent(_Strict):
    """A light decoder in place of HiFi-GAN."""

    kind: Literal["istft", "wavenet", "narrow"] = Field(
        "istft", description="an inverse-STFT head, a WaveNet, or HiFi-GAN with a narrow last stage"
    )
    width: PositiveInt = Field(32, description="channels of its second stage; narrow: has the teacher's")
    last_width: PositiveInt = Field(16, description="narrow: channels of its last stage")
    sentences: PositiveInt = Field(300, description="the first sentences, which it is taught with")
    judged_ratio: float = Field(
        0.25, ge=0.0, le=1.0, description="share of the steps, the last, in which judges of the sound take part"
    )
    training: Training = Training(steps=12000, batch=8, learning_rate=1e-3, dropout=0.0)


class DistilVoice(_Strict):
    """A VITS voice learns from a larger one, part by part; what is left out stays the teacher's."""

    encoder: EncoderStudent | None = EncoderStudent()
    flow: FlowStudent | None = FlowStudent()
    durations: DurationsStudent | None = Field(
        DurationsStudent(), description="left out: the teacher's, on the host; a smaller encoder needs a new one"
    )
    decoder: DecoderStudent | None = Field(None, description="left out: the teacher's")
    sentences: PositiveInt = Field(1200, description="sentences encoder and durations are taught with")
    flow_sentences: PositiveInt = Field(300, description="the first of them, which the flow is taught with")
    utterances: int = Field(
        12, ge=0, description="held-out sentences the float student is judged on; none: it is not judged"
    )
    text_training: Training = Training(steps=800, batch=12, learning_rate=1e-3, dropout=0.0)
    flow_training: Training = Training(steps=1000, batch=4, learning_rate=7e-4, dropout=0.0)
    seed: int = 0

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.encoder is not None and self.durations is None:
            raise ValueError("a smaller encoder needs durations of its own: they read what it writes")
        return self


DECODER_STUDENTS: dict[str, DecoderStudent] = {
    "istft": DecoderStudent(),
    "wavenet": DecoderStudent(kind="wavenet"),
    "narrow": DecoderStudent(
        kind="narrow", judged_ratio=0.0, training=Training(steps=10000, batch=4, learning_rate=1.5e-3, dropout=0.0)
    ),
}
"""By kind. What is copied to the waveform needs no judges."""
VOICE_STUDENTS: dict[str, DistilVoice] = {
    "small": DistilVoice(),
    "moderate": DistilVoice(flow=None),
    "durations": DistilVoice(encoder=None, flow=None),
    "decoder": DistilVoice(encoder=None, flow=None, durations=None, decoder=DECODER_STUDENTS["istft"]),
}
"""By name, of a voice of Piper's medium size: a tenth of its bytes, a fifth; all the teacher's but the duration
predictor, or but the decoder.
"""


class Pruning(_Strict):
    """Channels of feed-forward blocks and attention heads are taken out, a few a round, with training in between."""

    mlp_ratio: float = Field(
        0.5, ge=0.0, lt=1.0, description="share of the feed-forward channels to take out in the end"
    )
    heads_ratio: float = Field(
        0.0, ge=0.0, lt=1.0, description="share of the heads to take out, the same in every layer"
    )
    round_ratio: float = Field(0.05, gt=0.0, le=1.0, description="share of the original that goes in a round")
    importance: Literal["taylor", "magnitude"] = Field(
        "taylor", description="taylor: what the loss would rise by, to first order; magnitude: norm of the weights"
    )
    channel_multiple: PositiveInt = Field(
        8, description="what a layer keeps is a multiple of this: kernels work in eights"
    )
    smallest_ratio: float = Field(
        0.125, gt=0.0, le=1.0, description="no layer keeps less than this share of its channels"
    )
    protect: tuple[str, ...] = Field(PROTECTED, description="globs over tensor names that must stay as they are")
    seed: int = 0


class Prune(Pruning):
    """A checkpoint of GPT-SoVITS is pruned."""

    encoder_ratio: float = Field(
        0.05, ge=0.0, le=0.3, description="SoVITS files: share of the text encoder's feed-forward channels"
    )
    cross_entropy_rise_max: float = Field(0.1, ge=0.0, description="quality gate, nats on held-out sentences")
    training: Training = Training(steps=40, learning_rate=3e-4)
    teaching: Teaching | None = Field(
        Teaching(), description="GPT: the model given teaches in every round; null trains on the data alone"
    )


class VoiceLoss(_Strict):
    """How much a stage of a voice may lose against the one before; of the first, against the voice given."""

    mos_drop_max: float = Field(0.3, ge=0.0, description="gate, points of DistillMOS, mean over held-out sentences")
    speaker_cosine_loss_max: float = Field(
        0.06, ge=0.0, le=2.0, description="gate, how much resemblyzer's cosine to the voice given may fall"
    )


class PruneVoice(Pruning, VoiceLoss):
    """A VITS voice is pruned, its text encoder and then, where they are not protected, its flow and its decoder.

    The voice given teaches what is left, and every round is held to it.
    """

    mlp_ratio: float = Field(
        0.3, ge=0.0, lt=1.0, description="share of the feed-forward channels to take out in the end"
    )
    flow_ratio: float = Field(
        0.0, ge=0.0, lt=1.0, description="share of the flow's gates to take out, which protect must not cover"
    )
    decoder_ratio: float = Field(
        0.0, ge=0.0, lt=1.0, description="share of the channels of a HiFi-GAN decoder to take out, likewise"
    )
    decoder_spread: Literal["even", "importance"] = Field(
        "importance",
        description="importance: whatever matters least, which is mostly before the first stage, where time is hardly "
        "spent; even: the same share of every stage, which makes all of them faster and is heard much sooner",
    )
    mos_drop_max: float = Field(
        0.1, ge=0.0, description="gate, points of DistillMOS below the voice given, mean over held-out sentences"
    )
    speaker_cosine_loss_max: float = Field(
        0.02, ge=0.0, le=2.0, description="gate, how far resemblyzer's cosine to the voice given may be below 1"
    )
    prior_snr_db_min: float = Field(
        12.0, description="gate, dB of the prior's mean over its distance to that of the voice given"
    )
    frames_error_max: float = Field(
        0.5, ge=0.0, description="gate, frames a phoneme's duration may be off the voice given, mean"
    )
    latent_snr_db_min: float = Field(
        16.0, description="gate, dB of the flow's output over its distance to that of the voice given's"
    )
    mel_distance_max: float = Field(
        0.15, ge=0.0, description="gate, mean difference of the decoders' natural-log mels on the same latents"
    )
    sentences: PositiveInt = Field(400, description="sentences the voice given is asked about")
    flow_sentences: PositiveInt = Field(120, description="the first of them, which the flow is taught with")
    decoder_sentences: PositiveInt = Field(120, description="the first of them, which the decoder is taught with")
    utterances: int = Field(
        12, ge=0, description="held-out sentences every round is heard on; none: it is held to the prior and durations"
    )
    training: Training = Training(steps=60, batch=12, learning_rate=2e-4, dropout=0.0)
    flow_training: Training = Training(steps=120, batch=4, learning_rate=3e-5, dropout=0.0)
    decoder_training: Training = Training(steps=240, batch=4, learning_rate=1e-4, dropout=0.0)

    @model_validator(mode="after")
    def _something_goes(self) -> Self:
        if not (self.mlp_ratio or self.heads_ratio or self.flow_ratio or self.decoder_ratio):
            raise ValueError("nothing is to be taken out: mlp_ratio, heads_ratio, flow_ratio, decoder_ratio are all 0")
        return self


def checked(kind: type[_Settings], values: dict[str, Any]) -> _Settings:
    """Settings of a command; the error names the field.

    Raises:
        RecipeError: a value the schema does not accept.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(step) for step in first["loc"]) or "settings"
        raise RecipeError(
            f"{path}: {first['msg']} (found {first['input']!r})",
            code="recipe/out-of-range",
            where=f"{kind.__name__.lower()} → {path}",
            hint="toolkit prune --help" if issubclass(kind, Pruning) else "toolkit distil --help",
        ) from error


def parallel_student(
    changes: tuple[str, ...], given: dict[str, Any], training: dict[str, Any], seed: int = 0
) -> DistilParallel:
    """Settings of a convolutional student.

    Args:
        changes: ``dotted.key=value``, as recipes are changed.
        given: fields a command has options for.
        training: fields of ``training``, likewise.
        seed: of everything drawn.

    Raises:
        RecipeError: a change the schema does not accept.
    """
    data = DistilParallel().model_dump(mode="json") | given | {"seed": seed}
    data["training"] |= training
    for change in changes:
        apply_change(data, change)
    return checked(DistilParallel, data)


def student_of_voice(
    name: str, changes: tuple[str, ...] = (), seed: int = 0, decoder: str | None = None
) -> DistilVoice:
    """Settings of a student by name, changed.

    Args:
        name: one of ``VOICE_STUDENTS``.
        changes: ``dotted.key=value``, as recipes are changed.
        seed: of everything drawn.
        decoder: one of ``DECODER_STUDENTS``, in place of what the student has.

    Raises:
        RecipeError: a change the schema does not accept.
    """
    data = VOICE_STUDENTS[name].model_dump(mode="json") | {"seed": seed}
    if decoder is not None:
        data["decoder"] = DECODER_STUDENTS[decoder].model_dump(mode="json")
    for change in changes:
        apply_change(data, change)
    return checked(DistilVoice, data)


def pruning_of_voice(
    changes: tuple[str, ...] = (), given: dict[str, Any] | None = None, training: dict[str, Any] | None = None
) -> PruneVoice:
    """Settings of a voice's pruning.

    Args:
        changes: ``dotted.key=value``, as recipes are changed.
        given: fields a command has options for.
        training: fields of ``training``, likewise; ``steps`` also of ``flow_training`` and ``decoder_training``.

    Raises:
        RecipeError: a change the schema does not accept.
    """
    data = PruneVoice().model_dump(mode="json") | (given or {})
    data["training"] |= training or {}
    for part in ("flow_training", "decoder_training"):
        data[part] |= {name: value for name, value in (training or {}).items() if name == "steps"}
    for change in changes:
        apply_change(data, change)
    return checked(PruneVoice, data)
