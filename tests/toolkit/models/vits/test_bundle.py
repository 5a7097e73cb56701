"""A converted voice speaks from its bundle alone, without torch."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters.errors import InputError
from toolkit.models.seeded import seeded_voice
from toolkit.models.vits import parts
from toolkit.models.vits.bundle import load_host
from toolkit.models.vits.config import DurationsConfig
from toolkit.models.vits.probe import probe_ids
from toolkit.models.voice import Buckets, TorchDurations, Voice

BUCKETS = Buckets(phonemes=(128,), frames=(512,))


@pytest.fixture(scope="module")
def voice() -> Voice:
    return seeded_voice(0)


def test_the_host_says_what_the_voice_says(voice: Voice, tmp_path: Path) -> None:
    paths = voice.write_host_files(tmp_path, BUCKETS)
    before = [path.read_bytes() for path in paths]
    host, runners, ids = load_host(tmp_path), voice.torch_runners(BUCKETS), probe_ids(voice)[1]
    assert np.array_equal(host.synthesise(runners, ids, seed=4), voice.synthesise(runners, ids, seed=4))
    assert host.phoneme_ids("həlˈoʊ.").tolist() == voice.phoneme_ids("həlˈoʊ.").tolist()
    assert (host.label, host.buckets["flow"], host.defaults) == (voice.label, (512,), voice.defaults)
    voice.write_host_files(tmp_path, BUCKETS)
    assert [path.read_bytes() for path in paths] == before


def test_a_host_with_deterministic_durations_takes_them_from_its_graphs(voice: Voice, tmp_path: Path) -> None:
    config = replace(voice.config, durations=DurationsConfig(channels=32, hidden=16))
    module = parts.build(config)["durations"]
    timed = replace(
        voice, config=config, modules={**voice.modules, "durations": module}, durations=TorchDurations(module=module)
    )
    paths = timed.write_host_files(tmp_path, BUCKETS)
    assert [path.name for path in paths] == ["voice.json"]
    host, runners, ids = load_host(tmp_path), timed.torch_runners(BUCKETS), probe_ids(voice)[1]
    spoken = host.with_graphs(runners).synthesise(runners, ids, seed=4)
    assert np.array_equal(spoken, timed.synthesise(runners, ids, seed=4))
    with pytest.raises(InputError, match="durations of"):
        host.synthesise(runners, ids)  # its graph is not loaded
    settings = json.loads(paths[0].read_text())
    del settings["buckets"]["durations"]
    paths[0].write_text(json.dumps(settings))
    with pytest.raises(InputError, match="neither"):
        load_host(tmp_path)
    settings["buckets"]["../../etc"] = [1]
    paths[0].write_text(json.dumps(settings))
    with pytest.raises(InputError, match="not a voice bundle"):
        load_host(tmp_path)


def test_reading_a_bundle_loads_no_framework(voice: Voice, tmp_path: Path) -> None:
    voice.write_host_files(tmp_path, BUCKETS)
    code = (
        "import sys, pathlib; from toolkit.models.vits.bundle import load_host; "
        f"load_host(pathlib.Path({str(tmp_path)!r})); "
        "sys.exit(', '.join(m for m in ('torch', 'tensorflow', 'onnx') if m in sys.modules) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_missing_damaged_or_mixed_files_are_refused(voice: Voice, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        load_host(tmp_path)
    _, settings = voice.write_host_files(tmp_path, BUCKETS)
    original = settings.read_text(encoding="utf-8")
    settings.write_text(json.dumps({**json.loads(original), "hop": 0}), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_host(tmp_path)
    assert caught.value.where.endswith("hop")
    settings.write_text(original, encoding="utf-8")
    (tmp_path / "duration.onnx").write_bytes(b"another")
    with pytest.raises(InputError, match="not the one"):
        load_host(tmp_path)
