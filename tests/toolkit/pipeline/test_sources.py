"""What the user declares about a model, and the inputs made up for it."""

import json
import pickle

import numpy as np
import pytest

from converters.errors import InputError
from converters.spec import PartSpec, TensorSpec
from toolkit.pipeline import sources
from toolkit.pipeline.sources import Request, declared_inputs, kind_of, random_inputs, random_like

MEL = TensorSpec(name="mel", shape=(1, 80, 20))
IDS = TensorSpec(name="ids", shape=(1, 40), dtype="int32")
SPEC = PartSpec(name="model", inputs=(MEL, IDS), outputs=(TensorSpec(name="y", shape=(1, 4)),))


def test_flags_become_inputs_in_the_order_given():
    specs, ranges = declared_inputs(Request(model="m:f", inputs=("mel:1x80x20", "ids:1x40:int32:-3..255")))
    assert [(t.name, t.shape, t.dtype) for t in specs] == [
        ("mel", (1, 80, 20), "float32"),
        ("ids", (1, 40), "int32"),
    ]
    assert ranges == {"ids": (-3, 255)}


def test_yaml_says_the_same_as_flags(tmp_path):
    path = tmp_path / "inputs.yaml"
    path.write_text(
        "inputs:\n- {name: mel, shape: [1, 80, 20]}\n- {name: ids, shape: [1, 40], dtype: int32, range: [-3, 255]}\n",
        encoding="utf-8",
    )
    flags = declared_inputs(Request(model="m:f", inputs=("mel:1x80x20", "ids:1x40:int32:-3..255")))
    assert declared_inputs(Request(model="m:f", spec=path)) == flags


@pytest.mark.parametrize(
    "text",
    ["", "mel", "mel:", "mel:1x", "mel:axb", "mel:1x2:float64", "mel:1x2:int64", "ids:1x2:int32:9", "1mel:1x2", "a:-1"],
)
def test_unreadable_flag_is_refused_with_the_grammar(text):
    with pytest.raises(InputError, match="cannot read the input declaration") as found:
        declared_inputs(Request(model="m:f", inputs=(text,)))
    assert found.value.code == "input/bad-declaration"
    assert "mel:1x80x200" in found.value.hint


@pytest.mark.parametrize(
    "content",
    [
        b"inputs: [",
        b"- just a list",
        b"",
        b"tensors: []",
        b"inputs: 3",
        b"inputs: [{name: mel}]",
        b"inputs: [{name: mel, shape: 3}]",
        b"inputs: [{name: ids, shape: [1], dtype: int32, range: [1]}]",
        b"inputs: [{name: mel, shape: [1, 2.5]}]",
        b"inputs: [{name: mel, shape: [1, 2], dtype: float64}]",
        b"\xff\xfe\x00",
    ],
)
def test_unreadable_yaml_is_refused(tmp_path, content):
    path = tmp_path / "inputs.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as found:
        declared_inputs(Request(model="m:f", spec=path))
    assert found.value.code == "input/bad-declaration"


def test_missing_yaml_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot read the input declarations"):
        declared_inputs(Request(model="m:f", spec=tmp_path / "nothing.yaml"))


def test_yaml_cannot_run_code(tmp_path):
    path = tmp_path / "inputs.yaml"
    path.write_text(f"inputs: !!python/object/apply:pathlib.Path.touch ['{tmp_path / 'touched'}']\n")
    with pytest.raises(InputError):
        declared_inputs(Request(model="m:f", spec=path))
    assert not (tmp_path / "touched").exists()


def _probe(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_probe_is_read_by_name_and_cast(tmp_path):
    path = _probe(
        tmp_path / "p.npz", ids=np.ones((1, 40), np.int64), mel=np.ones(MEL.shape, np.float64), other=np.zeros(3)
    )
    found = sources._read_probe(path, SPEC)
    assert {name: (array.shape, array.dtype.name) for name, array in found.items()} == {
        "mel": (MEL.shape, "float32"),
        "ids": (IDS.shape, "int32"),
    }


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"mel": np.zeros((1, 80, 19)), "ids": np.zeros((1, 40))}, r"'mel' is \(1, 80, 19\), declared \(1, 80, 20\)"),
        ({"mel": np.zeros((1, 80, 20))}, "'ids' is missing"),
        ({}, "'mel' is missing"),
    ],
)
def test_probe_that_does_not_fit_is_refused(tmp_path, arrays, said):
    path = _probe(tmp_path / "p.npz", **arrays)
    with pytest.raises(InputError, match=said) as found:
        sources._read_probe(path, SPEC)
    assert found.value.code == "input/wrong-shape"
    assert found.value.where == str(path)


