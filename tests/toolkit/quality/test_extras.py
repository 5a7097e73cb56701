"""Optional judges: clear when absent, and the torchaudio stand-in leaves nothing behind."""

import sys
import types

import pytest

from converters.errors import ExtraMissing
from toolkit.quality.extras import load_judge, stub_torchaudio


def test_an_absent_judge_says_how_to_get_it() -> None:
    with pytest.raises(ExtraMissing, match="no_such_judge") as caught:
        load_judge("no_such_judge", "a metric")
    assert "pip install" in caught.value.hint


def test_the_stand_in_is_there_only_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torchaudio", "torchaudio.transforms"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with stub_torchaudio():
        import torchaudio

        with pytest.raises(RuntimeError, match="resample"):
            torchaudio.transforms.Resample(1, 2)
    assert "torchaudio" not in sys.modules and "torchaudio.transforms" not in sys.modules


def test_what_was_there_comes_back_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = types.ModuleType("torchaudio")
    monkeypatch.setitem(sys.modules, "torchaudio", real)
    with pytest.raises(KeyError), stub_torchaudio():
        assert sys.modules["torchaudio"] is not real
        raise KeyError
    assert sys.modules["torchaudio"] is real
