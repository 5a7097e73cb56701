"""A delegate's answer about one operator."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One rule an operator breaks.

    Attributes:
        kind: kind of the rule, as the table names it; picks the fix hint.
        message: what the rule asks and what was found.
        source: ``file:line@commit`` of the rule.
        at_start: the delegate takes the operator and meets the rule only when it starts, which then fails as a whole.
    """

    kind: str
    message: str
    source: str
    at_start: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Accepted when there is no refusal. A warning names a way in which an accepted operator computes wrong values."""

    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[Refusal, ...] = field(default=())

    @property
    def accepted(self) -> bool:
        """True when no rule refuses."""
        return not self.refusals

    @property
    def fails_at_start(self) -> bool:
        """True when the delegate takes the operator and then fails to start because of it."""
        return bool(self.refusals) and all(refusal.at_start for refusal in self.refusals)
