"""Padding changes nothing, blocks look as far as they say, and files come back or are refused."""

import json

import numpy as np
import pytest
import torch

from tests.toolkit.models.parallel_semantic.made_student import CONFIG, made_model
from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.semantic_batch import Pair
from toolkit.models.parallel_semantic.batch import batch_said, timed_batch
from toolkit.models.parallel_semantic.config import METADATA_KEY
from toolkit.models.parallel_semantic.file import read_parallel, write_parallel
from toolkit.models.safetensors_file import read_safetensors, write_safetensors


def _pair(count, seed):
    draw = np.random.default_rng(seed)
    durations = draw.integers(20, 130, count).astype(np.int32)
    codes = draw.integers(0, 16, max(1, round(durations.sum() / 40))).astype(np.int32)
    return Pair(phones=draw.integers(0, 12, count).astype(np.int32), codes=codes, durations_ms=durations)


def test_a_sentence_does_not_know_what_is_beside_it():
    model, pairs = made_model(), [_pair(5, 0), _pair(9, 1), _pair(2, 2)]
    together, durations = batch_said(model, timed_batch(pairs))
    alone = [batch_said(model, timed_batch([pair])) for pair in pairs]
    assert torch.allclose(together, torch.cat([logits for logits, _ in alone]), atol=1e-5)
    for row, (_, own) in enumerate(alone):
        assert torch.allclose(durations[row, 0, : own.shape[2]], own[0, 0], atol=1e-5)
    assert not durations[2, 0, 2:].any(), "nothing in padding"


def test_without_the_mask_it_would():
    """Twin: biases make something of padding."""
    model, short = made_model(), _pair(2, 2)
    batch = timed_batch([short, _pair(9, 1)])
    right, _ = batch_said(model, batch)
    batch.frame_mask.fill_(1.0)
    assert not torch.allclose(right[: len(short.codes)], batch_said(model, batch)[0][: len(short.codes)], atol=1e-3)


def test_blocks_look_as_far_as_they_say():
    model, reach = made_model(), CONFIG.frame_reach
    rows, timing, mask = torch.randn(1, 16, 41), torch.randn(1, 4, 41), torch.ones(1, 1, 41)
    before = model.frames(rows, timing, mask)
    rows[0, :, 20] += 1
    changed = (model.frames(rows, timing, mask) != before).any(dim=1)[0].nonzero().reshape(-1)
    assert (int(changed.min()), int(changed.max())) == (20 - reach, 20 + reach)


def _written(folder):
    return write_parallel(folder / "s.safetensors", made_model(), label="made", teacher_sha256="0" * 64, version="v2")


def test_a_file_comes_back_and_has_the_same_bytes_again(tmp_path):
    first = _written(tmp_path).read_bytes()
    found = read_parallel(tmp_path / "s.safetensors")
    assert found.model.config == CONFIG and (found.header.label, found.header.version) == ("made", "v2")
    for name, value in made_model().state_dict().items():
        assert torch.equal(found.model.state_dict()[name], value.half().float())
    assert _written(tmp_path).read_bytes() == first


def _changed(path, change):
    stored = read_safetensors(path)
    tensors, header = {k: v.half() for k, v in stored.tensors.items()}, json.loads(stored.metadata[METADATA_KEY])
    change(tensors, header)
    write_safetensors(path, tensors, {METADATA_KEY: json.dumps(header)})


def _nan(tensors, header):
    tensors["frames.head.bias"][0] = float("nan")


@pytest.mark.parametrize(
    "change, said",
    [
        (_nan, "NaN"),
        (lambda tensors, header: tensors.pop("phones.table.weight"), "missing"),
        (lambda tensors, header: header["sizes"].update(width=24), "not of shape"),
        (lambda tensors, header: header["sizes"].update(frame_kernel=4), "even"),
        (lambda tensors, header: header["sizes"].update(width=8192, expansion=16, frame_blocks=64), "weights"),
        (lambda tensors, header: header["sizes"].update(width=1 << 40), "sizes.width"),
        (lambda tensors, header: header.update(more=1), "more"),
        (lambda tensors, header: header.pop("teacher_sha256"), "teacher_sha256"),
    ],
)
def test_a_file_that_lies_is_one_error(tmp_path, change, said):
    _changed(_written(tmp_path), change)
    with pytest.raises(CheckpointError) as caught:
        read_parallel(tmp_path / "s.safetensors")
    assert caught.value.code == "checkpoint/damaged" and said in caught.value.message


def test_another_kind_of_file_is_refused(tmp_path):
    write_safetensors(tmp_path / "x.safetensors", {"a": torch.ones(2)}, {})
    with pytest.raises(CheckpointError, match="no convolutional"):
        read_parallel(tmp_path / "x.safetensors")
