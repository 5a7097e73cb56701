"""Padded buckets are exact inside the mask; the flow is the inverse of its definition."""

import dataclasses

import numpy as np
import pytest
import torch

from toolkit.models.seeded import seeded_voice
from toolkit.models.vits import host
from toolkit.models.vits.flow import Flip, ResidualCouplingFlow
from toolkit.models.vits.generator import Generator
from toolkit.models.voice import PARTS, Buckets, Voice, torch_runner


@pytest.fixture(scope="module", params=["1", "2"])
def voice(request: pytest.FixtureRequest) -> Voice:
    return seeded_voice(0, resblock=request.param)


def padded_and_exact(voice: Voice, part: str, length: int, bucket: int) -> tuple[dict, dict, int]:
    """Outputs with junk in the padding, outputs without padding, and output samples per input step."""
    noise = np.random.default_rng(1)
    module, spec = voice.part(part, bucket)
    name = spec.inputs[0].name
    shape = spec.inputs[0].shape
    if part == "encoder":
        signal = noise.integers(0, voice.config.encoder.vocabulary, shape).astype(np.int32)
    else:
        signal = noise.standard_normal(shape).astype(np.float32)
    if part == "flow":
        signal[..., length:] = 0.0  # the host's contract: a prior sample is 0 outside the mask
    padded = torch_runner(module, spec)({name: signal, "mask": host.mask_of(length, bucket)})
    exact = torch_runner(*voice.part(part, length))(
        {name: np.ascontiguousarray(signal[..., :length]), "mask": host.mask_of(length, length)}
    )
    return padded, exact, voice.hop if part == "decoder" else 1


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("length", "bucket"), [(21, 32), (31, 32), (32, 32)])
def test_padding_is_exact_inside_the_mask(voice: Voice, part: str, length: int, bucket: int) -> None:
    padded, exact, hop = padded_and_exact(voice, part, length, bucket)
    for name, wanted in exact.items():
        np.testing.assert_allclose(padded[name][..., : length * hop], wanted, atol=2e-6)
        if part != "decoder":
            assert not padded[name][..., length:].any()


def test_masking_the_input_only_leaks_into_the_last_frames(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: upstream's generator, which the stage masks correct."""

    def unmasked(mask: torch.Tensor, scale_factor: float, mode: str) -> torch.Tensor:
        return torch.ones(1, 1, int(mask.shape[-1] * scale_factor))

    monkeypatch.setattr(torch.nn.functional, "interpolate", unmasked)
    padded, exact, hop = padded_and_exact(voice, "decoder", 21, 32)
    error = np.abs(padded["audio"][..., : 21 * hop] - exact["audio"])
    assert error[..., -hop:].max() > 1e-3
    assert error[..., : 4 * hop].max() < 2e-6


def coupled_forward(flow: ResidualCouplingFlow, z: torch.Tensor, mask: torch.Tensor, flips: bool) -> torch.Tensor:
    """The flow's training direction, from its definition."""
    for layer in flow.flows:
        if isinstance(layer, Flip):
            z = torch.flip(z, [1]) if flips else z
        else:
            kept, moved = z[:, : layer.half], z[:, layer.half :]
            mean = layer.post(layer.enc(layer.pre(kept) * mask, mask)) * mask
            z = torch.cat([kept, moved + mean], 1)
    return z


@pytest.mark.parametrize("flips", [True, False])
def test_flow_inverts_its_forward_direction_and_needs_the_flips(flips: bool) -> None:
    voice = seeded_voice(0)
    flow = voice.modules["flow"].flow
    z, mask = torch.randn(1, 32, 20, generator=torch.Generator().manual_seed(0)), torch.ones(1, 1, 20)
    error = (flow(coupled_forward(flow, z, mask, flips), mask) - z).abs().max()
    assert (error < 1e-5) == flips


def test_parts_share_one_module_between_buckets_and_carry_checkpoint_names() -> None:
    voice = seeded_voice(0)
    parts = voice.parts(Buckets(phonemes=(32,), frames=(32, 64)))
    assert list(parts) == ["encoder@32", "flow@32", "flow@64", "decoder@32", "decoder@64"]
    assert parts["flow@32"][0] is parts["flow@64"][0]
    assert parts["decoder@64"][1].outputs[0].shape == (1, 1, 64 * voice.hop)
    names = set(parts["decoder@32"][0].state_dict()) | set(parts["encoder@32"][0].state_dict())
    assert {"dec.resblocks.0.convs.1.weight", "enc_p.encoder.attn_layers.1.conv_q.weight"} <= names


def test_last_slope_differs_from_the_others() -> None:
    """0.01 before conv_post, 0.1 elsewhere: a generator with one slope for all is another generator."""
    voice = seeded_voice(0)
    generator = voice.modules["decoder"].dec
    z, mask = torch.randn(1, 32, 16, generator=torch.Generator().manual_seed(0)), torch.ones(1, 1, 16)
    one_slope = Generator(dataclasses.replace(generator.config, last_slope=0.1)).requires_grad_(False)
    one_slope.load_state_dict(generator.state_dict())
    assert (one_slope(z, mask) - generator(z, mask)).abs().max() > 1e-3
