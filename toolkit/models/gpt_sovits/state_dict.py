"""Weights of the pretrained models GPT-SoVITS listens and reads with (HuBERT, RoBERTa, ERes2NetV2), in any usual file.

An archive of ``torch.save`` is read by ``archive`` without unpickling. A directory is one of Hugging Face's: weights
and ``config.json``.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.archive import Archive
from toolkit.models.gpt_sovits.inert_pickle import TensorRecord
from toolkit.models.safetensors_file import read_safetensors

_WEIGHT_FILES: Final = ("model.safetensors", "pytorch_model.safetensors", "pytorch_model.bin", "model.pt")
_MOST_JSON_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StateDict:
    """Weights of one model.

    Attributes:
        path: the file.
        weights: name to tensor, floats in float32, all finite.
        config: ``config.json`` beside it; empty where there is none.
        sha256: of the file.
    """

    path: Path
    weights: Mapping[str, Tensor] = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)
    sha256: str

    def without_prefix(self, prefix: str) -> dict[str, Tensor]:
        """The weights, the prefix taken off the names that have it."""
        return {name.removeprefix(prefix): tensor for name, tensor in self.weights.items()}

    def whole_number(self, name: str, otherwise: int) -> int:
        """A positive whole number of the configuration, or the published model's where there is none.

        Raises:
            CheckpointError: it is something else.
        """
        found = self.config.get(name, otherwise)
        if type(found) is not int or not 0 < found < 1 << 20:
            raise CheckpointError(
                f"config.json: {name} is {str(found)[:40]!r}", code="checkpoint/wrong-shape", where=str(self.path)
            )
        return found


def read_state_dict(path: Path | str) -> StateDict:
    """Reads weights from an untrusted file; nothing of it is run.

    Args:
        path: a ``.safetensors`` file, a ``.pt``/``.pth``/``.bin``/``.ckpt`` of ``torch.save``, or a directory.

    Raises:
        CheckpointError: missing, foreign, damaged, hostile, or a weight is not finite.
    """
    path = Path(path)
    file = _weights_file(path) if path.is_dir() else path
    if file.suffix == ".safetensors":
        stored = read_safetensors(file)
        loaded, digest = dict(stored.tensors), stored.sha256
    else:
        loaded, digest = _torch_file(file)
    for name, tensor in loaded.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(
                f"tensor {name[:80]!r} holds NaN or infinity", code="checkpoint/not-finite", where=str(file)
            )
    return StateDict(path=file, weights=loaded, config=_config(file.parent), sha256=digest)


def filled_module(module: nn.Module, weights: Mapping[str, Tensor], where: Path) -> nn.Module:
    """The module with its parameters and running statistics copied from tensors of their names, for inference.

    Raises:
        CheckpointError: a tensor is missing or of another shape; names it.
    """
    wanted = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for name, parameter in wanted.items():
        if name.endswith("num_batches_tracked"):  # a counter of training
            continue
        value = weights.get(name)
        if value is None or value.shape != parameter.shape:
            raise CheckpointError(
                f"tensor {name!r} is {'missing' if value is None else tuple(value.shape)}, the model wants "
                f"{tuple(parameter.shape)}",
                code="checkpoint/wrong-shape",
                where=str(where),
                hint="the file is incomplete, or of another kind of model",
            )
        with torch.no_grad():
            parameter.copy_(value)
    return module.eval().requires_grad_(False)


def shape_of(weights: Mapping[str, Tensor], name: str, rank: int, where: Path) -> tuple[int, ...]:
    """Shape of a tensor that tells a size of the model.

    Raises:
        CheckpointError: it is missing, empty or of another rank.
    """
    found = weights.get(name)
    if found is None or found.ndim != rank or 0 in found.shape:
        raise CheckpointError(
            f"tensor {name!r} is {'missing' if found is None else tuple(found.shape)}",
            code="checkpoint/wrong-shape",
            where=str(where),
            hint="the file is incomplete, or of another kind of model",
        )
    return tuple(found.shape)


def layer_count(weights: Mapping[str, Tensor], prefix: str) -> int:
    """One more than the highest number after the prefix, so that a layer that lacks a tensor counts and is missed."""
    numbers = (name.removeprefix(prefix).partition(".")[0] for name in weights if name.startswith(prefix))
    return max((int(number) + 1 for number in numbers if number.isdecimal() and len(number) < 4), default=0)


def _weights_file(folder: Path) -> Path:
    for name in _WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(
        f"the directory holds none of {', '.join(_WEIGHT_FILES)}",
        code="checkpoint/not-found",
        where=str(folder),
        hint="give the directory as it was downloaded, or the weights file itself",
    )


def _torch_file(file: Path) -> tuple[dict[str, Tensor], str]:
    archive = Archive(file)
    found = archive.contents
    for key in ("state_dict", "model", "weight"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    records = found if isinstance(found, dict) else {}
    if not records or not all(isinstance(n, str) and type(r) is TensorRecord for n, r in records.items()):
        raise CheckpointError(
            "it holds no dictionary of tensors", code="checkpoint/foreign", where=str(file),
            hint="give a state dict: what torch.save(model.state_dict()) writes, or .safetensors",
        )  # fmt: skip
    if sum(math.prod(record.shape) for record in records.values()) > len(archive.data):
        raise archive.damaged("its tensors are larger than the file")
    loaded = {name: archive.tensor(name, record) for name, record in records.items()}
    return loaded, hashlib.sha256(archive.data).hexdigest()


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > _MOST_JSON_BYTES:
            raise ValueError("it is too long")
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"config.json cannot be read: {str(error)[:120]}", code="checkpoint/damaged", where=str(path)
        ) from error
    return found if isinstance(found, dict) else {}
