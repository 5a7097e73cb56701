"""Asks the Core ML delegate's rules about one operator. Read from source: Core ML runs on Apple devices only."""

from __future__ import annotations

from toolkit.delegates.coreml_checks import INTERPRETERS, Check, holds
from toolkit.delegates.op_view import OpView
from toolkit.delegates.tables import commit, coreml_table
from toolkit.delegates.verdict import Refusal, Verdict
from toolkit.errors import DelegateError


def default_version() -> int:
    """Version of Core ML the delegate asks for by itself (iOS 13 and newer)."""
    return int(coreml_table()["default_coreml_version"])


def judge_op(view: OpView, version: int) -> Verdict:
    """The first rule an operator breaks, as the delegate stops there.

    Args:
        view: the operator.
        version: version of Core ML, 2 or 3.

    Raises:
        DelegateError: the table has a kind of check this version cannot interpret.
    """
    table = coreml_table()
    rules = table["ops"].get(view.op.kind)
    if rules is None:
        message = f"Core ML has no operation for {view.op.kind}"
        return Verdict(refusals=(Refusal(kind="unmapped", message=message, source=_source(table["not_listed"])),))
    for check in rules["checks"]:
        interpreter = INTERPRETERS.get(check["kind"])
        if interpreter is None:
            raise DelegateError(f"unknown kind of Core ML check {check['kind']!r}", where=_source(check))
        if holds(check.get("when"), view) and not interpreter(check, view, version):
            refusal = Refusal(kind=check["kind"], message=_message(check, view), source=_source(check))
            return Verdict(refusals=(refusal,))
    return Verdict()


def _source(check: Check) -> str:
    table = coreml_table()
    return f"{table['source']['directory']}/{check['file']}:{check['line']}@{commit(table)}"


def _message(check: Check, view: OpView) -> str:
    if check["kind"] == "max_op_version":
        return f"op version {view.op.version}; {check['message']}"
    tensors = check.get("tensors") or ([check["tensor"]] if "tensor" in check else [])
    found = ", ".join(f"{t} is {view.dtype(t)} {list(view.shape(t) or ())}" for t in tensors if view.tensor(t))
    return f"{check['message']}; {found}" if found else str(check["message"])
