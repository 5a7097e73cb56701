"""What `toolkit inspect` says of a placement: one entry a reason, whatever number of operators share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from toolkit.cli.safe_text import shown


def placement_lines(placement: Mapping[str, Any]) -> Iterator[str]:
    """The lines below the operators: what is delegated, what is refused and why, what is known to be wrong, remarks."""
    folded = f", {placement['folded']} DEQUANTIZE of constants folded away" if placement["folded"] else ""
    yield (
        f"{placement['delegate']} ({placement['level']}): {placement['accepted']}/{placement['total']} operators, "
        f"{placement['partitions']} partition(s){folded}"
    )
    yield from _by_reason("on the CPU", placement["fallbacks"], lambda row: f"{row['op']} ×{row['count']}")
    yield from _by_reason(
        "known wrong result",
        placement["wrong_results"],
        lambda row: f"{row['op']} ×{row['count']} ({'first: ' if row['count'] > 1 else ''}{_short(row['first'])})",
    )
    yield from (f"  note: {shown(note)}" for note in placement["notes"])


def _short(name: str) -> str:
    """A name without those that TensorFlow's converter strings together behind it."""
    return shown(name.partition(";")[0])


def _by_reason(
    head: str, rows: Sequence[Mapping[str, Any]], title: Callable[[Mapping[str, Any]], str]
) -> Iterator[str]:
    """Rows that differ in the operator only, together; most operators first."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["reason"], row["source"], row["fix"]), []).append(row)
    for (reason, source, fix), of_reason in sorted(
        groups.items(), key=lambda group: -sum(row["count"] for row in group[1])
    ):
        yield f"  {head}: {', '.join(map(title, of_reason))}: {shown(reason)}  [{source}]"
        if fix:
            yield f"    fix: {fix}"
