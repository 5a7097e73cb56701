"""The convolutional student's own file: one ``.safetensors`` whose header says its sizes and whose student it is.

Nothing in it is run. Sizes are bounded before anything of them is built, and every weight must be there, fit and be
finite.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from toolkit.errors import CheckpointError
from toolkit.models.parallel_semantic.config import METADATA_KEY, ParallelConfig
from toolkit.models.parallel_semantic.model import ParallelSemantic
from toolkit.models.safetensors_file import read_safetensors, write_safetensors

_MOST_WEIGHTS: Final = 1 << 28


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Sizes(_Strict):
    symbols: int = Field(ge=1, le=1 << 16)
    codes: int = Field(ge=1, le=1 << 16)
    width: int = Field(ge=1, le=1 << 13)
    expansion: int = Field(ge=1, le=16)
    phone_blocks: int = Field(ge=0, le=64)
    frame_blocks: int = Field(ge=0, le=64)
    phone_kernel: int = Field(ge=1, le=127)
    frame_kernel: int = Field(ge=1, le=127)

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if not self.phone_kernel % 2 or not self.frame_kernel % 2:
            raise ValueError("a kernel is even")
        inner = self.width * self.expansion
        block = 2 * self.width * inner + inner * max(self.phone_kernel, self.frame_kernel)
        if block * (self.phone_blocks + self.frame_blocks) + (self.symbols + self.codes) * self.width > _MOST_WEIGHTS:
            raise ValueError(f"more than {_MOST_WEIGHTS:,} weights")
        return self


class ParallelHeader(_Strict):
    """What the header says.

    Attributes:
        format: of this file.
        label: what the model is, for reports.
        teacher_sha256: digest of the GPT checkpoint it learned from.
        version: of the teacher's GPT-SoVITS: which phones and codes these are.
        sizes: of the model.
    """

    format: Literal[1] = 1
    label: str = Field(min_length=1, max_length=200)
    teacher_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    version: str = Field(pattern=r"^[\w.]{1,20}$")
    sizes: _Sizes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParallelFile:
    """What a file holds.

    Attributes:
        model: in inference mode, without gradients.
        header: what is said of it.
        sha256: of the file.
    """

    model: ParallelSemantic = field(repr=False)
    header: ParallelHeader
    sha256: str


def write_parallel(path: Path, model: ParallelSemantic, *, label: str, teacher_sha256: str, version: str) -> Path:
    """Writes a model, weights in half precision, whole or not at all; the same model gives the same bytes.

    Args:
        path: ends in ``.safetensors``.
        model: what to write.
        label: what it is, for reports.
        teacher_sha256: digest of its teacher's checkpoint.
        version: of the teacher's GPT-SoVITS.
    """
    header = ParallelHeader(
        label=label, teacher_sha256=teacher_sha256, version=version, sizes=_Sizes(**asdict(model.config))
    )
    text = json.dumps(header.model_dump(mode="json"), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    tensors = {name: value.to(torch.float16) for name, value in model.state_dict().items()}
    return write_safetensors(path, tensors, {METADATA_KEY: text})


def read_parallel(path: Path) -> ParallelFile:
    """Reads an untrusted file.

    Raises:
        CheckpointError: it is missing, damaged, of something else, or holds NaN or infinity.
    """
    found = read_safetensors(path)
    text = found.metadata.get(METADATA_KEY)
    if text is None:
        raise CheckpointError(
            "it is no convolutional text-to-semantic model", code="checkpoint/damaged", where=str(path),
            hint="give a .safetensors file of `toolkit distil --student nar`",
        )  # fmt: skip
    try:
        header = ParallelHeader.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _damaged(path, f"its header is not one of such a model: {place}: {first['msg']}") from error
    with torch.device("meta"):
        model = ParallelSemantic(ParallelConfig(**header.sizes.model_dump()))
    for name, wanted in model.state_dict().items():
        value = found.tensors.get(name)
        if value is None or value.shape != wanted.shape or not value.is_floating_point():
            raise _damaged(path, f"tensor {name!r} is missing or not of shape {tuple(wanted.shape)}")
        if not torch.isfinite(value).all():
            raise _damaged(path, f"tensor {name!r} holds NaN or infinity")
    model.load_state_dict({name: found.tensors[name] for name in model.state_dict()}, assign=True)
    return ParallelFile(model=model.eval().requires_grad_(False), header=header, sha256=found.sha256)


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(what, code="checkpoint/damaged", where=str(path), hint="copy the file again")
