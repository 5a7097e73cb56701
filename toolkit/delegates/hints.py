"""What to change so that a delegate takes an operator, or computes it right."""

from __future__ import annotations

from toolkit.delegates.tables import hint_table


def hint(kind_of_operator: str, kind_of_rule: str) -> str:
    """Advice for an operator and the kind of rule it broke; empty when there is none."""
    table = hint_table()
    specific = table["by_operator_and_kind"].get(f"{kind_of_operator}/{kind_of_rule}")
    return str(specific or table["by_kind"].get(kind_of_rule, ""))
