"""The linear map that reproduces what a teacher's did, from fewer inputs."""

from __future__ import annotations

import torch
from torch import Tensor


def fitted(inputs: Tensor, targets: Tensor, *, ridge: float = 1e-6) -> tuple[Tensor, Tensor]:
    """``weight [out, in]`` and ``bias [out]`` with the least squared error of ``inputs @ weight.T + bias - targets``.

    Args:
        inputs: ``[rows, in]``.
        targets: ``[rows, out]``.
        ridge: of the mean square of the inputs, added to the diagonal: keeps weights small where inputs say the same.
    """
    wide, wanted = inputs.double(), targets.double()
    mean, aim = wide.mean(0), wanted.mean(0)
    centred = wide - mean
    square = centred.T @ centred
    square += ridge * square.diagonal().mean() * torch.eye(len(square), dtype=square.dtype)
    weight = torch.linalg.solve(square, centred.T @ (wanted - aim)).T
    return weight.float(), (aim - weight @ mean).float()


def principal(rows: Tensor, count: int) -> Tensor:
    """The ``count`` directions ``[features, count]`` that hold most of the energy of ``[rows, features]``."""
    wide = rows.double()
    _, vectors = torch.linalg.eigh(wide.T @ wide)
    return vectors.flip(1)[:, :count].float()


def largest(norms: Tensor, count: int) -> Tensor:
    """Places of the largest, in their order."""
    return norms.argsort(descending=True, stable=True)[:count].sort().values
