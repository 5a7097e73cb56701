"""The files beside the page follow the formats of the programs that read them, and say what the result says."""

import json
import re

import pytest

from tests.toolkit.report.synthetic_run import synthetic
from toolkit.report import write_report
from toolkit.report.overlays import overlays
from toolkit.report.trace import trace
from toolkit.results import Environment, Host, PrecisionOp, Run, RunResult, Validity

RESULT = synthetic()
COLOUR = re.compile(r"#[0-9a-f]{6}")


def overlay_faults(overlay):
    """What breaks Model Explorer's graph node data (``node_data_builder``: GraphNodeData, NodeDataResult, …)."""
    faults = [f"unknown field {key}" for key in overlay.keys() - {"results", "thresholds", "gradient"}]
    for key, node in overlay["results"].items():
        if not key.isdigit():
            faults.append(f"{key}: not a node's id")
        if type(node.get("value")) not in (int, float, str):
            faults.append(f"{key}: no value")
        faults += [f"{key}: {field}" for field in node.keys() - {"value", "bgColor", "textColor"}]
        faults += [f"{key}: {node[f]}" for f in ("bgColor", "textColor") if f in node and not COLOUR.fullmatch(node[f])]
    stops = [item["stop"] for item in overlay.get("gradient", [])]
    if stops and (stops[0], stops[-1]) != (0, 1):
        faults.append("a gradient goes from 0 to 1")
    return faults


def trace_faults(found):
    """What breaks the Trace Event Format's JSON object form, for the two kinds of event written here."""
    faults = []
    named = {(e["pid"], e["tid"]) for e in found["traceEvents"] if e["name"] == "thread_name"}
    clock = {}
    for event in found["traceEvents"]:
        if not {"name", "ph", "ts", "pid", "tid"} <= event.keys():
            faults.append(f"{event}: lacks a field")
            continue
        place = (event["pid"], event["tid"])
        if event["ph"] == "X":
            if place not in named:
                faults.append(f"{event['name']}: on a track without a name")
            if not event["dur"] >= 0:
                faults.append(f"{event['name']}: lasts {event['dur']}")
            if event["ts"] < clock.get(place, 0) - 0.01:
                faults.append(f"{event['name']}: begins inside the one before")
            clock[place] = event["ts"] + event["dur"]
        elif event["ph"] != "M" or event["name"] not in ("process_name", "thread_name"):
            faults.append(f"{event}: unknown kind")
    return faults


def test_overlays_follow_the_format():
    found = overlays(RESULT)
    assert len(found) >= 6
    for name, overlay in found.items():
        assert overlay_faults(json.loads(json.dumps(overlay))) == [], name


@pytest.mark.parametrize(
    "change",
    [
        lambda o: o["results"].update({"conv": {"value": 1}}),
        lambda o: o["results"]["0"].pop("value"),
        lambda o: o["results"]["0"].update(bgColor="reddish"),
        lambda o: o.update(colors=[]),
        lambda o: o.update(gradient=[{"stop": 0.5}]),
    ],
)
def test_a_broken_overlay_is_caught(change):
    overlay = overlays(RESULT)["decoder-256-nnapi.json"]
    change(overlay)
    assert overlay_faults(overlay)


def test_placement_says_where_each_operator_runs_and_why():
    placement = next(p for p in RESULT.delegation if p.delegate == "gpu_litert")
    nodes = overlays(RESULT)["decoder-256-gpu_litert.json"]["results"]
    assert len(nodes) == len(placement.ops)
    for op in placement.ops:
        said = nodes[str(op.index)]["value"]
        assert (f"partition {op.partition}" in said) if op.partition is not None else said.startswith("CPU")
        assert op.reason in said


def test_times_are_the_results():
    nodes = overlays(RESULT)["decoder-256-time-result.json"]["results"]
    runs = [run for run in RESULT.op_runs if run.variant == "result"]
    assert {key: node["value"] for key, node in nodes.items()} == {str(run.index): run.ms for run in runs}


def test_precision_is_laid_only_where_rows_are_the_parts_operators():
    assert not any("precision" in name for name in overlays(RESULT))  # made-up rows, other kinds than the placement's
    ops = next(p for p in RESULT.delegation if p.delegate == "nnapi").ops
    rows = tuple(PrecisionOp(part="decoder@256", op=o.name, kind=o.op, asked="int8", realised="int8") for o in ops)
    wrong = rows[0].model_copy(update={"realised": "float32"})
    found = overlays(RESULT.model_copy(update={"precision": (wrong, *rows[1:])}))["decoder-256-precision.json"]
    assert found["results"]["0"]["value"] == "float32, asked int8"
    assert found["results"]["1"]["value"] == "int8"
    assert overlay_faults(found) == []


def test_trace_follows_the_format_and_adds_up():
    found = json.loads(json.dumps(trace(RESULT)))
    assert trace_faults(found) == []
    assert found["displayTimeUnit"] == "ms"
    spans = [e for e in found["traceEvents"] if e["ph"] == "X" and e["cat"] == "operator"]
    assert sum(e["dur"] for e in spans) / 1000 == pytest.approx(sum(run.ms for run in RESULT.op_runs))
    assert {e.get("cat") for e in found["traceEvents"]} == {None, "operator"}  # stages would dwarf them
    assert "beginnings are not" in found["otherData"]["beginnings"]


def test_trace_holds_the_stages_where_no_operator_was_timed():
    found = json.loads(json.dumps(trace(RESULT.model_copy(update={"op_runs": (), "phone": None}))))
    assert trace_faults(found) == []
    stages = [e for e in found["traceEvents"] if e.get("cat") == "stage"]
    assert [e["name"] for e in stages] == [stage.name for stage in RESULT.stages]
    assert sum(e["dur"] for e in stages) == pytest.approx(sum(1e6 * stage.seconds for stage in RESULT.stages))


@pytest.mark.parametrize(
    "change",
    [
        lambda events: events[-1].pop("ts"),
        lambda events: events[-1].update(dur=-1),
        lambda events: events[-1].update(ts=0),
        lambda events: events[-1].update(tid=99),
        lambda events: events[-1].update(ph="Q"),
    ],
)
def test_a_broken_trace_is_caught(change):
    found = trace(RESULT)
    change(found["traceEvents"])
    assert trace_faults(found)


def empty():
    return RunResult(
        run=Run(id="r", model="nothing", command="toolkit convert x"),
        environment=Environment(host=Host(cpu="c", logical_cores=1)),
        validity=Validity(valid=True),
    )


def test_nothing_timed_is_no_trace(tmp_path):
    assert trace(empty()) is None
    paths = write_report(empty(), tmp_path)
    assert paths.trace is None and paths.overlays == ()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index.html", "model_card.md", "report.md"]


def test_report_names_the_files_it_writes(tmp_path):
    paths = write_report(RESULT, tmp_path)
    page = paths.html.read_text(encoding="utf-8")
    assert paths.trace is not None and json.loads(paths.trace.read_text(encoding="utf-8"))["traceEvents"]
    assert "trace.json" in page and "model_card.md" in page
    for path in paths.overlays:
        assert path.name in page
        assert overlay_faults(json.loads(path.read_text(encoding="utf-8"))) == []
