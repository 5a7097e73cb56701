"""Loading Piper voices of every kind, and refusing what is not one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from converters.errors import InputError
from toolkit.models.piper import load_voice
from toolkit.models.voice import Buckets

MakePiper = Callable[[int, str], Path]
IDS = np.random.default_rng(0).integers(1, 20, 41).astype(np.int32)


def original(path: Path, speaker: int | None) -> np.ndarray:
    """The voice as its own file says it, without noise."""
    feeds = {
        "input": IDS[None].astype(np.int64),
        "input_lengths": np.array([len(IDS)]),
        "scales": np.array([0, 1, 0], dtype=np.float32),
    }
    if speaker is not None:
        feeds["sid"] = np.array([speaker])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: feeds[i.name] for i in session.get_inputs()})[0][0, 0, 0]


def loaded(path: Path, speaker: int = 0) -> np.ndarray:
    voice = load_voice(path, speaker=speaker)
    runners = voice.torch_runners(Buckets(phonemes=(64,), frames=(256,)))
    return voice.synthesise(runners, IDS, noise_scale=0.0, length_scale=1.0, noise_w=0.0)


@pytest.mark.parametrize("resblock", ["1", "2"])
def test_one_speaker_agrees_with_the_file(make_piper: MakePiper, resblock: str) -> None:
    path = make_piper(1, resblock)
    np.testing.assert_allclose(loaded(path), original(path, None), atol=1e-4)
    assert load_voice(path).config.generator.resblock == resblock


def test_the_settings_file_is_read(make_piper: MakePiper) -> None:
    voice = load_voice(make_piper(1, "2"))
    assert (voice.sample_rate_hz, voice.language, voice.defaults.noise_scale) == (16000, "de", 0.5)
    assert voice.label == voice.name == "fake-1-2"
    assert set(voice.sources) == {"fake-1-2.onnx", "fake-1-2.onnx.json"}


@pytest.mark.parametrize("speaker", [0, 2])
def test_a_speaker_is_folded_exactly(make_piper: MakePiper, speaker: int) -> None:
    path = make_piper(3, "2")
    found, wanted = loaded(path, speaker), original(path, speaker)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    other = original(path, 1)
    assert other.shape != wanted.shape or np.abs(other - wanted).max() > 1e-3


def test_no_such_speaker(make_piper: MakePiper) -> None:
    for speakers, speaker in ((3, 3), (1, 1), (3, -1)):
        with pytest.raises(InputError, match=f"no speaker {speaker}: the voice has {speakers}"):
            load_voice(make_piper(speakers, "2"), speaker=speaker)


@pytest.mark.parametrize("scope", ["enc_p", "flow", "dec"])
def test_one_changed_weight_is_seen(make_piper: MakePiper, tmp_path: Path, scope: str) -> None:
    path = make_piper(1, "2")
    model = onnx.load(str(path))
    names = {
        "enc_p": "enc_p.encoder.ffn_layers.0.conv_1.weight",
        "flow": "flow.flows.0.pre.weight",
        "dec": "dec.conv_pre.weight",
    }
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == names[scope])
    array = onnx.numpy_helper.to_array(tensor).copy()
    array.flat[0] += 2.0
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    changed = tmp_path / "changed.onnx"
    onnx.save(model, str(changed))
    shutil.copy(f"{path}.json", f"{changed}.json")
    found, wanted = loaded(changed), original(path, None)
    assert found.shape != wanted.shape or np.abs(found - wanted).max() > 1e-4


def without(path: Path, target: Path, name: str) -> Path:
    """A copy of a voice without the nodes that use an initialiser, and without it."""
    model = onnx.load(str(path))
    graph = model.graph
    nodes = [node for node in graph.node if name not in node.input]
    tensors = [tensor for tensor in graph.initializer if tensor.name != name]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
    onnx.save(model, str(target))
    shutil.copy(f"{path}.json", f"{target}.json")
    return target


def test_a_missing_tensor_is_named(make_piper: MakePiper, tmp_path: Path) -> None:
    name = "enc_p.encoder.norm_layers_1.0.gamma"
    with pytest.raises(InputError, match=name) as caught:
        load_voice(without(make_piper(1, "2"), tmp_path / "less.onnx", name))
    assert caught.value.code == "input/voice-damaged" and caught.value.hint


def test_a_missing_duration_predictor_is_named(make_piper: MakePiper, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="duration predictor"):
        load_voice(without(make_piper(1, "2"), tmp_path / "less.onnx", "dp.pre.weight"))


def test_missing_damaged_and_foreign_files(make_piper: MakePiper, tmp_path: Path) -> None:
    good = make_piper(1, "2")
    settings = Path(f"{good}.json").read_text(encoding="utf-8")
    codes = {}
    for name, content in (
        ("missing", None),
        ("text", b"this is not a protobuf at all"),
        ("cut", good.read_bytes()[:4000]),
        ("empty", b""),
        ("foreign", onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])).SerializeToString()),
    ):
        path = tmp_path / f"{name}.onnx"
        Path(f"{path}.json").write_text(settings, encoding="utf-8")
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            load_voice(path)
        assert caught.value.where and caught.value.hint
        codes[name] = caught.value.code
    assert codes["missing"] == "input/voice-missing" and codes["foreign"] == "input/voice-foreign"
    assert {codes["text"], codes["cut"]} == {"input/voice-damaged"}


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda s: None, "input/voice-missing"),
        (lambda s: "{", "input/voice-damaged"),
        (lambda s: json.dumps({**s, "audio": {"sample_rate": 0}}), "input/voice-damaged"),
        (lambda s: json.dumps({**s, "phoneme_id_map": {"a": [1]}}), "input/voice-foreign"),
    ],
)
def test_settings_that_cannot_be_used(make_piper: MakePiper, tmp_path: Path, edit: Callable, code: str) -> None:
    good = make_piper(1, "2")
    path = tmp_path / "voice.onnx"
    shutil.copy(good, path)
    content = edit(json.loads(Path(f"{good}.json").read_text(encoding="utf-8")))
    if content is not None:
        Path(f"{path}.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_voice(path)
    assert caught.value.code == code and ".json" in caught.value.where
