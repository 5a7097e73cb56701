"""Flow and VAE decoder stay as they are: asked before anything is cut, and checked after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

import torch
from torch import Tensor

from toolkit.errors import GateFailed, RecipeError
from toolkit.prune.groups import Group
from toolkit.recipe.shrinking import PROTECTED_PARTS

_PARTS: Final = {glob: part for part, glob in PROTECTED_PARTS.items()}


def refuse_protected(groups: Iterable[Group], protect: Sequence[str]) -> None:
    """No group has a member in a protected tensor.

    Raises:
        RecipeError: one has; names it.
    """
    for group in groups:
        for member in group.members:
            found = _protecting(member.name, protect)
            if found is not None:
                raise RecipeError(
                    f"{member.name!r} is protected by {found!r}",
                    code="prune/protected",
                    where=group.place,
                    hint="leave it out of what is pruned, or allow it: "
                    + (f"--unprotect {_PARTS[found]}, or " if found in _PARTS else "")
                    + f"{found!r} taken out of the recipe's prune.protect (of the command's --protect)",
                )


def verify_protected(before: Mapping[str, Tensor], after: Mapping[str, Tensor], protect: Sequence[str]) -> int:
    """Every protected tensor is what it was, bit for bit.

    Returns:
        How many were compared.

    Raises:
        GateFailed: one is missing or other; names it.
    """
    names = [name for name in before if _protecting(name, protect) is not None]
    for name in names:
        if name not in after or not torch.equal(before[name], after[name]):
            raise GateFailed(
                f"protected tensor {name!r} is {'not the same' if name in after else 'gone'}",
                code="prune/protected-changed",
                where="pruned model",
                hint="this is a defect of the pruning: nothing was written",
            )
    return len(names)


def is_protected(name: str, protect: Sequence[str]) -> bool:
    """Whether a tensor must stay as it is."""
    return _protecting(name, protect) is not None


def _protecting(name: str, protect: Sequence[str]) -> str | None:
    return next((glob for glob in protect if fnmatchcase(name, glob)), None)
