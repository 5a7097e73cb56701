"""Doctor tells what is there, what is not, and what to do about it; its tables are the project's own pins."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from toolkit.cli import diagnosis
from toolkit.cli.app import outcome

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PLACES = ("SwiftShader", "ARM Python", "LiteRT.js", "QNN libraries", "adb", "espeak-ng")


def _pins(lines):
    return dict(line.split("==") for line in lines)


def test_tables_are_the_projects_pins():
    needed = _pins(PROJECT["dependencies"])
    assert diagnosis.NEEDED.items() <= needed.items()
    extras = {name: _pins(lines) for name, lines in PROJECT["optional-dependencies"].items() if name != "test"}
    assert {name: packages for name, (_, packages) in diagnosis.EXTRAS.items()} == extras


def found_by(name):
    (finding,) = (f for f in diagnosis.diagnose() if f.name == name)
    return finding


def test_everything_is_listed_and_json_is_the_same(capfd):
    assert outcome(["doctor"]) == 0
    text = capfd.readouterr().out
    assert outcome(["doctor", "--json"]) == 0
    findings = json.loads(capfd.readouterr().out)
    assert {"torch", "optuna (search)", *PLACES} <= {f["name"] for f in findings}
    for finding in findings:
        assert finding["name"] in text
        assert finding["state"] in ("ok", "absent")
        assert finding["state"] == "ok" or finding["remedy"]


def test_another_version_and_a_missing_package_are_errors(monkeypatch, capfd):
    real = diagnosis._version
    monkeypatch.setattr(diagnosis, "_version", lambda n: {"numpy": "2.0.0", "torch": ""}.get(n, real(n)))
    assert outcome(["doctor"]) == 2
    said = capfd.readouterr()
    assert re.search(r"DIFFERS +numpy +2\.0\.0 +\(wanted 1\.26\.4\)", said.out)
    assert re.search(r"MISSING +torch +- +\(wanted 2\.13\.0\)", said.out)
    assert "error[environment/differs]" in said.err and "torch, numpy" in said.err


def test_a_missing_extra_is_no_error_and_says_what_it_is_for(monkeypatch, capfd):
    real = diagnosis._version
    monkeypatch.setattr(diagnosis, "_version", lambda name: "" if name == "optuna" else real(name))
    assert outcome(["doctor"]) == 0
    assert re.search(r"absent +optuna \(search\) +- +searching the settings", capfd.readouterr().out)


def test_programs_and_accelerators_are_found_where_they_are_and_missed_where_not(monkeypatch, tmp_path):
    tool = tmp_path / "bin/adb"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent))
    monkeypatch.setenv("QAIRT_SDK_ROOT", str(tmp_path))
    monkeypatch.setattr("toolkit.delegates.software_gpu.software_driver", lambda: tmp_path / "icd.json")
    assert found_by("adb").found == str(tool)
    assert found_by("QNN libraries").found == str(tmp_path)
    assert found_by("SwiftShader").state == "ok"
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("QAIRT_SDK_ROOT", str(tmp_path / "nowhere"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TOOLKIT_ARM_ROOT", raising=False)
    monkeypatch.setattr("toolkit.delegates.software_gpu.software_driver", lambda: None)
    for name in PLACES:
        finding = found_by(name)
        assert finding.state == "absent" and finding.remedy, finding


@pytest.mark.parametrize(("free", "state"), [(10_000_000_000, "ok"), (1_000_000, "absent")])
def test_little_room_is_told(monkeypatch, free, state):
    class Usage:
        pass

    Usage.free = free
    monkeypatch.setattr(diagnosis.shutil, "disk_usage", lambda folder: Usage)
    rooms = [f for f in diagnosis.diagnose() if f.area == "room"]
    assert rooms and {f.state for f in rooms} == {state}
