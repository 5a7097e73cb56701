"""Asks the GPU delegates' rules about one operator: the classic TFLite delegate and LiteRT's GPU accelerator."""

from __future__ import annotations

from typing import Any, Literal

from toolkit.delegates.gpu_checks import INTERPRETERS
from toolkit.delegates.gpu_rules import CLASSIC_LIMITS, NEVER_RAISED, REFUSALS, unreachable
from toolkit.delegates.gpu_start_failures import start_failure
from toolkit.delegates.gpu_wrong_results import wrong_result
from toolkit.delegates.op_view import OpView
from toolkit.delegates.tables import commit, gpu_table
from toolkit.delegates.verdict import Refusal, Verdict
from toolkit.errors import DelegateError

Layer = Literal["classic_v2", "mldrift"]

_FILES = {
    "compat": "tflite/tools/versioning/gpu_compatibility.cc",
    "classic_v2": "tflite/delegates/gpu/common/model_builder.cc",
    "mldrift": "ml_drift_delegate/tflite/model_builder.cc",
}
_COMPARISONS = ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL")
_INTEGERS = ("INT8", "INT16", "INT32")
_UNSIGNED = ("UINT8", "UINT16", "UINT32")


def judge_op(view: OpView, layer: Layer) -> Verdict:
    """All rules an operator breaks, and the ways it is known to compute wrong values although accepted.

    Raises:
        DelegateError: the table has a kind of check or a message this version cannot interpret.
    """
    entry = gpu_table()["ops"].get(view.op.kind)
    if entry is None or not entry[layer]["supported"]:
        return Verdict(refusals=(_no_parser(view, layer, entry[layer] if entry else {}),))
    rules = entry[layer]
    broken = [
        *_name(view, layer, rules),
        *_version(view, layer, rules),
        *_compatibility(view, layer, entry),
        *_own_checks(view, layer, rules),
        *_tensors(view, layer),
    ]
    if layer == "mldrift" and not broken:
        failure = start_failure(view)
        broken += [failure] if failure else []
    warning = wrong_result(view, classic=layer == "classic_v2") if not broken else None
    return Verdict(refusals=tuple(broken), warnings=(warning,) if warning else ())


def _no_parser(view: OpView, layer: Layer, rules: dict[str, Any]) -> Refusal:
    if "unknown_to_compat_line" in rules:
        source = _source("compat", rules["unknown_to_compat_line"])
        return Refusal(kind="no_parser", source=source, message=f"Not supported op {view.op.kind}")
    line = "3080" if layer == "classic_v2" else "6766"
    return Refusal(kind="no_parser", source=_source(layer, line), message=f"the delegate has no {view.op.kind}")


def _name(view: OpView, layer: Layer, rules: dict[str, Any]) -> list[Refusal]:
    """Custom operators and composites are told apart by their name."""
    if "names" not in rules:
        return []
    composite = view.op.kind == "STABLEHLO_COMPOSITE"
    name = str(view.op.options.get("name", "")) if composite else view.op.custom_code
    if name in rules["names"]:
        return []
    what = "composite" if composite else "custom operator"
    message = f"{what} {name!r}; known: {', '.join(rules['names'])}"
    line = rules.get("switch_line") or next(iter(rules["names"].values()))
    return [Refusal(kind="custom", source=_source(layer, line), message=message)]


def _source(layer: str, line: int | str) -> str:
    return f"{_FILES[layer]}:{line}@{commit(gpu_table())}"


def _version(view: OpView, layer: Layer, rules: dict[str, Any]) -> list[Refusal]:
    limit = rules.get("max_version")
    if limit is None or view.op.version <= limit:
        return []
    message = f"op version {view.op.version}, the delegate knows up to {limit}"
    return [Refusal(kind="max_op_version", message=message, source=_source(layer, rules["class_line"]))]


def _compatibility(view: OpView, layer: Layer, entry: dict[str, Any]) -> list[Refusal]:
    rules = entry[layer]
    uses = rules.get("uses_compat_checks" if layer == "classic_v2" else "compat_checks")
    if not uses:
        return []
    return _run(entry["compat"].get("checks", ()), view, "compat", enhanced=rules.get("broadcast") == "enhanced")


def _run(checks: Any, view: OpView, layer: str, *, enhanced: bool) -> list[Refusal]:
    """The first check that fails, as the delegate stops there (later checks rely on earlier ones)."""
    for check in checks:
        interpreter = INTERPRETERS.get(check["kind"])
        if interpreter is None:
            raise DelegateError(f"unknown kind of GPU check {check['kind']!r}", where=_source(layer, check["line"]))
        if not interpreter(check, view, enhanced):
            source = _source(layer, check["line"])
            return [Refusal(kind=check["kind"], message=_message(check, view), source=source)]
    return []


def _own_checks(view: OpView, layer: Layer, rules: dict[str, Any]) -> list[Refusal]:
    broken = _run(rules.get("checks", ()), view, layer, enhanced=True)
    broken += _limits(view, layer, rules.get("extra_support_checks", ()), at_start=False)
    broken += _limits(view, layer, rules.get("parse_time_limits", ()), at_start=True)
    if rules.get("parser") == "ElementwiseOperationParser" and layer == "mldrift" and len(view.inputs) == 2:
        scalars = [i for i, t in enumerate(view.inputs) if t is not None and not t.shape and t.data is None]
        broken += [_rankless(index) for index in scalars if any(t is not None and t.shape for t in view.inputs)]
    for message in dict.fromkeys(rules.get("rejects", ())):
        if message in NEVER_RAISED or unreachable(view.op.kind, message):
            continue
        if message not in REFUSALS:
            raise DelegateError(f"unknown GPU refusal {message!r}", where=view.op.kind)
        if REFUSALS[message](view):
            first, last = rules["is_supported_lines"]
            broken.append(Refusal(kind="reject", message=message, source=_source(layer, f"{first}-{last}")))
    return broken


