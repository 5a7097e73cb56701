"""Writes a text-to-semantic model as upstream's ``s1_train.py`` does: a ``.ckpt`` like any other.

Upstream's own code builds its model from the configuration and knows one inner width for all layers and heads that fill
the width; files of pruned models are for this project, which reads the widths from the tensors.
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.semantic import SemanticModel
from toolkit.whole_file import whole_file


def semantic_file_bytes(
    model: SemanticModel, info: str, config: Mapping[str, Any], dtype: torch.dtype = torch.float16
) -> bytes:
    """The file's content; the same model gives the same bytes.

    Args:
        model: what is written.
        info: what it is, in a few words; upstream writes the epoch there.
        config: configuration of the model it was made from; sizes are put right.
        dtype: of the weights on disk.

    Raises:
        CheckpointError: a weight is not finite in that type.
    """
    weights = OrderedDict((f"model.{n}", value.detach().to(dtype).clone()) for n, value in model.state_dict().items())
    bad = next((name for name, value in weights.items() if not bool(value.isfinite().all())), None)
    if bad is not None:
        raise CheckpointError(
            f"tensor {bad!r} holds NaN or infinity, or what {dtype} has no number for",
            code="checkpoint/not-finite",
            where=info,
            hint="training diverged; lower the learning rate",
        )
    sizes, before = model.config, config.get("model")
    told = {
        **(before if isinstance(before, dict) else {}),
        "head": sizes.heads,
        "hidden_dim": sizes.width,
        "embedding_dim": sizes.width,
        "linear_units": max(sizes.inners),
        "n_layer": sizes.layers,
        "phoneme_vocab_size": sizes.symbols,
        "vocab_size": sizes.vocabulary,
        "EOS": sizes.stop_token,
    }
    held = io.BytesIO()
    torch.save(OrderedDict(weight=weights, config={"data": {}, **config, "model": told}, info=info), held)
    return held.getvalue()


def write_semantic(
    path: Path, model: SemanticModel, info: str, config: Mapping[str, Any], dtype: torch.dtype = torch.float16
) -> Path:
    """Writes the file, whole or not at all; see ``semantic_file_bytes``."""
    with whole_file(path) as scratch:
        scratch.write_bytes(semantic_file_bytes(model, info, config, dtype))
    return path
