"""The database under several processes, kills and a failing disk; each process is a real one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.toolkit.voices.made_voices import made_voice
from toolkit.voices.database import VoiceDatabase
from toolkit.voices.feature_file import read_features, write_features

ROOT = Path(__file__).resolve().parents[3]
_HEAD = """
import sys
from pathlib import Path
from tests.toolkit.voices.made_voices import made_voice
from toolkit.voices.database import VoiceDatabase
path, first = Path(sys.argv[1]), int(sys.argv[2])
allowed = {"consent": "yes", "sources": {}}
"""
_WRITER = (
    _HEAD
    + """
for number in range(first, first + 8):
    with VoiceDatabase(path, create=True) as voices:
        voices.add(f"user{number}", made_voice(number), **allowed)
        voices.add("shared", made_voice(99), **allowed)
"""
)
_ENDLESS = (
    _HEAD
    + """
with VoiceDatabase(path, create=True) as voices:
    number = first
    while True:
        number += 1
        voices.add("victim", made_voice(number), **allowed, replace=True)
        print(number, flush=True)
"""
)
_HANGING = (
    _HEAD
    + """
import time
with VoiceDatabase(path, create=True) as voices, voices._transaction():
    voices._connection.execute("DELETE FROM voice")
    voices._insert("late", made_voice(first), "yes", "{}")
    print("inside", flush=True)
    time.sleep(600)
"""
)


def _start(code: str, path: Path, number: int) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(number)], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_parallel_writers_lose_nothing_even_while_creating_the_file(tmp_path):
    path = tmp_path / "voices.sqlite3"
    writers = [_start(_WRITER, path, 100 * number) for number in range(4)]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 4
    with VoiceDatabase(path) as voices:
        assert len(voices.list()) == 4 * 8 + 1
        for first in (0, 100, 200, 300):
            for number in range(first, first + 8):
                assert voices.read(f"user{number}").sha256 == made_voice(number).sha256


def test_kill_inside_a_transaction_leaves_the_database_as_before(tmp_path):
    path = tmp_path / "voices.sqlite3"
    with VoiceDatabase(path, create=True) as voices:
        voices.add("anna", made_voice(1), consent="yes", sources={})
    hanging = _start(_HANGING, path, 2)
    assert hanging.stdout.readline().strip() == "inside"
    hanging.send_signal(signal.SIGKILL)
    hanging.wait()
    with VoiceDatabase(path) as voices:
        assert [voice.user_id for voice in voices.list()] == ["anna"]
        assert voices.read("anna").sha256 == made_voice(1).sha256
        assert voices.add("ben", made_voice(2), consent="yes", sources={}) == "added"


@pytest.mark.parametrize("delay_ms", [0, 3, 7, 13, 29])
def test_kill_at_any_moment_leaves_one_whole_voice(tmp_path, delay_ms):
    path = tmp_path / "voices.sqlite3"
    endless = _start(_ENDLESS, path, 0)
    endless.stdout.readline()
    time.sleep(delay_ms / 1000)
    endless.send_signal(signal.SIGKILL)
    done = int((endless.stdout.read().split() or ["1"])[-1])
    endless.wait()
    with VoiceDatabase(path) as voices:
        assert [voice.user_id for voice in voices.list()] == ["victim"]
        # The last one it reported, or the next one, committed but not yet reported.
        digests = {made_voice(number).sha256 for number in (done, done + 1)}
        assert voices.read("victim").sha256 in digests


_EXPORT_WITHOUT_ROOM = """
import resource, signal, sys
from pathlib import Path
from tests.toolkit.voices.made_voices import made_voice
from toolkit.voices.feature_file import write_features
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_features(Path(sys.argv[1]), made_voice(2), {})
except OSError as error:
    print("refused")
"""


def test_export_leaves_the_old_file_when_the_disk_refuses(tmp_path):
    path = tmp_path / "voice.npz"
    write_features(path, made_voice(1), {})
    done = subprocess.run(
        [sys.executable, "-c", _EXPORT_WITHOUT_ROOM, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "refused"
    assert read_features(path)[0].sha256 == made_voice(1).sha256
    assert [p.name for p in tmp_path.iterdir()] == ["voice.npz"]