def _rankless(index: int) -> Refusal:
    message = f"input{index} has rank 0: bad input dims size: 0."
    source = f"ml_drift_delegate/tflite/operation_parser.cc:271@{commit(gpu_table())}"
    return Refusal(kind="rank", message=message, source=source)


def _limits(view: OpView, layer: Layer, limits: Any, *, at_start: bool) -> list[Refusal]:
    broken = []
    for limit in limits:
        if limit["line"] not in CLASSIC_LIMITS:
            raise DelegateError(f"unknown GPU limit {limit['text']!r}", where=_source(layer, limit["line"]))
        if CLASSIC_LIMITS[limit["line"]](view):
            source = _source(layer, limit["line"])
            broken.append(Refusal(kind="limit", message=limit["text"], source=source, at_start=at_start))
    return broken


def allowed_types(kind: str, layer: Layer) -> tuple[set[str], set[str]]:
    """Types a delegate takes for tensors computed at run time: of the inputs, and of the outputs."""
    rule = gpu_table()["tensor_rule_" + layer]
    if layer == "classic_v2":
        both = {*rule["allowed"], *rule["allowed_if_quant_enabled"]}
        inputs, outputs = set(both), set(both)
        if kind in (*_COMPARISONS, "LOGICAL_AND"):
            outputs.add("BOOL")
        inputs |= {
            "CAST": {"BOOL", "INT32"},
            "ONE_HOT": {"INT32"},
            "SELECT": {"BOOL"},
            "SELECT_V2": {"BOOL"},
            "LOGICAL_AND": {"BOOL"},
            "GATHER": {"INT32"},
        }.get(kind, set())
        outputs |= {"CAST": {"BOOL", "INT32"}}.get(kind, set())
        return inputs, outputs
    inputs = {*rule["allowed"], *rule["allowed_if_quant_enabled_in"]}
    outputs = {*rule["allowed_out"], *rule["allowed_if_quant_enabled_out"]}
    if kind in rule["replace_out"]:
        outputs = set(rule["replace_out"][kind])
        inputs = {"BOOL"} if kind.startswith("REDUCE_") else inputs
    if kind in rule["extra_in_int32"]:
        inputs.add("INT32")
    if kind in _COMPARISONS:
        inputs |= set(rule["compare_ops"]["in"])
        outputs |= set(rule["compare_ops"]["out"])
    if kind in rule["logical_ops"]:
        inputs, outputs = set(rule["logical_ops_replace"]), set(rule["logical_ops_replace"])
    if kind == "TOPK_V2":
        outputs |= set(rule["topk_out"])
    if kind in rule["bf16_ops"]:
        inputs.add("BFLOAT16")
        outputs.add("BFLOAT16")
    if kind in rule["int_ops"]:
        inputs |= set(_INTEGERS)
        outputs |= set(_INTEGERS)
    if kind in rule["all_precision_ops"]:
        every = {*_INTEGERS, *_UNSIGNED, "BOOL", "BFLOAT16"}
        inputs |= every
        outputs |= every
    return inputs, outputs


def _tensors(view: OpView, layer: Layer) -> list[Refusal]:
    inputs, outputs = allowed_types(view.op.kind, layer)
    line = gpu_table()["tensor_rule_" + layer]["lines"][0]
    broken = []
    for side, tensors, allowed in (("input", view.inputs, inputs), ("output", view.outputs, outputs)):
        for index, tensor in enumerate(tensors):
            if tensor is None:
                continue
            if len(tensor.shape) > 4:
                message = f"{side}{index} has rank {len(tensor.shape)}; at most 4"
                broken.append(Refusal(kind="rank", message=message, source=_source(layer, line)))
            elif tensor.data is None and not tensor.is_variable and tensor.dtype not in allowed:
                message = f"{side}{index} is {tensor.dtype}; allowed: {', '.join(sorted(allowed))}"
                broken.append(Refusal(kind="type_in", message=message, source=_source(layer, line)))
    return broken


_COMPARED = {"==": "", "<=": "at most ", ">=": "at least ", "<": "below ", ">": "above "}


def _message(check: dict[str, Any], view: OpView) -> str:
    kind = check["kind"]
    if kind in ("runtime_const_outputs", "runtime_inputs_outputs"):
        wanted = f"{check['runtime_inputs']} computed" + (
            f" and {check['const_inputs']} constant" if "const_inputs" in check else ""
        )
        return f"wants {wanted} inputs; found {view.runtime_inputs} computed and {view.const_inputs} constant"
    if kind == "any_of":
        return f"found {view.runtime_inputs} computed and {view.const_inputs} constant inputs, which fits no variant"
    if kind in ("rank", "type_in", "const_type", "type_not"):
        names = check.get("tensors") or [check["tensor"]]
        found = ", ".join(f"{n} is {view.dtype(n)} {list(view.shape(n) or ())}" for n in names)
        if kind == "rank":
            return f"wants rank {_COMPARED.get(check['op'], check['op'])}{check['value']}; {found}"
        return f"{kind.replace('_', ' ')} {'/'.join(check['types'])}; {found}"
    if kind == "option_eq":
        return f"{check['option']} must be {check['value']}"
    return str(check.get("note") or kind.replace("_", " "))
