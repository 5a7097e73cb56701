"""Context managers that make modules exportable and put everything back afterwards."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from converters import frameworks


@contextlib.contextmanager
def evaluation_mode(module: Any) -> Iterator[None]:
    """Eval mode for the module and all submodules, each restored to what it was."""
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for submodule, mode in modes:
            submodule.training = mode


@contextlib.contextmanager
def weight_norm_folded(module: Any) -> Iterator[None]:
    """Old-style and parametrised weight norm replaced by the plain weight while the graph is traced."""
    torch = frameworks.torch()
    hooks: list[tuple[Any, int, Any]] = []
    for submodule in module.modules():
        for key, hook in list(getattr(submodule, "_forward_pre_hooks", {}).items()):
            if type(hook).__name__ == "WeightNorm":
                setattr(submodule, hook.name, hook.compute_weight(submodule).detach())
                hooks.append((submodule, key, hook))
                del submodule._forward_pre_hooks[key]
    try:
        with torch.nn.utils.parametrize.cached():
            yield
    finally:
        for submodule, key, hook in hooks:
            submodule._forward_pre_hooks[key] = hook


@contextlib.contextmanager
def plain_attention() -> Iterator[None]:
    """`scaled_dot_product_attention` as matmul, softmax, matmul; the fused encoder-layer fast path off.

    Tracing hands ``is_causal`` over as a tensor, which the fused function refuses.
    """
    torch = frameworks.torch()
    functional = torch.nn.functional
    original = functional.scaled_dot_product_attention
    fast_path = torch.backends.mha.get_fastpath_enabled()

    def attention(
        query: Any,
        key: Any,
        value: Any,
        attn_mask: Any = None,
        dropout_p: float = 0.0,
        is_causal: Any = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Any:
        if enable_gqa and key.shape[-3] != query.shape[-3]:
            repeats = int(query.shape[-3]) // int(key.shape[-3])
            key, value = key.repeat_interleave(repeats, -3), value.repeat_interleave(repeats, -3)
        factor = 1.0 / math.sqrt(int(query.shape[-1])) if scale is None else scale
        scores = torch.matmul(query * factor, key.transpose(-2, -1))
        if bool(is_causal):
            rows, columns = int(query.shape[-2]), int(key.shape[-2])
            future = torch.ones(rows, columns, dtype=torch.bool).triu(1)
            scores = scores + torch.zeros(rows, columns).masked_fill(future, -1e9)
        elif attn_mask is not None:
            mask = attn_mask
            if mask.dtype == torch.bool:
                mask = (~mask).to(scores.dtype) * -1e9
            scores = scores + mask
        return torch.matmul(torch.softmax(scores, -1), value)

    functional.scaled_dot_product_attention = attention
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = original
        torch.backends.mha.set_fastpath_enabled(fast_path)


@contextlib.contextmanager
def exportable(module: Any) -> Iterator[None]:
    """Everything above at once."""
    with evaluation_mode(module), weight_norm_folded(module), plain_attention():
        yield
