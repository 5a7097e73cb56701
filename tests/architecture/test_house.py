"""Rules of the house that a linter does not know."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(p for top in ("toolkit", "converters", "docker") for p in (ROOT / top).rglob("*.py"))
MAX_LINES = 400
HEAVY = ("torch", "tensorflow", "tf_keras", "onnx2tf", "onnx", "onnxruntime", "librosa", "matplotlib")


def test_importing_the_packages_loads_no_framework():
    code = f"import sys, toolkit, converters, toolkit.cli.app; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_file_is_short_and_well_named(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    assert path.stem not in {"utils", "util", "helpers", "common", "base", "core", "misc"}


def test_no_error_is_swallowed():
    offenders = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and all(isinstance(s, ast.Pass) for s in node.body):
                offenders.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert offenders == []


def test_every_error_code_is_explained():
    pattern = re.compile(r"""code(?:: str)? ?= ?"([a-z0-9-]+/[a-z0-9-]+)\"""")
    used = {code for path in SOURCES for code in pattern.findall(path.read_text(encoding="utf-8"))}
    used |= set(re.findall(r"error\[([a-z0-9-]+/[a-z0-9-]+)\]", "".join(p.read_text() for p in SOURCES)))
    explained = yaml.safe_load((ROOT / "toolkit/cli/explanations.yaml").read_text(encoding="utf-8"))
    assert used - set(explained) == set()


def test_lock_pins_every_package_with_a_hash_and_torch_with_two():
    blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / "requirements.lock").read_text())
    pins = [b for b in blocks if re.match(r"[a-z0-9][\w.-]*==", b)]
    assert len(pins) > 100
    assert all("--hash=sha256:" in block for block in pins)
    torch = next(b for b in pins if b.startswith("torch=="))
    assert len(re.findall("--hash=", torch)) >= 2


DOCKERFILES = ("docker/convert.Dockerfile", "docker/bench.Dockerfile")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dockerfile_pins_its_base_and_the_lock(name):
    text = (ROOT / name).read_text()
    assert re.search(r"BASE_IMAGE=\S+@sha256:[0-9a-f]{64}", text)
    assert "install.sh" in text
    install = (ROOT / "docker/install.sh").read_text()
    assert "--require-hashes" in install and "--no-deps" in install
    assert re.search(r"^USER \d+", text, re.M)


def test_dockerfiles_share_one_base():
    assert len({re.search(r"^ARG BASE_IMAGE=(\S+)$", (ROOT / name).read_text(), re.M)[1] for name in DOCKERFILES}) == 1


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dockerfile_passes_hadolint(name):
    done = subprocess.run(
        [str(Path(sys.executable).with_name("hadolint")), name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
