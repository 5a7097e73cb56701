"""The command tree, and the one place where exceptions become messages and exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

import typer
from typer.exceptions import TyperException

import toolkit
from converters.errors import ToolError
from toolkit.cli import (
    bench,
    codes,
    compare,
    convert,
    data,
    distil,
    doctor,
    estimate,
    explain,
    history,
    inspect,
    prune,
    recipe,
    report,
    sensitivity,
    serve,
    speak,
    stack,
    train,
    voices,
)
from toolkit.errors import GateFailed

EXIT_GATE = 1
EXIT_ERROR = 2
_TYPER_INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt
_came: set[int] = set()
"""Signals that ended the command: one that comes while a compiled module is imported surfaces as its ImportError."""
_INTERRUPTED = "error[run/interrupted]: interrupted; nothing half-written was left behind"

_FULL = {
    errno.ENOSPC: "no space left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than a file may be here (ulimit -f)",
}

app = typer.Typer(
    name="toolkit",
    help="PyTorch speech models to small, fast, verified TFLite.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("convert")(convert.convert)
app.command("distil")(distil.distil)
app.command("prune")(prune.prune)
app.command("stack")(stack.stack)
app.command("sensitivity")(sensitivity.sensitivity)
app.command("speak")(speak.speak)
app.command("codes")(codes.codes)
app.command("inspect")(inspect.inspect)
app.command("bench")(bench.bench)
app.command("compare")(compare.compare)
app.command("estimate")(estimate.estimate)
app.command("report")(report.report)
app.command("serve")(serve.serve)
app.add_typer(history.app, name="history")
app.add_typer(recipe.app, name="recipe")
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.add_typer(voices.app, name="voices")
app.command("doctor")(doctor.doctor)
app.command("explain")(explain.explain)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"toolkit {toolkit.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """PyTorch speech models to small, fast, verified TFLite."""


def run(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with its code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # ignored in the background of a shell
        signal.signal(signal.SIGINT, _terminate)
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # ignored under nohup
        signal.signal(signal.SIGHUP, _terminate)  # a closed terminal must not leave files, here or on a phone
    code = outcome(arguments)
    if not os.environ.get("TOOLKIT_DEBUG"):
        _silence()
    sys.exit(code)


def _silence() -> None:
    """Drops what C++ says on descriptor 2 while the process ends: LiteRT reports each accelerator it lets go of."""
    sys.stderr.flush()
    with Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), 2)


def outcome(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code instead of leaving."""
    try:
        result = app(arguments, standalone_mode=False)
    except GateFailed as error:
        return _say(str(error), EXIT_GATE)
    except ToolError as error:
        return _failed(str(error))
    except typer.Exit as leave:
        return leave.exit_code
    except TyperException as error:
        return _failed(f"error[usage/invalid]: {error.format_message()}\n  hint: toolkit COMMAND --help")
    except (KeyboardInterrupt, typer.Abort):
        return _failed(_INTERRUPTED)
    except OSError as error:
        return _failed(_os_error(error))
    except Exception as error:  # noqa: BLE001  the last line of defence: every defect ends in one message
        return _failed(_internal(error))
    if result == _TYPER_INTERRUPTED:
        return _failed(_INTERRUPTED)
    return result if isinstance(result, int) else 0


def _failed(message: str) -> int:
    """Whatever an error looks like, after a signal it is an interrupt."""
    return _say(_INTERRUPTED if _came else message, EXIT_ERROR)


def _say(message: str, code: int) -> int:
    typer.echo(message, err=True)
    return code


def _os_error(error: OSError) -> str:
    where = f"\n  in  {error.filename}" if error.filename else ""
    if error.errno in _FULL:
        return f"error[output/disk-full]: {_FULL[error.errno]}{where}\n  hint: free some; the run left nothing"
    return f"error[output/not-writable]: {error.strerror or error}{where}\n  hint: check the path and its permissions"


def _internal(error: Exception) -> str:
    if os.environ.get("TOOLKIT_DEBUG"):
        traceback.print_exception(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"error[internal/unclassified]: {type(error).__name__}: {error}\n"
        f"  in  {last.filename}:{last.lineno}\n"
        f"  hint: this is a defect of the toolkit; set TOOLKIT_DEBUG=1 for the whole trace"
    )


def _terminate(signum: int, frame: FrameType | None) -> None:
    _came.add(signum)
    raise KeyboardInterrupt
