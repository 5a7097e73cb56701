"""Context managers that make modules exportable and put everything back afterwards."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import sys
import tempfile
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
def plain_weights(module: Any) -> Iterator[Any]:
    """The module with weight norm and other parametrisations computed once, so that the graph holds plain weights.

    Yields:
        The module itself, or a copy when parametrisations have to be taken out for good.
    """
    torch = frameworks.torch()
    hooks: list[tuple[Any, int, Any]] = []
    for submodule in module.modules():
        for key, hook in list(getattr(submodule, "_forward_pre_hooks", {}).items()):
            if type(hook).__name__ == "WeightNorm":
                setattr(submodule, hook.name, hook.compute_weight(submodule).detach())
                hooks.append((submodule, key, hook))
                del submodule._forward_pre_hooks[key]
    parametrize = torch.nn.utils.parametrize
    try:
        if any(parametrize.is_parametrized(submodule) for submodule in module.modules()):
            module = copy.deepcopy(module)
            for submodule in [m for m in module.modules() if parametrize.is_parametrized(m)]:
                values = {name: getattr(submodule, name).detach() for name in submodule.parametrizations}
                # `remove_parametrizations` would take the property off the class the original still has.
                submodule.__class__ = type(submodule).__bases__[0]
                del submodule.parametrizations
                for name, value in values.items():
                    submodule.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))
        yield module
    finally:
        for submodule, key, hook in hooks:
            submodule._forward_pre_hooks[key] = hook


@contextlib.contextmanager
def plain_rms_norm() -> Iterator[None]:
    """`rms_norm` as a mean of squares, a square root and a product; ONNX got an operator for it only in opset 23."""
    torch = frameworks.torch()
    functional = torch.nn.functional
    original = functional.rms_norm

    def rms_norm(x: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
        axes = tuple(range(-len(normalized_shape), 0))
        epsilon = torch.finfo(x.dtype).eps if eps is None else eps
        result = x / torch.sqrt((x * x).mean(axes, keepdim=True) + epsilon)
        return result if weight is None else result * weight

    functional.rms_norm = rms_norm
    try:
        yield
    finally:
        functional.rms_norm = original


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
def weights_apart() -> Iterator[dict[str, Any]]:
    """Lets an export without parameters tell what it left out; with them torch holds four copies of the weights.

    Yields:
        Name of a graph input that stands for a weight, to the tensor; filled once the export has run.
    """
    utils = frameworks.load("torch.onnx._internal.torchscript_exporter.utils")
    original, weights = utils._model_to_graph, {}

    def model_to_graph(*arguments: Any, **options: Any) -> tuple[Any, dict[str, Any], Any]:
        graph, parameters, result = original(*arguments, **options)
        weights.update(parameters)
        return graph, parameters, result

    utils._model_to_graph = model_to_graph
    try:
        yield weights
    finally:
        utils._model_to_graph = original


@contextlib.contextmanager
def native_output() -> Iterator[list[str]]:
    """Takes what native code writes to standard output; torch prints the whole graph when an export fails.

    Yields:
        A list that holds the text once the block is left.
    """
    captured: list[str] = []
    sys.stdout.flush()
    with tempfile.TemporaryFile() as file:
        saved = os.dup(1)
        os.dup2(file.fileno(), 1)
        try:
            yield captured
        finally:
            os.dup2(saved, 1)
            os.close(saved)
            file.seek(0)
            captured.append(file.read().decode("utf-8", "replace"))


@contextlib.contextmanager
def exportable(module: Any) -> Iterator[Any]:
    """Everything above at once; yields the module to trace."""
    with evaluation_mode(module), plain_weights(module) as plain, plain_attention(), plain_rms_norm():
        yield plain
