"""A SoVITS file loses channels of its text encoder and nothing else, and is an ordinary file afterwards."""

import pytest
import torch

from toolkit.errors import RecipeError
from toolkit.models.gpt_sovits.checkpoint import read_checkpoint
from toolkit.models.gpt_sovits.seeded import small_config, write_sovits
from toolkit.pipeline.events import Silent
from toolkit.pipeline.shrink_sovits import prune_sovits
from toolkit.prune.sovits_encoder import prior_snr_db, prune_encoder
from toolkit.recipe.shrinking import Prune, checked

LIGHT = {"encoder_ratio": 0.3}


@pytest.mark.parametrize("version", ["v2", "v2Pro"])
def test_pruned_file_reads_like_any_other(tmp_path, version):
    path = write_sovits(tmp_path / "s.pth", small_config(version))
    done = prune_sovits(path, checked(Prune, LIGHT), tmp_path / "out", Silent())
    before, after = read_checkpoint(path), read_checkpoint(done.path, "sovits")
    assert after.version == version and after.sovits.stacks["encoder_text"].filter_channels == 16
    assert after.size_bytes < before.size_bytes
    untouched = [name for name in before.weights if "ffn_layers" not in name]
    assert all(torch.equal(before.weights[name], after.weights[name]) for name in untouched)
    assert done.result["protected_tensors_unchanged"] == sum(n.startswith(("flow.", "dec.")) for n in before.weights)


def test_idle_channels_go_without_a_trace_and_busy_ones_leave_one(tmp_path):
    busy = read_checkpoint(write_sovits(tmp_path / "s.pth", small_config("v2")))
    for name, tensor in busy.weights.items():
        if name.endswith("conv_2.weight"):
            tensor[:, 3:11] = 0.0
    done = prune_encoder(busy, checked(Prune, LIGHT))
    assert prior_snr_db(busy, done.weights, 0) > 90
    again = read_checkpoint(tmp_path / "s.pth")
    assert prior_snr_db(again, prune_encoder(again, checked(Prune, LIGHT)).weights, 0) < 60


def test_protected_encoder_is_refused(tmp_path):
    path = write_sovits(tmp_path / "s.pth", small_config("v2"))
    with pytest.raises(RecipeError) as caught:
        prune_sovits(path, checked(Prune, {"protect": ("enc_p.*",)}), tmp_path / "out", Silent())
    assert caught.value.code == "prune/protected"
    assert not (tmp_path / "out").exists()
    with pytest.raises(RecipeError):
        checked(Prune, {"encoder_ratio": 0.31})
