"""HuBERT and BERT against Hugging Face's, ERes2NetV2 against upstream's, frozen as vectors; files from strangers."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from toolkit.engine.buckets import bias, filled, presence
from toolkit.engine.listening import mask_lengths
from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.bert import load_bert, text_features
from toolkit.models.gpt_sovits.eres2net import load_speaker_encoder
from toolkit.models.gpt_sovits.hubert import load_hubert
from toolkit.models.gpt_sovits.state_dict import StateDict, read_state_dict

VECTORS = Path(__file__).parent / "vectors"
HUBERT, BERT = VECTORS / "hubert_tiny", VECTORS / "bert_tiny"
SPEAKER = VECTORS / "eres2netv2_tiny.ckpt"


@pytest.fixture(scope="module")
def expected():
    with np.load(VECTORS / "transformers.npz") as file:
        return dict(file)


def _heard(model, sound: np.ndarray, room: int) -> np.ndarray:
    there, all_ = model.config.lengths(sound.shape[1]), model.config.lengths(room)
    masks = [torch.from_numpy(presence(there[at], all_[at])) for at in (0, -1)]
    with torch.no_grad():
        return model(torch.from_numpy(filled(sound, room)), *masks).numpy()[0, :, : there[-1]]


def test_hubert_equals_the_one_of_transformers(expected):
    found = _heard(load_hubert(read_state_dict(HUBERT)), expected["sound"], expected["sound"].shape[1])
    assert np.abs(found - expected["ssl"]).max() < 2e-5


def test_sound_in_a_longer_graph_is_heard_as_alone_and_without_the_masks_it_is_not(expected):
    model, sound = load_hubert(read_state_dict(HUBERT)), expected["sound"]
    assert np.abs(_heard(model, sound, 9000) - expected["ssl"]).max() < 2e-5
    lengths = model.config.lengths(9000)
    with torch.no_grad():
        unmasked = model(
            torch.from_numpy(filled(sound, 9000)), torch.ones(1, 1, lengths[0]), torch.ones(1, 1, lengths[-1])
        )
    assert np.abs(unmasked.numpy()[0, :, : expected["ssl"].shape[1]] - expected["ssl"]).max() > 1e-2


def test_both_spellings_of_weight_norm_are_the_same_model(expected):
    state = read_state_dict(HUBERT)
    new = "encoder.pos_conv_embed.conv.parametrizations.weight.original"
    spelt = {f"{new}0": "encoder.pos_conv_embed.conv.weight_g", f"{new}1": "encoder.pos_conv_embed.conv.weight_v"}
    old = {spelt.get(name, name): value for name, value in state.weights.items()}
    renamed = StateDict(
        path=state.path, weights={f"hubert.{n}": v for n, v in old.items()}, config=state.config, sha256=""
    )
    found = _heard(load_hubert(renamed), expected["sound"], expected["sound"].shape[1])
    assert np.abs(found - expected["ssl"]).max() < 2e-5


def test_bert_reads_the_third_layer_from_the_end(expected):
    model, tokens = load_bert(read_state_dict(BERT)), torch.from_numpy(expected["tokens"])
    found = text_features(model, tokens).numpy()
    assert np.abs(found - expected["hidden_minus_3"]).max() < 2e-5
    assert np.abs(found - expected["hidden_minus_2"]).max() > 1e-2
    said = tokens.shape[1]
    with torch.no_grad():
        longer = model(torch.from_numpy(filled(expected["tokens"], 30)), torch.from_numpy(bias(said, 30)))
        seen = model(torch.from_numpy(filled(expected["tokens"], 30)), torch.zeros(1, 1, 1, 30))
    assert np.abs(longer.numpy()[0, :, :said] - expected["hidden_minus_3"]).max() < 2e-5
    assert np.abs(seen.numpy()[0, :, :said] - expected["hidden_minus_3"]).max() > 1e-2


@pytest.mark.parametrize(
    ("folder", "load", "first", "second"),
    [
        (HUBERT, load_hubert, "encoder.layers.0.feed_forward.output_dense.weight",
         "encoder.layers.0.feed_forward.intermediate_dense.weight"),
        (BERT, load_bert, "encoder.layer.0.intermediate.dense.weight", "encoder.layer.1.output.dense.weight"),
    ],
)  # fmt: skip
def test_swapped_and_missing_weights_are_errors_that_name_them(folder, load, first, second):
    state = read_state_dict(folder)
    swapped = {**state.weights, first: state.weights[second], second: state.weights[first]}
    with pytest.raises(CheckpointError) as caught:
        load(StateDict(path=state.path, weights=swapped, config=state.config, sha256=""))
    assert caught.value.code == "checkpoint/wrong-shape" and (first in str(caught.value) or second in str(caught.value))
    for name in state.weights:
        if name in ("masked_spec_embed",) or name.startswith(("pooler.", "encoder.layer.2.", "encoder.layer.3.")):
            continue
        with pytest.raises(CheckpointError) as caught:
            kept = {n: v for n, v in state.weights.items() if n != name}
            load(StateDict(path=state.path, weights=kept, config=state.config, sha256=""))
        assert caught.value.code == "checkpoint/wrong-shape"


def test_weights_of_equal_shape_that_are_swapped_are_seen_by_the_vectors(expected):
    state = read_state_dict(HUBERT)
    first, second = (f"encoder.layers.0.attention.{name}_proj.weight" for name in "qv")
    swapped = {**state.weights, first: state.weights[second], second: state.weights[first]}
    model = load_hubert(StateDict(path=state.path, weights=swapped, config=state.config, sha256=""))
    found = _heard(model, expected["sound"], expected["sound"].shape[1])
    assert np.abs(found - expected["ssl"]).max() > 1e-2


def test_hubert_is_no_bert_and_the_other_way_round():
    for folder, load in ((HUBERT, load_bert), (BERT, load_hubert)):
        with pytest.raises(CheckpointError) as caught:
            load(read_state_dict(folder))
        assert caught.value.code == "checkpoint/wrong-shape"


def test_same_weights_in_either_format_read_the_same(tmp_path):
    state = read_state_dict(HUBERT)
    torch.save({"state_dict": dict(state.weights)}, tmp_path / "a.pt")
    again = read_state_dict(tmp_path / "a.pt")
    assert set(again.weights) == set(state.weights) and again.sha256 != state.sha256
    assert all(torch.equal(value, state.weights[name]) for name, value in again.weights.items())


def _spoken(energies: np.ndarray, valid: int, masked: bool) -> np.ndarray:
    encoder = load_speaker_encoder(read_state_dict(SPEAKER))
    frames = energies.shape[1]
    there = zip(mask_lengths(valid if masked else frames), mask_lengths(frames), strict=True)
    with torch.no_grad():
        masks = [torch.from_numpy(presence(some, length))[None] for some, length in there]
        return encoder(torch.from_numpy(energies), *masks).numpy()


def test_speaker_encoder_equals_upstream_at_any_padding_and_not_without_masks():
    with np.load(VECTORS / "eres2netv2_tiny.npz") as file:
        energies, speaker = file["energies"], file["speaker"]
    frames = energies.shape[1]
    longer = filled(energies, frames + 22, axis=1)
    assert np.abs(_spoken(energies, frames, True) - speaker).max() < 1e-5
    assert np.abs(_spoken(longer, frames, True) - speaker).max() < 1e-5
    assert np.abs(_spoken(longer, frames, False) - speaker).max() > 1e-2


class _Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("/tmp/enrolment-bomb"),))


def test_hostile_and_damaged_files_are_one_error_each(tmp_path):
    good = (HUBERT / "model.safetensors").read_bytes()
    length = int.from_bytes(good[:8], "little")
    header = json.loads(good[8 : 8 + length])
    name = next(key for key in header if key != "__metadata__")

    def rewritten(**changes) -> bytes:
        made = json.dumps({**header, name: {**header[name], **changes}}).encode()
        return len(made).to_bytes(8, "little") + made + good[8 + length :]

    cases = {
        "short.safetensors": good[:2000], "empty.safetensors": b"", "long.safetensors": b"\xff" * 64,
        "shape.safetensors": rewritten(shape=[1 << 40]), "negative.safetensors": rewritten(shape=[-1, -24]),
        "offset.safetensors": rewritten(data_offsets=[0, 1 << 50]), "type.safetensors": rewritten(dtype="EVIL"),
        "list.safetensors": (2).to_bytes(8, "little") + b"[]", "none.safetensors": (2).to_bytes(8, "little") + b"{}",
        "plain.bin": pickle.dumps(_Bomb()),
    }  # fmt: skip
    for file, content in cases.items():
        (tmp_path / file).write_bytes(content)
        with pytest.raises(CheckpointError):
            read_state_dict(tmp_path / file)
    torch.save({"a": torch.ones(1), "b": _Bomb()}, tmp_path / "bomb.bin")
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(tmp_path / "bomb.bin")
    assert caught.value.code == "checkpoint/hostile" and not Path("/tmp/enrolment-bomb").exists()
    torch.save({"a": torch.tensor([float("nan")])}, tmp_path / "nan.bin")
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(tmp_path / "nan.bin")
    assert caught.value.code == "checkpoint/not-finite"
    with pytest.raises(CheckpointError) as caught:
        read_state_dict(tmp_path)
    assert caught.value.code == "checkpoint/not-found"
