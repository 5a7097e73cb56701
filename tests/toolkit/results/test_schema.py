"""The published schema accepts what is written, and only that."""

import copy
import json

import pytest

from tests.json_schema import violations
from tests.toolkit.report.synthetic_run import synthetic
from tests.toolkit.results.results_files import broken_results_files
from toolkit.cli.app import outcome
from toolkit.results import json_schema, save, to_json

WRITTEN = json.loads(to_json(synthetic()))


def test_a_whole_result_follows_the_schema():
    assert violations(WRITTEN, json_schema()) == []


def _set(path, value):
    def change(data):
        *places, last = path
        for place in places:
            data = data[place]
        data[last] = value

    return change


BREAKS = {
    "another version": _set(["schema"], 2),
    "a text for a number": _set(["latency", 0, "init_ms"], "fast"),
    "a flag for a number": _set(["latency", 0, "threads"], True),
    "an unknown field": _set(["run", "surprise"], 1),
    "a missing field": lambda data: data["environment"].pop("host"),
    "an unknown delegate": _set(["delegation", 0, "delegate"], "magic"),
    "an unknown status": _set(["gates", 0, "status"], "perhaps"),
    "null where there must be something": _set(["delegation", 0, "ops", 3, "name"], None),
    "an object for a list": _set(["parity"], {}),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_the_schema_is_caught(name, tmp_path):
    data = copy.deepcopy(WRITTEN)
    BREAKS[name](data)
    assert violations(data, json_schema())


def test_an_unknown_keyword_is_not_passed_over():
    with pytest.raises(NotImplementedError, match="maxLength"):
        violations("x", {"type": "string", "maxLength": 3})


def test_the_sessions_check_finds_a_broken_file(tmp_path):
    save(synthetic(), tmp_path / "run/results.json")
    assert broken_results_files(tmp_path) == {}
    path = tmp_path / "run/results.json"
    path.write_text(path.read_text().replace('"init_ms"', '"init_s"', 1))
    (name,) = broken_results_files(tmp_path)
    assert name == "run/results.json"
    path.unlink()  # the session's own check would find it too


def test_the_command_prints_the_schema(capfd):
    assert outcome(["report", "--schema"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert printed == json_schema()
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_report_without_a_run_says_so(capfd):
    assert outcome(["report"]) == 2
    assert "error[usage/invalid]: which run?" in capfd.readouterr().err
