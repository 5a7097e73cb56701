"""What stays: the most important, in multiples, no layer below its floor."""

import torch

from toolkit.prune.groups import Group
from toolkit.prune.selection import channels_to_keep, heads_to_keep


def _groups(*counts):
    return [Group(place=f"h.layers.{i}", kind="mlp", count=count, members=()) for i, count in enumerate(counts)]


def _kept(scores, total, multiple=8, floor=8):
    groups = _groups(*(len(score) for score in scores))
    keeps = channels_to_keep(
        dict(zip(groups, scores, strict=True)), total, multiple=multiple, smallest={g.place: floor for g in groups}
    )
    return [keeps[group].tolist() for group in groups]


def test_important_layers_keep_more():
    first, second = torch.arange(32.0), torch.arange(32.0) + 16
    kept = _kept([first, second], 32)
    assert [len(each) for each in kept] == [8, 24]
    assert kept == [list(range(24, 32)), list(range(8, 32))]


def test_no_layer_falls_below_its_floor_and_the_total_is_met():
    kept = _kept([torch.zeros(64), torch.ones(64)], 64, floor=16)
    assert [len(each) for each in kept] == [16, 48]


def test_counts_are_multiples_near_the_total():
    scores = [torch.rand(100, generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    counts = [len(each) for each in _kept(scores, 250)]
    assert all(count % 8 == 0 for count in counts) and abs(sum(counts) - 250) <= 8


def test_width_that_is_no_multiple_can_stay_whole():
    assert [len(each) for each in _kept([torch.rand(60), torch.rand(60)], 120)] == [60, 60]


def test_ties_are_broken_by_place():
    assert _kept([torch.zeros(16)], 8) == [list(range(8))]


def test_every_layer_keeps_as_many_heads():
    groups = _groups(4, 4)
    keeps = heads_to_keep({groups[0]: torch.tensor([1.0, 9, 3, 7]), groups[1]: torch.tensor([4.0, 3, 2, 1])}, 2)
    assert [keeps[group].tolist() for group in groups] == [[1, 3], [0, 1]]
