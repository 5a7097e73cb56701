"""``toolkit inspect`` on checkpoints."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from toolkit.cli.app import app, run
from toolkit.errors import CheckpointError
from toolkit.models.gpt_sovits.seeded import small_config, write_sovits


def test_inspect_shows_version_parts_and_sizes(tmp_path: Path):
    path = write_sovits(tmp_path / "voice.pth", small_config("v2Pro"), posterior_encoder=True)
    shown = CliRunner().invoke(app, ["inspect", str(path)])
    assert shown.exit_code == 0, shown.output
    assert "v2Pro" in shown.output
    assert "training only" in shown.output
    found = json.loads(CliRunner().invoke(app, ["inspect", str(path), "--json"]).output)
    assert found["size_bytes"] == path.stat().st_size
    assert found["parameters"] == sum(found["parts"].values())


def test_inspect_of_a_damaged_checkpoint_is_an_error_a_user_can_act_on(tmp_path: Path, capsys):
    path = tmp_path / "voice.pth"
    path.write_bytes(write_sovits(tmp_path / "a.pth", small_config("v2")).read_bytes()[:5000])
    failed = CliRunner().invoke(app, ["inspect", str(path)])
    assert isinstance(failed.exception, CheckpointError)
    with pytest.raises(SystemExit) as left:
        run(["inspect", str(path)])
    assert left.value.code == 2
    shown = capsys.readouterr().err
    assert "error[checkpoint/" in shown
    assert "Traceback" not in shown