class _Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import pathlib

        return (pathlib.Path.touch, (self.path,))


def test_pickled_probe_is_refused_and_never_run(tmp_path):
    touched = tmp_path / "touched"
    inside = _probe(tmp_path / "inside.npz", mel=np.array([_Touch(touched)], dtype=object))
    bare = tmp_path / "bare.npz"
    bare.write_bytes(pickle.dumps(_Touch(touched)))
    for path in (inside, bare):
        with pytest.raises(InputError, match=r"not a readable \.npz"):
            sources._read_probe(path, SPEC)
    assert not touched.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive at all", b"\x93NUMPY\x01\x00"])
def test_damaged_probe_is_refused(tmp_path, content):
    path = tmp_path / "p.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        sources._read_probe(path, SPEC)


def test_truncated_probe_is_refused(tmp_path):
    path = _probe(tmp_path / "p.npz", mel=np.zeros(MEL.shape), ids=np.zeros(IDS.shape))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        sources._read_probe(path, SPEC)


def test_single_array_file_is_no_probe(tmp_path):
    path = tmp_path / "p.npz"
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        sources._read_probe(path, SPEC)


def test_missing_probe_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        sources._read_probe(tmp_path / "p.npz", SPEC)


def test_kind_follows_from_the_request(tmp_path):
    onnx = tmp_path / "v.onnx"
    onnx.write_bytes(b"")
    assert kind_of(Request()) == "voice"
    assert kind_of(Request(random_voice=True)) == "voice"
    assert kind_of(Request(model="some.module:make")) == "model"
    assert kind_of(Request(model=str(onnx))) == "model"
    (tmp_path / "v.onnx.json").write_text(json.dumps({"something": "else"}))
    assert kind_of(Request(model=str(onnx))) == "model"
    (tmp_path / "v.onnx.json").write_text(json.dumps({"phoneme_id_map": {}}))
    assert kind_of(Request(model=str(onnx))) == "voice"


def test_damaged_voice_description_is_refused(tmp_path):
    (tmp_path / "v.onnx.json").write_text("{ no json")
    with pytest.raises(InputError, match="not JSON"):
        kind_of(Request(model=str(tmp_path / "v.onnx")))


def test_random_inputs_stay_in_range_and_vary_along_every_axis():
    found = random_inputs(SPEC, {"ids": (-3, 9)}, np.random.default_rng(0))
    assert found["mel"].shape == MEL.shape
    assert found["mel"].dtype == np.float32
    assert found["ids"].dtype == np.int32
    assert (found["ids"].min(), found["ids"].max()) == (-3, 9)
    for axis in (1, 2):
        assert np.all(found["mel"].std(axis=axis) > 0)
    assert set(np.unique(random_inputs(SPEC, {}, np.random.default_rng(0))["ids"])) == {0, 1}


def test_random_like_keeps_masks_ids_and_spread():
    rng = np.random.default_rng(0)
    mask = np.ones((1, 1, 40), np.float32)
    mask[..., 30:] = 0.0
    real = {
        "ids": np.arange(40, dtype=np.int32)[None],
        "mask": mask,
        "z": (rng.standard_normal((1, 8, 40)) * 5).astype(np.float32),
        "silence": np.zeros((1, 8, 40), np.float32),
    }
    found = random_like(real, rng)
    np.testing.assert_array_equal(found["mask"], mask)
    assert found["mask"] is not mask
    assert sorted(found["ids"][0]) == sorted(real["ids"][0])
    assert not np.array_equal(found["ids"], real["ids"])
    assert found["z"].std() == pytest.approx(real["z"].std(), rel=0.2)
    assert found["silence"].std() > 0
    assert all(found[name].dtype == array.dtype and found[name].shape == array.shape for name, array in real.items())


@pytest.mark.parametrize("same", [True, False])
def test_the_seed_decides_the_random_inputs(same):
    def both(seed):
        rng = np.random.default_rng(seed)
        first = random_inputs(SPEC, {"ids": (0, 99)}, rng)
        return [*first.values(), *random_like(first, rng).values()]

    other = both(7 if same else 8)
    assert all(np.array_equal(a, b) is same for a, b in zip(both(7), other, strict=True))
