"""What a student is trained to make small.

Source: Hinton, Vinyals and Dean 2015, arXiv:1503.02531. Soft targets' gradients shrink with the square of the
temperature; the factor puts them beside the task's again.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def softened_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """``T^2 * KL(teacher || student)`` of logits softened by the temperature, in nats, mean over rows.

    Args:
        student: ``[n, vocabulary]``.
        teacher: likewise.
        temperature: T.
    """
    told = functional.log_softmax(teacher / temperature, dim=1)
    said = functional.log_softmax(student / temperature, dim=1)
    return temperature**2 * functional.kl_div(said, told, reduction="batchmean", log_target=True)


def distillation_loss(student: Tensor, teacher: Tensor, targets: Tensor, *, temperature: float, alpha: float) -> Tensor:
    """``alpha * T^2 * KL + (1 - alpha) * cross-entropy``.

    Args:
        student: logits ``[n, vocabulary]``.
        teacher: likewise.
        targets: codes of the data ``[n]``.
        temperature: T.
        alpha: weight of what the teacher says.
    """
    told = softened_divergence(student, teacher, temperature)
    return alpha * told + (1.0 - alpha) * functional.cross_entropy(student, targets)
