"""Asks the NNAPI delegate's rules about one operator."""

from __future__ import annotations

from toolkit.delegates.levels import level_name
from toolkit.delegates.nnapi_checks import INTERPRETERS, Check, Target, holds
from toolkit.delegates.op_view import OpView
from toolkit.delegates.tables import commit, nnapi_table
from toolkit.delegates.verdict import Refusal, Verdict
from toolkit.errors import DelegateError

_UNSUPPORTED_LINE = 3650
_FIRST_LEVEL_WITH_SIGNED_INT8 = 30


def target_for(level: int) -> Target:
    """The delegate's default options at a level: from 29 on it uses devices only, never NNAPI's own CPU path."""
    return Target(level=level, accelerator=level >= 29)


def judge_op(view: OpView, target: Target) -> Verdict:
    """All rules an operator breaks at a level.

    Raises:
        DelegateError: the table has a kind of check this version cannot interpret.
    """
    table = nnapi_table()
    rules = table["ops"].get(view.op.kind)
    if rules is None:
        return Verdict(
            refusals=(
                Refusal(
                    kind="unmapped",
                    source=_source(_UNSUPPORTED_LINE),
                    message=f"NNAPI has no operation for {view.op.kind}",
                ),
            )
        )
    refusals: list[Refusal] = []
    for check in rules["checks"]:
        if not holds(check.get("when"), view, target):
            continue
        if check["kind"] == "accept_if":
            break
        interpreter = INTERPRETERS.get(check["kind"])
        if interpreter is None:
            raise DelegateError(f"unknown kind of NNAPI check {check['kind']!r}", where=_source(check["line"]))
        if not interpreter(check, view, target):
            message = _message(check, view, target)
            refusals.append(Refusal(kind=check["kind"], message=message, source=_source(check["line"])))
    return Verdict(refusals=tuple(refusals), warnings=_warnings(view, target))


def _warnings(view: OpView, target: Target) -> tuple[Refusal, ...]:
    converted = nnapi_table()["int8_converted_to_uint8_below_30"]
    if target.level >= _FIRST_LEVEL_WITH_SIGNED_INT8 or view.op.kind in converted["ops"]:
        return ()
    if any(t is not None and t.dtype == "INT8" for t in view.inputs):
        message = f"{view.op.kind} with int8 passes validation, but drivers refuse it below level 30"
        return (Refusal(kind="int8_below_30", message=message, source=_source(converted["lines"][0])),)
    return ()


def _source(line: int) -> str:
    table = nnapi_table()
    return f"{table['source']['file']}:{line}@{commit(table)}"


def _message(check: Check, view: OpView, target: Target) -> str:
    kind = check["kind"]
    if kind == "max_op_version":
        return f"op version {view.op.version}, the delegate knows up to {check['value']}"
    if kind in ("min_sdk", "min_sdk_if_option"):
        extra = f" ({check['message']})" if kind == "min_sdk_if_option" else ""
        return f"needs {level_name(check['value'])}, asked for {level_name(target.level)}{extra}"
    if kind in ("type_in", "type_not", "type_min_sdk"):
        allowed = check.get("types") or list(check["map"])
        word = "not allowed:" if kind == "type_not" else "allowed:"
        return f"{check['tensor']} is {view.dtype(check['tensor'])}; {word} {', '.join(allowed)}"
    if kind == "rank":
        found = ", ".join(f"{name} has rank {len(view.shape(name) or ())}" for name in check["tensors"])
        return f"{check.get('message', 'rank')}: {found}"
    if kind == "n_inputs":
        return f"{check['message']} ({len(view.inputs)} inputs)"
    return str(check.get("message", kind))
