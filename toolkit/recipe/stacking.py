"""What a stack may say: distil, prune, quantise, in this order, with a gate after each."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from toolkit.recipe.shrinking import Distil, Prune


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Quantise(_Strict):
    """The last stage: a recipe's precisions and its quantisation-aware fine-tuning, by the chain of `convert`."""

    recipe: str = Field(description="built-in recipe or YAML file")
    changes: tuple[str, ...] = Field((), description="as --set of toolkit convert: KEY=VALUE")
    cross_entropy_rise_max: float = Field(
        0.05, ge=0.0, description="gate, nats the file may be above the torch model it was made from"
    )


class StackGates(_Strict):
    """What the whole stack is held to."""

    cross_entropy_rise_max: float = Field(0.25, ge=0.0, description="nats above the model given, on held-out sentences")
    bytes_ratio_min: PositiveFloat | None = Field(None, description="float32 bundle over the stacked one")
    step_latency_ratio_max: PositiveFloat | None = Field(
        None, description="stacked step over the float32 step of the model given, measured on this machine"
    )


class Stack(_Strict):
    """Stages that follow each other; one that is left out is skipped."""

    version: Literal[1] = Field(1, alias="schema")
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
