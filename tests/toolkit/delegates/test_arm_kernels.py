"""ARM kernels under emulation: compared rightly, a wrong one caught, and every way to fail said in one error."""

import os
import shutil
from typing import get_args, get_type_hints

import numpy as np
import pytest

from converters.errors import InputError
from converters.tflite_graph.read import read_tflite
from tests.toolkit.compress.small_parts import inputs as calibration
from tests.toolkit.compress.small_parts import residual_part
from tests.toolkit.delegates.fake_arm import fake_root
from toolkit.cli.app import outcome
from toolkit.cli.inspect import inspect
from toolkit.compress.run import compress_part
from toolkit.delegates import arm_kernels, arm_root
from toolkit.delegates.arm_kernels import execute_on_arm
from toolkit.delegates.arm_root import CPUS, find_arm_root
from toolkit.delegates.made_inputs import brought_inputs, made_inputs
from toolkit.errors import DelegateError
from toolkit.recipe.schema import Compression, PrecisionPolicy


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for kind in ("float32", "int8"):
        made = compress_part(
            residual_part(), PrecisionPolicy(default=kind), Compression(equalise=False), calibration(4)
        )
        (folder / f"{kind}.tflite").write_bytes(made.tflite)
    return folder


def ran(files, root, kind="float32", **more):
    path = files / f"{kind}.tflite"
    return execute_on_arm(path, made_inputs(read_tflite(path)), find_arm_root(root), **more)


def failed(files, root, **more):
    with pytest.raises(DelegateError) as caught:
        ran(files, root, **more)
    assert caught.value.code == "delegate/arm-failed" and caught.value.hint
    return caught.value.message


@pytest.mark.parametrize("kind", ["float32", "int8"])
@pytest.mark.parametrize("cpu", CPUS)
def test_equal_kernels_are_right(files, tmp_path, kind, cpu):
    found = ran(files, fake_root(tmp_path / "arm", "right"), kind, cpu=cpu)
    assert found.judgement == "right" and found.delegated == 1 and found.cpu == cpu
    (output,) = found.outputs.values()
    assert output.against_host.max_abs == 0.0 and output.against_reference.snr_db > 25.0
    assert output.against_reference == output.host_against_reference


def test_twin_a_kernel_that_computes_otherwise_is_wrong(files, tmp_path, capsys):
    root = fake_root(tmp_path / "arm", "spoilt")
    assert ran(files, root).judgement == "wrong"
    arguments = ["inspect", str(files / "float32.tflite"), "--delegate", "xnnpack", "--execute"]
    assert outcome([*arguments, "--arm-root", str(root)]) == 0
    assert "WRONG" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("crash", "crashed (SIGSEGV)"),
        ("refuse", "ended with code 1: RuntimeError: Encountered unresolved custom op"),
        ("nothing", "ended with code 0: no word"),
        ("garbage", "cannot be read"),
        ("empty", "cannot be read"),
        ("unlabelled", "cannot be read"),
        ("renamed", "different outputs"),
        ("foreign", f"calls itself {os.uname().machine}"),
    ],
)
def test_a_run_without_an_answer_is_one_error(files, tmp_path, mode, said):
    assert said in failed(files, fake_root(tmp_path / "arm", mode))


def test_a_run_that_never_ends_is_ended(files, tmp_path):
    assert "gave no answer in 4 s" in failed(files, fake_root(tmp_path / "arm", "hang"), timeout_seconds=4.0)


