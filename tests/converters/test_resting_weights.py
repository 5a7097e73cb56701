"""Weights in a mapped file: equal values, and no memory while nobody reads them."""

from __future__ import annotations

import copy
import errno

import pytest
import torch

from converters import resting_weights
from converters.errors import InputError
from converters.resting_weights import move_to_file, rest
from tests.peak_memory import needs_linux, resident_bytes

WIDTH = 2048  # a matrix of 16 MB


class Two(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.ModuleDict({"a": torch.nn.Linear(WIDTH, WIDTH), "b": torch.nn.Linear(WIDTH, WIDTH)})
        self.register_buffer("count", torch.tensor(3, dtype=torch.int64))
        self.register_buffer("nothing", torch.zeros(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner["b"](self.inner["a"](x)) + self.count


def made() -> tuple[Two, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    module = Two().eval().requires_grad_(False)
    return module, {name: value.clone() for name, value in module.state_dict().items()}


def test_values_and_outputs_stay_through_moving_and_resting() -> None:
    module, before = made()
    x = torch.ones(1, WIDTH)
    expected = module(x)
    move_to_file(module, min_bytes=0)
    rest(module)
    assert torch.equal(module(x), expected)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@needs_linux
def test_resting_weights_take_no_memory_and_read_ones_do() -> None:
    module, _ = made()
    move_to_file(module, min_bytes=0)
    module(torch.ones(1, WIDTH))
    there = resident_bytes("RssFile") + resident_bytes("RssShmem")
    rest(module)
    gone = there - resident_bytes("RssFile") - resident_bytes("RssShmem")
    assert gone > 28e6
    module(torch.ones(1, WIDTH))
    assert resident_bytes("RssFile") + resident_bytes("RssShmem") > there - 4e6


def test_what_is_written_to_a_weight_is_kept_when_it_rests() -> None:
    module, _ = made()
    move_to_file(module, min_bytes=0)
    module.inner["a"].weight.fill_(0.5)
    rest(module)
    assert bool((module.inner["a"].weight == 0.5).all())


def test_module_around_it_rests_what_is_inside_and_a_copy_is_its_own() -> None:
    module, before = made()
    move_to_file(module, min_bytes=0)
    twin = copy.deepcopy(module)
    twin.inner["a"].weight.zero_()
    rest(torch.nn.Sequential(module))
    assert torch.equal(module.inner["a"].weight, before["inner.a.weight"])


def test_small_module_stays_where_it_is() -> None:
    module, _ = made()
    places = [parameter.data_ptr() for parameter in module.parameters()]
    move_to_file(module)
    assert [parameter.data_ptr() for parameter in module.parameters()] == places


def test_full_disk_is_an_error_and_the_module_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    module, before = made()

    def full(file: object, size_bytes: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(resting_weights, "_reserve", full)
    with pytest.raises(InputError, match="have no room in the folder of temporary files: No space left") as caught:
        move_to_file(module, min_bytes=0)
    assert caught.value.code == "output/not-writable"
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
