"""The only module that knows rich: one line per stage, then a verdict. Plain text when the output is not a terminal."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Terminal:
    """Shows the pipeline's events: a live bar on a terminal, finished stages as lines everywhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._own_stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8")
        self.console = Console(file=self._own_stderr, highlight=False, soft_wrap=True)
        self._kept: int | None = None
        self._live: Progress | None = None
        self._task = None
        self._last_tenth = -1

    def __enter__(self) -> Terminal:
        if not os.environ.get("TOOLKIT_DEBUG"):
            self._drop_native_output()
        if self.console.is_terminal and not self.quiet:
            self._live = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("[dim]{task.fields[note]}"),
                TimeElapsedColumn(),
                console=self.console,
                transient=True,
            )
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._kept is not None:
            sys.stderr.flush()
            os.dup2(self._kept, 2)
            os.close(self._kept)
            self._kept = None

    def _drop_native_output(self) -> None:
        """Drops what the frameworks' C++ prints on descriptor 2; errors are exceptions and are shown all the same."""
        sys.stderr.flush()
        self._kept = os.dup(2)
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)

    def stage_started(self, stage: str) -> None:
        """Starts the live bar of a stage."""
        self._last_tenth = -1
        if self._live is not None:
            self._task = self._live.add_task(escape(stage), total=None, note="")

    def progress(self, stage: str, done: int, total: int, note: str) -> None:
        """Moves the live bar; without a terminal, says every tenth once."""
        if self._live is not None and self._task is not None:
            self._live.update(self._task, completed=done, total=total or None, note=escape(note))
        elif total and not self.quiet:
            tenth = done * 10 // total
            if tenth != self._last_tenth:
                self._last_tenth = tenth
                self.console.print(f"    {stage}: {done}/{total} {note}", markup=False)

    def stage_finished(self, stage: str, seconds: float, fact: str) -> None:
        """Prints the finished stage with its time and key number."""
        if self._live is not None and self._task is not None:
            self._live.remove_task(self._task)
            self._task = None
        if not self.quiet:
            self.console.print(f"[green]done[/green] {escape(stage):<44} [dim]{seconds:7.1f} s[/dim]  {escape(fact)}")

    def warning(self, message: str) -> None:
        """Prints a warning."""
        self.console.print(f"[yellow]note[/yellow] {escape(message)}")