def test_a_damaged_file_ends_in_an_error_before_it_is_emulated(files, tmp_path):
    data = (files / "float32.tflite").read_bytes()
    (tmp_path / "broken.tflite").write_bytes(data[: len(data) // 2])
    root = find_arm_root(fake_root(tmp_path / "arm", "right"))
    with pytest.raises(DelegateError, match="the reference kernels") as caught:
        execute_on_arm(tmp_path / "broken.tflite", made_inputs(read_tflite(files / "float32.tflite")), root)
    assert caught.value.code == "delegate/arm-failed"


def test_the_emulated_core_is_described_in_place_of_this_machine(tmp_path):
    root = find_arm_root(fake_root(tmp_path / "arm", "right"))
    for cpu, has in (("cortex-a76", True), ("cortex-a53", False)):
        prefix = tmp_path / cpu
        prefix.mkdir()
        command = root.command(prefix, cpu, ["script.py"])
        described = (prefix / "proc/cpuinfo").read_text()
        assert ("asimddp" in described) is has and CPUS[cpu].part in described and command[1:3] == ["-cpu", cpu]
        assert (prefix / "usr").resolve() == (tmp_path / "arm/usr").resolve() and command[-1] == "script.py"


def test_without_the_folder_or_the_emulator_it_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for missing in ("lib/ld-linux-aarch64.so.1", "opt/litert/numpy", "bin/qemu-aarch64-static"):
        root = fake_root(tmp_path / missing.replace("/", "-"), "right")
        found = root / missing
        shutil.rmtree(found) if found.is_dir() else found.unlink()
        with pytest.raises(DelegateError) as caught:
            find_arm_root(root)
        assert caught.value.code == "delegate/no-arm-root" and "docker/arm_root.sh" in caught.value.hint
    monkeypatch.setenv(arm_root.ROOT_VARIABLE, str(tmp_path / "named"))
    assert arm_root.default_folder() == tmp_path / "named"
    monkeypatch.delenv(arm_root.ROOT_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert arm_root.default_folder() == tmp_path / "flowlite-toolkit/arm"


def test_inspect_shows_it_with_its_label_and_takes_real_inputs(files, tmp_path, capsys):
    root, path = fake_root(tmp_path / "arm", "right"), files / "int8.tflite"
    given = tmp_path / "real.npz"
    np.savez(given, **made_inputs(read_tflite(path), seed=3), more=np.zeros(2))
    arguments = ["inspect", str(path), "--delegate", "xnnpack", "--execute", "--arm-root", str(root)]
    assert outcome([*arguments, "--inputs", str(given), "--arm-cpu", "cortex-a53"]) == 0
    printed = capsys.readouterr().out
    assert arm_kernels.LABEL in printed and "inputs from real.npz" in printed and "cortex-a53" in printed
    assert "identical against XNNPACK here" in printed


def test_the_command_line_knows_the_cores():
    (literal,) = (get_args(hint) for name, hint in get_type_hints(inspect).items() if name == "arm_cpu")
    assert set(literal) == set(CPUS)


@pytest.mark.parametrize(
    "arrays",
    [{}, {"mel": np.zeros((1, 1, 16, 8))[..., :4]}, {"mel": np.full((1, 1, 16, 8), "x")}, None],
)
def test_inputs_that_do_not_fit_are_one_error(files, tmp_path, arrays):
    graph, given = read_tflite(files / "float32.tflite"), tmp_path / "given.npz"
    if arrays is None:
        given.write_bytes(b"PK\x03\x04 no archive")
    else:
        np.savez(given, **arrays)
    with pytest.raises(InputError, match=r"mel|readable") as caught:
        brought_inputs(graph, given)
    assert caught.value.where == str(given)


@pytest.mark.parametrize(
    "arguments", [["--delegate", "nnapi", "--execute"], ["--delegate", "xnnpack", "--inputs", "a.npz"]]
)
def test_options_that_would_do_nothing_are_refused(tmp_path, capsys, arguments):
    assert outcome(["inspect", str(tmp_path / "m.tflite"), *arguments]) == 2
    assert "--execute" in capsys.readouterr().err


def _real_root():
    try:
        return find_arm_root()
    except DelegateError as error:
        return str(error)


@pytest.mark.skipif(isinstance(_real_root(), str), reason="no ARM Python under qemu: docker/arm_root.sh makes one")
@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_xnnpacks_arm_kernels_compute_what_they_should(files, kind):
    path = files / f"{kind}.tflite"
    found = execute_on_arm(path, made_inputs(read_tflite(path)), _real_root())
    assert found.judgement == "right" and found.delegated == 1
    assert all(output.against_host.snr_db > 100.0 for output in found.outputs.values())
