import json
import math

import pytest
from pydantic import ValidationError

from converters.errors import InputError
from toolkit.results import Environment, Host, Parity, Run, RunResult, Validity, json_schema, judge, load, save, to_json


def small(**fields):
    return RunResult(
        run=Run(id="r", model="m", command="c"),
        environment=Environment(host=Host(cpu="c", logical_cores=1)),
        validity=Validity(valid=True),
        **fields,
    )


def gate(value, limit=1.0, comparison="<="):
    return judge("g", "G", value, "ms", limit, comparison, "Text.")


@pytest.mark.parametrize(
    ("value", "comparison", "status"),
    [
        (0.9, "<=", "pass"),
        (1.0, "<=", "pass"),
        (1.1, "<=", "fail"),
        (1.1, ">=", "pass"),
        (0.9, ">=", "fail"),
        (1.0, "==", "pass"),
        (2.0, "==", "fail"),
    ],
)
def test_judge(value, comparison, status):
    assert gate(value, comparison=comparison).status == status


def test_a_gate_without_value_is_skipped_with_a_reason_or_refused():
    skipped = judge("g", "G", None, "ms", 1.0, "<=", "Text.", skipped_because="no phone")
    assert skipped.status == "skipped" and "no phone" in skipped.explanation
    with pytest.raises(InputError):
        gate(None)


def test_passed_needs_gates_and_no_failure():
    assert not small().passed
    assert small(gates=(gate(0.5),)).passed
    assert not small(gates=(gate(0.5), gate(2.0))).passed


def test_infinite_signal_to_noise_is_bit_identical():
    row = Parity(part="p", source="a", to="b", tensor="t", max_abs=0.0, snr_db=math.inf)
    assert row.snr_db is None and "inf" not in to_json(small(parity=(row,))).lower().replace("info", "")


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_nan_never_gets_in(bad):
    with pytest.raises(ValidationError):
        Parity(part="p", source="a", to="b", tensor="t", max_abs=0.0, snr_db=bad)


def test_round_trip_and_schema_version(tmp_path):
    result = small(gates=(gate(0.5),))
    save(result, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == result
    assert json.loads((tmp_path / "results.json").read_text())["schema"] == 1


@pytest.mark.parametrize("change", [{"schema": 2}, {"surprise": 1}])
def test_other_versions_and_unknown_fields_are_refused(tmp_path, change):
    content = json.loads(to_json(small())) | change
    (tmp_path / "r.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        load(tmp_path / "r.json")
    assert caught.value.code == "results/unreadable"


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError):
        load(tmp_path / "none.json")


def test_results_cannot_be_changed():
    with pytest.raises(ValidationError):
        small().run = None


def test_json_schema_names_the_parts():
    assert {"run", "gates", "latency", "delegation", "schema"} <= set(json_schema()["properties"])
