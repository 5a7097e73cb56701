"""The profile as benchmark_model prints it: aligned columns, tabs, or comma-separated values.

Written by TensorFlow's StatsCalculator: older builds have a column ``start``, newer ones have none; a delegate that
names its own operators (XNNPACK) adds rows called ``Delegate/…`` or a table "Delegate internal". The number of nodes
stands under each table: a table of another length was cut off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from toolkit.bench.phone.lines import lines_of, number, unreadable, whole
from toolkit.results import PhoneOp

_RUNS = "Operator-wise Profiling Info for Regular Benchmark Runs:"
_START = "Profiling Info for Benchmark Initialization:"
_TITLE = re.compile(r"=+ (.+?) =+")
_SUBGRAPH = re.compile(r"Subgraph \(index: (\d+)(?:, name: .*)?\) profile:")
_NODES = re.compile(r"Number of nodes executed: (.+)")
_NUMBER = r"([^\s,%]+)"
_SPACED = {
    columns: re.compile(
        r"\s*(\S.*?)" + (r"\s+" + _NUMBER) * columns + r"\s+([^\s,]+)%\s+([^\s,]+)%\s+" + _NUMBER + r"\s+(\d+)\s+(.*)"
    )
    for columns in (2, 3)
}
_COMMAS = {
    columns: re.compile(
        r"(\S.*?)" + (", " + _NUMBER) * columns + r", ([^\s,]+)%, ([^\s,]+)%, " + _NUMBER + r", (\d+), (.*)"
    )
    for columns in (2, 3)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Operators in execution order; ``delegate_ops`` are those a delegate reports in a table of its own."""

    ops: tuple[PhoneOp, ...]
    delegate_ops: tuple[PhoneOp, ...] = ()


def is_delegated(op_type: str, name: str) -> bool:
    """Whether a row is a delegate's kernel (``TfLiteNnapiDelegate``) or an operator inside one."""
    return "delegate" in op_type.lower() or name.startswith("Delegate/")


@dataclass(slots=True)
class _Table:
    subgraph: int
    rows: list[PhoneOp] = field(default_factory=list)
    confirmed: bool = False
    is_delegates: bool = False


def parse_profile(text: str) -> Profile:
    """Reads the operators of the benchmark's runs; those of loading are left out.

    Raises:
        BenchError: no profile, a damaged row, or a table that is cut off.
    """
    reader = _Reader()
    for line in lines_of(text):
        reader.take(line)
    return reader.profile()


class _Reader:
    """Goes through the lines once."""

    def __init__(self) -> None:
        self._inside = False
        self._tables: list[_Table] = []
        self._subgraph, self._delegates = 0, False
        self._header_next = False
        self._form: re.Pattern[str] | None = None

    def take(self, line: str) -> None:
        """Takes the next line."""
        stripped = line.strip()
        if stripped in (_RUNS, _START):
            if stripped == _RUNS and self._tables:
                raise unreadable("two profiles stand in one output")
            self._inside = stripped == _RUNS
        elif not self._inside:
            return
        elif self._header_next:
            self._form = _row_form(stripped)
            self._header_next = False
        elif self._form is not None:
            self._row(self._form, line, stripped)
        elif stripped.startswith("Primary graph") and stripped.endswith("profile:"):
            self._subgraph, self._delegates = 0, False
        elif found := _SUBGRAPH.fullmatch(stripped):
            self._subgraph, self._delegates = whole(found[1], "the index of a subgraph"), False
        elif stripped == "Delegate internal:":
            self._subgraph, self._delegates = 0, True
        elif found := _TITLE.fullmatch(stripped):
            if found[1] == "Run Order":
                self._tables.append(_Table(subgraph=self._subgraph, is_delegates=self._delegates))
                self._header_next = True
        elif found := _NODES.fullmatch(stripped):
            self._confirm(whole(found[1], "the number of nodes"))

    def _row(self, form: re.Pattern[str], line: str, stripped: str) -> None:
        if not stripped:
            self._form = None
            return
        found = form.fullmatch(line.rstrip())
        if found is None:
            raise unreadable(f"the profile's row {stripped[:90]!r} is damaged")
        groups = found.groups()
        op_type, name = groups[0], groups[-1]
        average = number(groups[-6], f"the time of {op_type!r}")
        if average < 0:
            raise unreadable(f"the time of {op_type!r} is {groups[-6]}")
        for each in (*groups[1:-6], groups[-3]):
            number(each, f"a figure of {op_type!r}")
        table = self._tables[-1]
        table.rows.append(
            PhoneOp(
                subgraph=table.subgraph,
                index=len(table.rows),
                op_type=op_type,
                name=name,
                avg_ms=average,
                calls=whole(groups[-2], f"the calls of {op_type!r}"),
                delegated=table.is_delegates or is_delegated(op_type, name),
            )
        )

    def _confirm(self, nodes: int) -> None:
        if not self._tables or self._tables[-1].confirmed:
            raise unreadable("a number of nodes stands without its table")
        if len(self._tables[-1].rows) != nodes:
            raise unreadable(f"the profile has {len(self._tables[-1].rows)} rows and says {nodes}")
        self._tables[-1].confirmed = True

    def profile(self) -> Profile:
        """What was read, if it is whole."""
        if not self._tables:
            raise unreadable(f"there is no profile (no {_RUNS!r})")
        if self._header_next or self._form is not None or not all(table.confirmed for table in self._tables):
            raise unreadable("the profile is cut off")
        ops = tuple(op for table in self._tables if not table.is_delegates for op in table.rows)
        inner = tuple(op for table in self._tables if table.is_delegates for op in table.rows)
        if not ops:
            raise unreadable("the profile has no rows")
        return Profile(ops=ops, delegate_ops=inner)


def _row_form(header: str) -> re.Pattern[str]:
    """How rows look under a header: comma-separated or aligned, with a column ``start`` or without."""
    commas = header.startswith("node type, ")
    names = [part.strip().strip("[]") for part in (header.split(",") if commas else re.findall(r"\[[^]]*\]", header))]
    names = [name.lower().replace("_", " ") for name in names]
    tail = ["first", "avg ms", "%", "cdf%", "mem kb", "times called", "name"]
    if names == ["node type", *tail]:
        return (_COMMAS if commas else _SPACED)[2]
    if names == ["node type", "start", *tail]:
        return (_COMMAS if commas else _SPACED)[3]
    raise unreadable(f"the profile's columns {header[:120]!r} are unknown")
