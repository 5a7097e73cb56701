"""What a voice may consist of, and files of features from elsewhere."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from tests.toolkit.voices.made_voices import made_arrays, made_voice
from toolkit.errors import VoiceError
from toolkit.voices.feature_file import read_features, write_features
from toolkit.voices.features import checked_features
from toolkit.voices.identifier import checked_id

HOSTILE_IDS = [
    "", ".", "..", "../x", "a/b", "a\\b", "-rf", ".hidden", "a b", "a\n", "a\x00b", "x" * 65, "é",
    "'; DROP TABLE voice; --", '" OR 1=1', "%s", "a;b", "~root", "$(id)", "a*",
]  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
def test_id_is_refused_when_it_is_not_plain(hostile):
    with pytest.raises(VoiceError) as caught:
        checked_id(hostile)
    assert caught.value.code == "voices/bad-id"


@pytest.mark.parametrize("good", ["a", "7", "Anna", "user-1_b.2", "x" * 64])
def test_id_is_kept_when_it_is_plain(good):
    assert checked_id(good) == good


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ge": None}, "'ge' is missing"),
        ({"extra": np.zeros(3)}, "unknown array"),
        ({"ge": np.zeros((512,), np.float32)}, "shape"),
        ({"ge": np.full((1, 4, 1), np.nan, np.float32)}, "not finite"),
        ({"prompt_codes": np.zeros(4, np.float32)}, "float32"),
        ({"prompt_codes": np.array([-1])}, "-1"),
        ({"prompt_codes": np.array([1 << 40])}, str(1 << 40)),
        ({"ge": np.zeros((1, 1, 1), np.complex64)}, "complex"),
        ({"ge": np.zeros((1, 9 << 20, 1), np.float32)}, "bytes"),
        ({"prompt_bert": np.zeros((1024, 3), np.float32)}, "prompt_bert covers 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_features_are_refused_when_an_array_is_wrong(change, message):
    arrays = {name: array for name, array in {**made_arrays(), **change}.items() if array is not None}
    with pytest.raises(VoiceError, match=message):
        checked_features(arrays, "en")


def test_file_round_trip_keeps_every_array_and_the_bytes(tmp_path):
    voice = made_voice(3)
    write_features(tmp_path / "a.npz", voice, {"consent": "me"})
    write_features(tmp_path / "b.npz", voice, {"consent": "me"})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    found, meta = read_features(tmp_path / "a.npz")
    assert found.sha256 == voice.sha256
    assert meta["consent"] == "me"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b.npz"]


class _Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def _hostile_members() -> dict[str, bytes]:
    pickled = io.BytesIO()
    np.lib.format.write_array(pickled, np.array([_Bomb()], object), allow_pickle=True)
    claim = io.BytesIO()
    np.lib.format.write_array_header_1_0(claim, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)})
    return {
        "ge.npy": pickled.getvalue(),
        "prompt_codes.npy": claim.getvalue(),
        "../evil.npy": b"",
        "meta.npy": pickle.dumps(_Bomb()),
        "d_vector.npy": b"\x93NUMPY",
    }


@pytest.mark.parametrize("name", list(_hostile_members()))
def test_file_is_refused_when_a_member_is_hostile(tmp_path, name):
    path = tmp_path / "hostile.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, _hostile_members()[name])
    with pytest.raises(VoiceError) as caught:
        read_features(path, "en")
    assert caught.value.code == "voices/bad-features"


def test_every_truncation_and_bit_flip_is_one_error_or_a_voice(tmp_path):
    path = tmp_path / "voice.npz"
    write_features(path, made_voice(), {})
    whole = path.read_bytes()
    generator = np.random.default_rng(1)
    for trial in range(300):
        damaged = bytearray(whole[: generator.integers(0, len(whole))] if trial % 2 else whole)
        if damaged and not trial % 2:
            damaged[generator.integers(0, len(damaged))] ^= 1 << int(generator.integers(0, 8))
        path.write_bytes(damaged)
        try:
            read_features(path)
        except VoiceError as error:
            assert error.code == "voices/bad-features"


def test_missing_and_foreign_files_are_one_error(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    for path in (tmp_path / "none.npz", tmp_path / "text.npz", tmp_path):
        with pytest.raises(VoiceError):
            read_features(path)
