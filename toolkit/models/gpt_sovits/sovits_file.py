"""Writes a SoVITS file as upstream's ``process_ckpt.savee`` does, with a pickled ``utils.HParams``."""

from __future__ import annotations

import io
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor

from toolkit.models.gpt_sovits.archive import HEADERS

_MARKED: Final = ("v2Pro", "v2ProPlus")


def sovits_file_bytes(
    weights: Mapping[str, Tensor],
    config: Mapping[str, Any],
    info: str,
    *,
    version: str,
    dtype: torch.dtype = torch.float16,
) -> bytes:
    """The file's content; the same weights give the same bytes.

    Args:
        weights: by checkpoint name.
        config: plain dictionaries, lists, numbers and strings.
        info: what it is, in a few words.
        version: v2Pro and v2ProPlus files start with two bytes in place of ``PK``; others, and ``""``, do not.
        dtype: of the weights on disk.
    """
    stored = {n: v.to(dtype).clone() if v.is_floating_point() else v.clone() for n, v in weights.items()}
    saved: OrderedDict[str, Any] = OrderedDict(weight=stored)
    with _upstream_hparams() as hparams:
        saved["config"] = _as_hparams(config, hparams)
        saved["info"] = info
        held = io.BytesIO()
        torch.save(saved, held)
    data = held.getvalue()
    codes = {name: code for code, name in HEADERS.items()}
    return codes[version] + data[2:] if version in _MARKED else data


def _as_hparams(values: Mapping[str, Any], hparams: type) -> Any:
    made = hparams()
    made.__dict__.update({k: _as_hparams(v, hparams) if isinstance(v, Mapping) else v for k, v in values.items()})
    return made


@contextmanager
def _upstream_hparams() -> Iterator[type]:
    """A class that pickles under upstream's name; the module it pretends to live in is gone afterwards."""
    hparams = type("HParams", (), {"__module__": "utils"})
    module, before = types.ModuleType("utils"), sys.modules.get("utils")
    module.HParams = hparams  # type: ignore[attr-defined]
    sys.modules["utils"] = module
    try:
        yield hparams
    finally:
        if before is None:
            del sys.modules["utils"]
        else:
            sys.modules["utils"] = before
