"""Light decoders: overlap-add is the inverse STFT, buckets and chunks are exact, and their files say the same."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toolkit.models.vits.light_voices import KINDS, light_voice
from toolkit.models.vits import host
from toolkit.models.vits.decoders import kind_of_decoder
from toolkit.models.vits.light_config import IstftConfig, NarrowConfig, WavenetConfig
from toolkit.models.vits.light_generator import overlap_add_kernel, strided_post
from toolkit.models.vits.probe import probe_ids
from toolkit.models.voice import Buckets, Voice, torch_runner
from toolkit.models.voice_file import read_voice, write_voice


@pytest.fixture(scope="module", params=KINDS)
def voice(request: pytest.FixtureRequest) -> Voice:
    return light_voice(request.param)


def overlap_added(spectra: np.ndarray, patch: int, overlap: int) -> np.ndarray:
    """``[bins, frames]`` complex to samples, from the definition: inverse FFT, Hann window, sum, exact division."""
    size = patch * overlap
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    total, weight = np.zeros(patch * (spectra.shape[1] + overlap - 1)), np.zeros(patch * overlap * 3)
    for frame in range(spectra.shape[1]):
        total[frame * patch : frame * patch + size] += np.fft.irfft(spectra[:, frame], size) * window
    for shift in range(2 * overlap + 1):
        weight[shift * patch : shift * patch + size] += window
    side = patch * (overlap // 2)
    return total[side : side + patch * spectra.shape[1]] / weight[len(weight) // 2]


@pytest.mark.parametrize(("patch", "overlap"), [(4, 5), (2, 3), (32, 3), (8, 7)])
def test_the_kernel_is_the_inverse_stft(patch: int, overlap: int) -> None:
    noise = np.random.default_rng(0)
    shape = (patch * overlap // 2 + 1, 12)
    spectra = noise.standard_normal(shape) + 1j * noise.standard_normal(shape)
    spectra[[0, -1]] = spectra[[0, -1]].real
    parts = torch.from_numpy(np.concatenate([spectra.real, spectra.imag])).float()[None]

    def by_convolution(kernel: torch.Tensor) -> np.ndarray:
        return torch.nn.functional.conv1d(parts, kernel, padding=overlap // 2)[0].T.reshape(-1).numpy()

    wanted, kernel = overlap_added(spectra, patch, overlap), overlap_add_kernel(patch, overlap)
    np.testing.assert_allclose(by_convolution(kernel), wanted, atol=1e-5)
    assert np.abs(by_convolution(kernel.flip(2)) - wanted).max() > 1e-2  # the twin: frames in the wrong order


@pytest.mark.parametrize("rate", [2, 4, 8])
def test_the_strided_output_gives_hifigans_samples(rate: int) -> None:
    noise = torch.Generator().manual_seed(0)
    weight, x = torch.randn(1, 3, 7, generator=noise), torch.randn(1, 3, 16 * rate, generator=noise)
    wanted = torch.nn.functional.conv1d(x, weight, padding=3)[0, 0]

    def said(kernel: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv1d(x, kernel, stride=rate, padding=3)[0].T.reshape(-1)

    kernel = strided_post(weight, rate)
    torch.testing.assert_close(said(kernel), wanted, rtol=0.0, atol=1e-5)
    assert (said(kernel.flip(0)) - wanted).abs().max() > 0.1  # the twin: samples of a step in the wrong order


def padded_and_exact(voice: Voice, length: int, bucket: int) -> tuple[np.ndarray, np.ndarray]:
    z = np.random.default_rng(1).standard_normal((1, 32, bucket)).astype(np.float32)
    padded = torch_runner(*voice.part("decoder", bucket))({"z": z, "mask": host.mask_of(length, bucket)})["audio"]
    cut = np.ascontiguousarray(z[..., :length])
    exact = torch_runner(*voice.part("decoder", length))({"z": cut, "mask": host.mask_of(length, length)})["audio"]
    return padded[..., : length * voice.hop], exact


@pytest.mark.parametrize("length", [21, 31, 32])
def test_padding_is_exact_inside_the_mask(voice: Voice, length: int) -> None:
    padded, exact = padded_and_exact(voice, length, 32)
    assert np.abs(exact).max() > 0.05
    np.testing.assert_allclose(padded, exact, atol=2e-6)


def test_masking_the_input_only_leaks_into_the_last_frames(voice: Voice, monkeypatch: pytest.MonkeyPatch) -> None:
    def unmasked(mask: torch.Tensor, scale_factor: float, mode: str) -> torch.Tensor:
        return torch.ones(1, 1, int(mask.shape[-1] * scale_factor))

    monkeypatch.setattr(torch.nn.functional, "interpolate", unmasked)
    padded, exact = padded_and_exact(voice, 21, 32)
    assert np.abs(padded - exact)[..., -voice.hop :].max() > 1e-4


@pytest.mark.parametrize("resblock", ["1", "2"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_impulse_reaches_no_further_than_said(kind: str, resblock: str) -> None:
    voice = light_voice(kind, resblock)
    z = np.zeros((1, 32, 101), dtype=np.float32)
    runner = voice.torch_runners(Buckets(phonemes=(), frames=(101,)))["decoder"]
    moved = z.copy()
    moved[..., 50] = 5.0
    difference = voice.run_decoder(runner, moved) != voice.run_decoder(runner, z)
    touched = np.flatnonzero(difference.reshape(101, voice.hop).any(1))
    reach = voice.decoder_reach_frames
    assert reach - 4 <= max(50 - touched.min(), touched.max() - 50) <= reach


def test_chunks_are_exact_and_without_overlap_wrong(voice: Voice) -> None:
    z = np.random.default_rng(0).standard_normal((1, 32, 200)).astype(np.float32)
    whole = voice.run_decoder(voice.torch_runners(Buckets(phonemes=(), frames=(200,)))["decoder"], z)
    chunks = voice.torch_runners(Buckets(phonemes=(), frames=(96,)))["decoder"]
    np.testing.assert_allclose(voice.run_decoder(chunks, z), whole, atol=2e-6)
    cut = host.run_frames(chunks, ("z", "audio"), z, reach=0, hop=voice.hop)[0, 0]
    assert np.abs(cut - whole).max() > 1e-3


def test_a_voice_says_the_same_after_its_file(voice: Voice, tmp_path: Path) -> None:
    found, ids = read_voice(write_voice(tmp_path / "voice.safetensors", voice)), probe_ids(voice)[1]
    assert found.config == voice.config
    buckets = Buckets(phonemes=(128,), frames=(512,))
    said = [each.synthesise(each.torch_runners(buckets), ids, seed=3) for each in (voice, found)]
    assert np.array_equal(*said) and np.abs(said[0]).max() > 0.01


def test_sizes_decide_the_kind(voice: Voice) -> None:
    kind = kind_of_decoder(voice.config.generator)
    assert kind.config is {"istft": IstftConfig, "wavenet": WavenetConfig, "narrow": NarrowConfig}[kind.name]
    assert voice.hop == 16
