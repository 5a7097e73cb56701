"""Exact rewrites of a SoVITS checkpoint's tensors: what is constant is computed once, here.

Weight norm becomes plain weights; the codebook, its doubling to 50 Hz and the first projection become one table; the
style of one voice becomes biases. Source of what is folded: ``module/models.py``, ``module/modules.py`` of upstream.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.sovits_config import CODEBOOK


def without_weight_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``weight_g * weight_v / |weight_v|``, the norm over all axes but the first, also for transposed convolutions."""
    plain = {name: value for name, value in weights.items() if not name.endswith((".weight_g", ".weight_v"))}
    for name, gain in weights.items():
        if name.endswith(".weight_g"):
            path = name.removesuffix("_g")
            direction = weights[f"{path}_v"]
            norm = direction.flatten(1).norm(dim=1).reshape(-1, *[1] * (direction.ndim - 1))
            plain[path] = direction * (gain / norm)
    return plain


def code_table(weights: Mapping[str, Tensor]) -> Tensor:
    """Code to channels of ``enc_p``: ``[codes, hidden]``, the codebook seen through ``enc_p.ssl_proj``."""
    return weights[CODEBOOK] @ weights["enc_p.ssl_proj.weight"][:, :, 0].T + weights["enc_p.ssl_proj.bias"]


def fill(module: nn.Module, weights: Mapping[str, Tensor], prefix: str = "") -> None:
    """Copies tensors into a module whose parameters carry their names; 1x1 convolutions may have become linear layers.

    Args:
        module: every parameter of it is set.
        weights: without weight norm.
        prefix: in front of the module's names in the checkpoint.

    Raises:
        CheckpointError: a tensor is missing or of another shape.
    """
    for name, parameter in module.named_parameters():
        value = weights.get(f"{prefix}{name}")
        if value is not None and value.ndim == parameter.ndim + 1 and value.shape[-1] == 1:
            value = value[..., 0]
        if value is None or value.shape != parameter.shape:
            raise CheckpointError(
                f"tensor '{prefix}{name}' is {'missing' if value is None else tuple(value.shape)}, the model wants "
                f"{tuple(parameter.shape)}",
                code="checkpoint/wrong-shape",
            )
        with torch.no_grad():
            parameter.copy_(value)
    module.eval().requires_grad_(False)


def with_style(weights: Mapping[str, Tensor], style: Tensor, text_style: Tensor) -> dict[str, Tensor]:
    """Folds the style of one voice into biases; the layers it came through are gone.

    Everything that sees the style is linear in it and constant in time, so it is a bias: of ``mrte.c_post``, of every
    gated convolution of the flow, and of the vocoder's first convolution.

    Args:
        weights: without weight norm.
        style: ``ge`` ``[1, gin, 1]``.
        text_style: what the cross attention adds, ``[1, mrte, 1]``: ``ge``, or ``ge_to512`` of it in v2Pro.
    """
    folded = {name: value for name, value in weights.items() if not _carries_style(name)}
    post = "enc_p.mrte.c_post"
    folded[f"{post}.bias"] = weights[f"{post}.bias"] + weights[f"{post}.weight"][:, :, 0] @ text_style[0, :, 0]
    folded["dec.conv_pre.bias"] = weights["dec.conv_pre.bias"] + _condition(weights, "dec.cond", style)
    for name in weights:
        if name.endswith(".enc.cond_layer.weight") and name.startswith("flow."):
            path = name.removesuffix(".cond_layer.weight")
            gates = _condition(weights, f"{path}.cond_layer", style)
            width, layer = weights[f"{path}.in_layers.0.bias"].numel(), 0
            while (bias := f"{path}.in_layers.{layer}.bias") in weights:
                folded[bias] = weights[bias] + gates[layer * width : (layer + 1) * width]
                layer += 1
    return folded


def _condition(weights: Mapping[str, Tensor], path: str, style: Tensor) -> Tensor:
    return weights[f"{path}.weight"][:, :, 0] @ style[0, :, 0] + weights[f"{path}.bias"]


def _carries_style(name: str) -> bool:
    return ".cond_layer." in name or name.startswith(("dec.cond.", "ref_enc.", "sv_emb.", "prelu.", "ge_to512."))
