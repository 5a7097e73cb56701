"""Reads GPT-SoVITS checkpoints: either half of the model, of every version a phone can bear.

Files come from strangers. Nothing in them is run (see ``inert_pickle``), every size is bounded by the file's own, and
whatever is wrong with one is a single error.
Source: ``process_ckpt.py``, ``s1_train.py``, ``utils.py`` of upstream.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from torch import Tensor

from converters.errors import InputError
from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.archive import Archive
from toolkit.models.gpt_sovits.inert_pickle import TensorRecord
from toolkit.models.gpt_sovits.semantic_config import semantic_config
from toolkit.models.gpt_sovits.sovits_config import SovitsConfig, sovits_config

Kind = Literal["gpt", "sovits"]
_SYMBOLS_V1: Final = 322
_GPT_ROWS_V1: Final = 512
_PRO_PLUS_WIDTH: Final = 768
_DIFFUSION: Final = ("cfm.", "bridge.", "wns1.", "linear_mel.")
_MOST_VALUES: Final = 100_000
_DEEPEST: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """One file of a GPT-SoVITS model.

    Attributes:
        path: the file.
        kind: ``gpt`` (text to semantic codes) or ``sovits`` (codes to sound).
        version: ``v1``, ``v2``, ``v2Pro`` or ``v2ProPlus``; ``v1`` or ``v2`` for a GPT file, which all later versions
            share.
        weights: tensors by checkpoint name, floats in float32; a GPT file's prefix ``model.`` is taken off.
        config: the configuration in the file, of plain dictionaries, lists, numbers and strings; empty where there
            is none.
        info: what training wrote about it, e.g. ``GPT-e15``.
        sha256: of the file.
        size_bytes: of the file.
        dtype: of the weights on disk.
        has_posterior_encoder: whether it holds ``enc_q``, which only training uses.
        sovits: sizes of a SoVITS model; ``None`` for a GPT file.
    """

    path: Path
    kind: Kind
    version: str
    weights: Mapping[str, Tensor] = field(repr=False)
    config: Mapping[str, Any] = field(repr=False)
    info: str
    sha256: str
    size_bytes: int
    dtype: str
    has_posterior_encoder: bool
    sovits: SovitsConfig | None = None

    @property
    def parameters(self) -> dict[str, int]:
        """Number of weights of each part, by the first word of their names."""
        counts: dict[str, int] = {}
        for name, tensor in self.weights.items():
            part = name.partition(".")[0]
            counts[part] = counts.get(part, 0) + tensor.numel()
        return counts


def read_checkpoint(path: Path | str, expected: Kind | None = None) -> Checkpoint:
    """Reads and checks a checkpoint.

    Args:
        path: ``.ckpt`` or ``.pth`` file; its ending is not looked at.
        expected: which half of the model it should be.

    Raises:
        CheckpointError: missing, foreign, damaged, hostile, of the other half or of a version that does not convert.
    """
    path = Path(path)
    archive = Archive(path)
    contents = archive.contents
    if not isinstance(contents, dict):
        raise _foreign(archive.where)
    # "weight": a file for inference; "model": one to resume training from, with an optimizer beside it.
    records = contents.get("weight", contents.get("model"))
    if not isinstance(records, dict) or not records:
        raise _foreign(archive.where)
    odd = [name for name, record in records.items() if not isinstance(name, str) or type(record) is not TensorRecord]
    if odd:
        raise archive.damaged(f"{str(odd[0])[:80]!r} among its weights is no tensor")
    kind = _kind(records, archive.where)
    if expected is not None and kind != expected:
        raise CheckpointError(
            f"it is a {_NAMED[kind]}, not a {_NAMED[expected]}", code="checkpoint/swapped", where=archive.where,
            hint="exchange the two paths",
        )  # fmt: skip
    if kind == "sovits":
        _refuse_diffusion(records, archive)
    if sum(_elements(record) for record in records.values()) > len(archive.data):
        raise archive.damaged("its tensors are larger than the file")
    weights = {name.removeprefix("model."): archive.tensor(name, record) for name, record in records.items()}
    _check_finite(weights, archive.where)
    config = _plain(contents.get("config", {}), archive)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if kind == "gpt":
        _check_gpt(weights, config, archive.where)
    version = _gpt_version(shapes) if kind == "gpt" else _sovits_version(shapes)
    model = config.get("model")
    info = contents.get("info", "")
    return Checkpoint(
        path=path,
        kind=kind,
        version=version,
        weights=weights,
        config=config,
        info=info if isinstance(info, str) else "",
        sha256=hashlib.sha256(archive.data).hexdigest(),
        size_bytes=len(archive.data),
        dtype=max((record.dtype for record in records.values()), key=[r.dtype for r in records.values()].count),
        has_posterior_encoder=any(name.startswith("enc_q.") for name in weights),
        sovits=sovits_config(shapes, model if isinstance(model, dict) else {}, version, archive.where)
        if kind == "sovits"
        else None,
    )


_NAMED: Final = {"gpt": "GPT checkpoint (.ckpt)", "sovits": "SoVITS checkpoint (.pth)"}


def _foreign(where: str) -> CheckpointError:
    return CheckpointError(
        "it holds no weights of GPT-SoVITS",
        code="checkpoint/foreign",
        where=where,
        hint="give a file from GPT_weights*, SoVITS_weights* or upstream's pretrained_models",
    )


def _kind(names: Mapping[str, Any], where: str) -> Kind:
    if any(name.removeprefix("model.").startswith("ar_text_embedding.") for name in names):
        return "gpt"
    if any(name.startswith(("enc_p.", "cfm.")) for name in names):
        return "sovits"
    raise _foreign(where)


def _refuse_diffusion(names: Mapping[str, Any], archive: Archive) -> None:
    later = archive.header_version in ("v3", "v3 LoRA", "v4 LoRA")
    if later or any(name.startswith(_DIFFUSION) or ".lora_" in name for name in names):
        raise CheckpointError(
            f"it is SoVITS {archive.header_version or 'v3 or v4'}, whose decoder is a diffusion transformer: "
            "dozens of passes through 337 M parameters a sentence, too much for a phone",
            code="checkpoint/unsupported-version",
            where=archive.where,
            hint="toolkit convert GPT.ckpt alone converts its GPT half; for sound, pair that with a v2Pro .pth",
        )


def _elements(record: TensorRecord) -> int:
    count = 1
    for size in record.shape:
        count *= size
    return count


def _check_finite(weights: Mapping[str, Tensor], where: str) -> None:
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(
                f"tensor {name!r} holds NaN or infinity", code="checkpoint/not-finite", where=where,
                hint="training diverged; take an earlier epoch",
            )  # fmt: skip


def _check_gpt(weights: Mapping[str, Tensor], config: Mapping[str, Any], where: str) -> None:
    """Every tensor of a GPT file, each against the others and against the heads and layers its configuration names."""
    model = config.get("model")
    told = model if isinstance(model, dict) else {}
    heads, layers = told.get("head"), told.get("n_layer")
    try:
        # No tensor shows the heads. Without a configuration the tensors alone are checked; building the model asks.
        found = semantic_config(weights, heads=1 if heads is None else heads, where=where)
    except InputError as error:
        raise CheckpointError(error.message, code="checkpoint/wrong-shape", where=where, hint=error.hint) from error
    # A file that lost its last layer whole is a smaller model to its tensors, and another one to its configuration.
    if layers is not None and layers != found.layers:
        raise CheckpointError(
            f"its tensors make {found.layers} layers, its configuration says n_layer {layers}",
            code="checkpoint/wrong-shape",
            where=where,
            hint="copy the file again; if layers were left out on purpose, write their number as n_layer too",
        )


def _gpt_version(shapes: Mapping[str, tuple[int, ...]]) -> str:
    rows = shapes["ar_text_embedding.word_embeddings.weight"][0]
    return "v1" if rows in (_SYMBOLS_V1, _GPT_ROWS_V1) else "v2"


def _sovits_version(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """From the tensors: file sizes and headers, which upstream looks at, are wrong for pruned files."""
    if any(name.startswith("sv_emb.") for name in shapes):
        return "v2ProPlus" if shapes.get("dec.conv_pre.weight", (0,))[:1] == (_PRO_PLUS_WIDTH,) else "v2Pro"
    return "v1" if shapes.get("enc_p.text_embedding.weight", (0,))[:1] == (_SYMBOLS_V1,) else "v2"


def _plain(value: Any, archive: Archive) -> dict[str, Any]:
    """The configuration as plain values, bounded: references in a description can multiply without end."""
    left = [_MOST_VALUES]

    def copy(item: Any, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > _DEEPEST:
            raise archive.damaged("its configuration is without end")
        if isinstance(item, dict):
            return {str(key): copy(each, depth + 1) for key, each in item.items()}
        if isinstance(item, list | tuple):
            return [copy(each, depth + 1) for each in item]
        return item if item is None or type(item) in (str, int, float, bool) else str(type(item).__name__)

    return copy(value, 0) if isinstance(value, dict) else {}
