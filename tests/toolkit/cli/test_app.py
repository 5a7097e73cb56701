"""Exit codes and messages of the command line."""

import errno
import json
import os
import signal
import subprocess
import sys

import pytest

from converters.errors import InputError
from toolkit.cli import app as application
from toolkit.errors import GateFailed


@pytest.fixture
def failing(monkeypatch):
    def install(error):
        def command(*_, **__):
            raise error

        monkeypatch.setattr(application, "app", command)

    return install


@pytest.mark.parametrize(
    ("error", "code", "needle"),
    [
        (InputError("damaged", where="a.onnx", hint="download it again"), 2, "hint: download it again"),
        (GateFailed("too big"), 1, "error[gate/failed]"),
        (KeyboardInterrupt(), 2, "error[run/interrupted]"),
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), 2, "error[output/disk-full]"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "error[output/not-writable]"),
        (ZeroDivisionError("oops"), 2, "error[internal/unclassified]"),
    ],
)
def test_errors_become_one_message_and_an_exit_code(failing, capsys, error, code, needle):
    failing(error)
    assert application.outcome([]) == code
    assert needle in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", [ImportError, InputError])
def test_a_signal_that_compiled_code_swallows_is_still_an_interrupt(monkeypatch, capsys, number, kind):
    """Compiled modules turn what is raised during their import into an ImportError."""

    def command(*_, **__):
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        except KeyboardInterrupt:
            raise kind("initialization failed") from None

    monkeypatch.setattr(application, "app", command)
    monkeypatch.setattr(application, "_came", set())
    kept = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with pytest.raises(SystemExit) as left:
            application.run([])
    finally:
        for each, handler in kept.items():
            signal.signal(each, handler)
    assert left.value.code == 2
    assert "error[run/interrupted]" in capsys.readouterr().err


def test_unknown_option_is_a_usage_error(capsys):
    assert application.outcome(["convert", "--no-such-option"]) == 2
    assert "error[usage/invalid]" in capsys.readouterr().err


def test_version_and_help_succeed(capsys):
    assert application.outcome(["--version"]) == 0
    assert capsys.readouterr().out.startswith("toolkit ")
    assert application.outcome(["convert", "--help"]) == 0


def test_dry_run_prints_the_complete_recipe_with_the_delegate_asked_for(capsys):
    assert application.outcome(["convert", "--delegate", "gpu", "--android", "13", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "name: gpu" in out
    assert "android: '13'" in out


def test_recipe_schema_is_json(capsys):
    assert application.outcome(["recipe", "schema"]) == 0
    assert "precision" in json.dumps(json.loads(capsys.readouterr().out))


def test_explain_knows_a_code_and_suggests_near_ones(capsys):
    assert application.outcome(["explain", "convert/parity"]) == 0
    assert "first operator" in capsys.readouterr().out.replace("\n", " ")
    assert application.outcome(["explain", "convert/party"]) == 2
    assert "convert/parity" in capsys.readouterr().err


@pytest.mark.parametrize("declaration", ["mel", "mel:axb", "mel:1x2:float64", "mel:1x2:int32:9"])
def test_bad_input_declaration_is_refused_before_anything_loads(tmp_path, capsys, declaration):
    out = tmp_path / "run"
    assert application.outcome(["convert", "some.module:make", "--input", declaration, "--out", str(out)]) == 2
    assert "error[input/bad-declaration]" in capsys.readouterr().err
    assert not out.exists()


_ENDS = """
import atexit, os, sys
from toolkit.cli.app import run
atexit.register(os.write, 2, b"said by C++ at the end")
run(sys.argv[1:])
"""


@pytest.mark.parametrize(("debug", "heard"), [("", False), ("1", True)])
def test_what_libraries_say_while_the_process_ends_is_not_shown(debug, heard):
    environment = {**os.environ, "TOOLKIT_DEBUG": debug}
    command = [sys.executable, "-c", _ENDS, "explain", "no/such-code"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2 and "error[" in ended.stderr  # its own words are
    assert ("said by C++" in ended.stderr) is heard
