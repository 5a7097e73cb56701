"""What a stack may say: the stages of a text-to-semantic model or of a voice, in order, with a gate after each."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from toolkit.recipe.shrinking import Distil, DistilVoice, Prune, PruneVoice, VoiceLoss

StackFamily = Literal["t2s", "voice"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Conversion(_Strict):
    """The last stage: a recipe's precisions and its quantisation-aware fine-tuning, by the chain of `convert`."""

    recipe: str = Field(description="built-in recipe or YAML file")
    changes: tuple[str, ...] = Field((), description="as --set of toolkit convert: KEY=VALUE")


class Quantise(Conversion):
    """The last stage of a text-to-semantic model."""

    cross_entropy_rise_max: float = Field(
        0.05, ge=0.0, description="gate, nats the file may be above the torch model it was made from"
    )


class StackGates(_Strict):
    """What the whole stack of a text-to-semantic model is held to."""

    cross_entropy_rise_max: float = Field(0.25, ge=0.0, description="nats above the model given, on held-out sentences")
    bytes_ratio_min: PositiveFloat | None = Field(None, description="float32 bundle over the stacked one")
    step_latency_ratio_max: PositiveFloat | None = Field(
        None, description="stacked step over the float32 step of the model given, measured on this machine"
    )


class Stack(_Strict):
    """Stages of a text-to-semantic model that follow each other; one that is left out is skipped."""

    version: Literal[1] = Field(1, alias="schema")
    family: Literal["t2s"] = Field("t2s", description="kind of model the stages are for")
    name: str
    description: str = ""
    distil: Distil | None = None
    prune: Prune | None = None
    quantise: Quantise
    gates: StackGates = StackGates()

    @model_validator(mode="after")
    def _gates_between(self) -> Self:
        if self.distil is not None and self.distil.cross_entropy_rise_max is None:
            raise ValueError("distil has no cross_entropy_rise_max: a stage without a gate hides what it loses")
        return self


class DistilStage(VoiceLoss):
    """The first stage of a voice."""

    student: DistilVoice = Field(DistilVoice(), description="sizes and training; see toolkit distil")


class QuantiseVoice(Conversion, VoiceLoss):
    """The last stage of a voice; the gates of its recipe, which are against the voice given, hold as well."""


class VoiceStackGates(_Strict):
    """What a stacked voice is held to besides the gates of the recipe it is converted with."""

    bytes_ratio_min: PositiveFloat | None = Field(None, description="float32 bundle over the stacked one")
    sentence_latency_ratio_max: PositiveFloat | None = Field(
        None, description="a stacked sentence over one of the voice given in float32, measured on this machine"
    )


class VoiceStack(_Strict):
    """Stages of a voice that follow each other; distillation and pruning that are left out are skipped."""

    version: Literal[1] = Field(1, alias="schema")
    family: Literal["voice"] = Field(description="kind of model the stages are for")
    name: str
    description: str = ""
    utterances: PositiveInt = Field(12, description="held-out sentences every stage is judged on")
    distil: DistilStage | None = None
    prune: PruneVoice | None = Field(
        None,
        description="of the text encoder, and of flow and decoder where they are not protected; see toolkit prune. "
        "Its gates hold every round, and then the stage",
    )
    quantise: QuantiseVoice
    gates: VoiceStackGates = VoiceStackGates()

    @model_validator(mode="after")
    def _judged_alike(self) -> Self:
        stages = {"distil.student": self.distil and self.distil.student, "prune": self.prune}
        for name, own in stages.items():
            if own is not None and "utterances" in own.model_fields_set and own.utterances != self.utterances:
                raise ValueError(
                    f"{name}.utterances is {own.utterances}: all stages are judged on the same sentences, whose number "
                    "is the stack's own utterances"
                )
        return self
