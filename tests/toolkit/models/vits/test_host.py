"""Host code: buckets, chunks, noise and durations."""

import numpy as np
import pytest

from converters.errors import InputError
from toolkit.models.seeded import LABEL, seeded_voice
from toolkit.models.vits import host
from toolkit.models.vits.durations import OnnxDurations, store_half
from toolkit.models.vits.probe import probe_ids, probe_inputs
from toolkit.models.vits.reach import flow_reach_frames, generator_reach_frames
from toolkit.models.voice import Buckets, Voice


@pytest.fixture(scope="module")
def voice() -> Voice:
    return seeded_voice(0)


@pytest.mark.parametrize("resblock", ["1", "2"])
def test_chunks_overlap_by_the_reach_and_are_exact(resblock: str) -> None:
    voice = seeded_voice(0, resblock)
    z = np.random.default_rng(0).standard_normal((1, 32, 300)).astype(np.float32)
    whole = voice.torch_runners(Buckets(phonemes=(), frames=(300,)))
    parts = voice.torch_runners(Buckets(phonemes=(), frames=(96,)))
    np.testing.assert_allclose(voice.run_flow(parts["flow"], z), voice.run_flow(whole["flow"], z), atol=1e-5)
    wanted = voice.run_decoder(whole["decoder"], z)
    np.testing.assert_allclose(voice.run_decoder(parts["decoder"], z), wanted, atol=1e-5)


def test_chunks_without_overlap_are_wrong(voice: Voice) -> None:
    z = np.random.default_rng(0).standard_normal((1, 32, 300)).astype(np.float32)
    whole = voice.torch_runners(Buckets(phonemes=(), frames=(300,)))["decoder"]
    parts = voice.torch_runners(Buckets(phonemes=(), frames=(96,)))["decoder"]
    cut = host.run_frames(parts, ("z", "audio"), z, reach=0, hop=voice.hop)[0, 0]
    assert np.abs(cut - voice.run_decoder(whole, z)).max() > 1e-2


def test_reach_is_not_smaller_than_what_an_impulse_shows(voice: Voice) -> None:
    z = np.zeros((1, 32, 101), dtype=np.float32)
    runners = voice.torch_runners(Buckets(phonemes=(), frames=(101,)))
    moved = z.copy()
    moved[..., 50] = 1.0
    difference = voice.run_decoder(runners["decoder"], moved) != voice.run_decoder(runners["decoder"], z)
    touched = np.flatnonzero(difference.reshape(101, voice.hop).any(1))
    reach = generator_reach_frames(voice.config.generator)
    assert 50 - touched.min() <= reach and touched.max() - 50 <= reach
    assert flow_reach_frames(voice.config.flow) == 2 * 2 * 2


def test_the_bucket_does_not_change_the_speech(voice: Voice) -> None:
    ids = probe_ids(voice)[1]
    small = voice.synthesise(voice.torch_runners(Buckets(phonemes=(128,), frames=(512,))), ids, seed=3)
    large = voice.synthesise(voice.torch_runners(Buckets(phonemes=(160,), frames=(128,))), ids, seed=3)
    assert small.shape == large.shape and small.dtype == np.float32
    np.testing.assert_allclose(small, large, atol=1e-4)


def test_seed_decides_the_noise_and_label_says_it_is_no_speech(voice: Voice) -> None:
    runners, ids = voice.torch_runners(Buckets()), probe_ids(voice)[1]
    first, again = voice.synthesise(runners, ids, seed=1), voice.synthesise(runners, ids, seed=1)
    other = voice.synthesise(runners, ids, seed=2)
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.array_equal(first, other)
    assert voice.label == LABEL == "random weights, not speech"


def test_length_scale_lengthens(voice: Voice) -> None:
    runners, ids = voice.torch_runners(Buckets()), probe_ids(voice)[1]
    slow = voice.synthesise(runners, ids, length_scale=2.0, noise_w=0.0)
    assert len(slow) > 1.5 * len(voice.synthesise(runners, ids, length_scale=1.0, noise_w=0.0))


def test_too_long_or_empty_sentences_are_refused(voice: Voice) -> None:
    runners = voice.torch_runners(Buckets(phonemes=(32,), frames=(64,)))
    for count in (0, 33):
        with pytest.raises(InputError, match="phoneme ids") as caught:
            voice.synthesise(runners, np.zeros(count, dtype=np.int32))
        assert caught.value.code == "input/sentence-length"
    with pytest.raises(InputError) as caught:
        voice.run_flow({8: runners["flow"][64]}, np.zeros((1, 32, 100), dtype=np.float32))
    assert caught.value.code == "input/bucket-too-short"


def test_unknown_phonemes_and_parts_are_refused(voice: Voice) -> None:
    assert voice.phoneme_ids("a☃b").tolist() == voice.phoneme_ids("ab").tolist()
    with pytest.raises(InputError) as caught:
        voice.phoneme_ids("☃")
    assert caught.value.code == "input/unknown-phonemes"
    with pytest.raises(InputError, match="no part 'vocoder'"):
        voice.part("vocoder", 32)


def test_half_stored_durations_agree_with_float(voice: Voice) -> None:
    import onnx

    model = onnx.load_from_string(voice.durations.model)
    half = OnnxDurations(model=store_half(model, min_elements=8).SerializeToString())
    kinds = {t.data_type for t in onnx.load_from_string(half.model).graph.initializer}
    assert onnx.TensorProto.FLOAT16 in kinds
    noise = np.random.default_rng(0)
    x, normal = (noise.standard_normal((1, c, 9)).astype(np.float32) for c in (32, 2))
    feeds = (x, host.mask_of(9, 9), normal)
    np.testing.assert_allclose(half.log_durations(*feeds), voice.durations.log_durations(*feeds), atol=1e-2)


@pytest.mark.parametrize(("part", "bucket"), [("encoder", 128), ("flow", 64), ("decoder", 512)])
def test_probes_have_the_declared_shapes(voice: Voice, part: str, bucket: int) -> None:
    probes = probe_inputs(voice, part, bucket, count=2)
    declared = {tensor.name: (tensor.shape, tensor.dtype) for tensor in voice.part(part, bucket)[1].inputs}
    assert len(probes) == 2
    for probe in probes:
        assert {name: (array.shape, str(array.dtype)) for name, array in probe.items()} == declared


def test_probes_need_a_sentence_that_fits(voice: Voice) -> None:
    with pytest.raises(InputError, match="no sentence fits"):
        probe_inputs(voice, "encoder", 16)
