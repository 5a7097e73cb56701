"""Snapdragon's NPU: placement by the compiler's list, and the compiler itself against a fake."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.toolkit.delegates.gpu_sweep.case import NO_ACTIVATION, const, floats, int8, int16, of, weights8
from tests.toolkit.delegates.small_graphs import graph, op, tensor
from toolkit.cli.app import outcome
from toolkit.delegates import qnn_compiler
from toolkit.delegates.place import place, place_graph
from toolkit.delegates.qnn_compiler import QnnInstallation, compile_for_npu, find_qnn, read_output
from toolkit.delegates.tables import qnn_table
from toolkit.errors import DelegateError

_RELU, _RELU6 = ({"fused_activation_function": name} for name in ("RELU", "RELU6"))


def _upsampling(stride: int):
    return of(
        "TRANSPOSE_CONV",
        const([1, 1, 24 * stride + stride, 8]),
        weights8(8, 1, 2 * stride, 8),
        int8(1, 1, 24, 8),
        to=int8(scale=0.3),
        padding="VALID",
        stride_h=1,
        stride_w=stride,
        version=2,
    )


@pytest.mark.parametrize(
    ("case", "taken"),
    [
        (of("ADD", int8(1, 1, 8, 8), int8(1, 1, 8, 8), version=2, **NO_ACTIVATION), True),
        (of("ADD", floats(1, 1, 8, 8), floats(1, 1, 8, 8), **NO_ACTIVATION), False),
        (of("MAXIMUM", int8(1, 1, 8, 8), int8(1, 1, 8, 8), version=2), True),
        (of("LEAKY_RELU", int8(1, 1, 8, 8), alpha=0.1), False),
        (of("EXP", int8(1, 1, 8, 8), to=int8(scale=0.06, zero=-128)), False),
        (of("REVERSE_V2", int8(1, 1, 8, 8), const([2])), False),
        # In 16 bits QNN refuses other operators than in 8.
        (of("LEAKY_RELU", int16(1, 1, 8, 8), version=2, alpha=0.1), True),
        (of("REVERSE_V2", int16(1, 1, 8, 8), const([2]), version=3), True),
        (of("MAXIMUM", int16(1, 1, 8, 8), int16(1, 1, 8, 8), version=4), True),
        (of("MINIMUM", int16(1, 1, 8, 8), int16(1, 1, 8, 8), version=4), False),
        (of("ADD", int16(1, 1, 8, 8), int16(1, 1, 8, 8), version=2, **_RELU), True),
        (of("ADD", int16(1, 1, 8, 8), int16(1, 1, 8, 8), version=2, **_RELU6), False),
        (of("ADD", int8(1, 1, 8, 8), int8(1, 1, 8, 8), version=2, **_RELU6), True),
        (of("TRANSPOSE", int16(1, 2, 2, 2, 4), const([0, 2, 1, 4, 3]), version=4), False),
        (of("TRANSPOSE", int8(1, 2, 2, 2, 4), const([0, 2, 1, 4, 3]), version=2), True),
        (of("RESHAPE", int8(1, 64), const([1, 2, 2, 2, 8])), True),
        (of("RESHAPE", int8(1, 64), const([1, 2, 2, 2, 2, 4])), False),
        (of("GATHER", int8(1, 4, 10), const([2]), version=2, axis=1, batch_dims=0), True),
        (of("GATHER", int8(1, 4, 10), const(2), version=2, axis=1, batch_dims=0), False),
        (of("ABS", int16(1, 1, 8, 8), version=4), False),
        (of("ABS", int8(1, 1, 8, 8), version=2), True),
        (of("QUANTIZE", floats(1, 1, 8, 8), to=int8()), True),
        (of("DEQUANTIZE", int8(1, 1, 8, 8), to=floats(), version=2), True),
        (of("DEQUANTIZE", const([[1.0, 2.0]], "FLOAT16"), to=floats(), version=3), False),
        (of("RESHAPE", floats(1, 1, 8, 8), const([1, 8, 8])), True),
        (of("TRANSPOSE", floats(1, 1, 8, 8), const([0, 1, 3, 2])), True),
        (of("ZEROS_LIKE", floats(2, 6)), False),
        (_upsampling(4), True),
        (_upsampling(8), False),
    ],
    ids=lambda value: getattr(value, "id", value),
)
def test_placement_for_an_npu_with_integers_only(case, taken):
    (found,) = place(case.write(), "p", "qnn").ops
    assert found.accepted is taken
    assert taken or (found.reason and found.source and found.hint is not None)


def test_partitions_follow_the_order_of_the_file():
    """LiteRT 2.3.0's compiler made 2 partitions of such a graph: operators are not moved past a refused one."""
    whole, part = {"dtype": "INT8", "scales": (0.1,), "zero_points": (0,)}, {"dtype": "FLOAT32"}
    tensors = [tensor(0, **whole), tensor(1, **whole), tensor(2, **part), tensor(3, **part), tensor(4, **whole)]
    tensors += [tensor(5, **whole)]
    ops = [op(0, "RELU", (0,), (1,)), op(1, "RELU", (2,), (3,)), op(2, "QUANTIZE", (3,), (4,))]
    ops += [op(3, "ADD", (1, 4), (5,))]
    placed = place_graph(graph(tensors, ops, inputs=(0, 2)), "p", "qnn")
    assert (placed.delegated_ops, placed.partitions) == (3, 2)
    assert [seen.partition for seen in placed.ops] == [0, None, 1, 1]
    # The twin: with the refused operator first, nothing is cut in two.
    moved = [op(0, "RELU", (2,), (3,)), op(1, "RELU", (0,), (1,)), op(2, "QUANTIZE", (3,), (4,)), ops[3]]
    assert place_graph(graph(tensors, moved, inputs=(0, 2)), "p", "qnn").partitions == 1


@pytest.mark.parametrize(("shape", "taken"), [((), False), ((1,), True)])
def test_a_single_number_is_not_sliced_out(shape, taken):
    tensors = [tensor(0, (4,), "INT32"), tensor(1, (1,), "INT32", [1]), tensor(2, shape, "INT32")]
    made = graph(tensors, [op(0, "STRIDED_SLICE", (0, 1, 1, 1), (2,))])
    assert place_graph(made, "p", "qnn").ops[0].accepted is taken


def test_operators_of_the_table_are_operators():
    from ai_edge_litert import schema_py_generated as schema

    table = qnn_table()
    named = (*table["ops"], *table["refused_int8"], *table["refused_int16"])
    assert all(hasattr(schema.BuiltinOperator, kind) for kind in named)
    assert len(table["ops"]) >= 90


SAID = """
INFO: [qnn_compiler_plugin.cc:1] hello
QNN op validation failed: 'Prelu_162' (type=Prelu)
LiteRT Op #162 'LeakyRelu' (code=98) is not supported in Qualcomm Compiler.
LiteRT Op #162 'LeakyRelu' (code=98) is not supported in Qualcomm Compiler.
Partitioned subgraph<0>, selected 200 ops, from a total of 211 ops. resulted in 11 partitions.
"""


def _fake(folder: Path, script: str) -> QnnInstallation:
    compiler = folder / "apply_plugin_main"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    return QnnInstallation(compiler=compiler, plugins=folder / "plugins", libraries=folder / "libraries")


def test_the_compilers_words_are_read_and_its_loader_path_holds_the_users_libraries(tmp_path):
    said = tmp_path / "said"
    said.write_text(SAID)
    fake = _fake(tmp_path, f'echo "$LD_LIBRARY_PATH $@" > {tmp_path}/asked; cat {said} >&2')
    found = compile_for_npu(tmp_path / "m.tflite", installation=fake)
    assert (found.selected, found.total, found.partitions) == (200, 211, 11)
    assert found.refused == ((162, "LeakyRelu"),) and found.invalid == (("Prelu_162", "Prelu"),)
    assert found.ratio == pytest.approx(200 / 211)
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith(str(fake.libraries)) and "--soc_model=SM7550" in asked and "--cmd=apply" in asked
    compile_for_npu(tmp_path / "m.tflite", installation=fake, whole=False)
    assert "--cmd=partition" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize("script", ["echo libQnnLpai.so: cannot open shared object file >&2; exit 1", "exit 0"])
def test_a_compiler_without_a_summary_is_one_error(script, tmp_path):
    with pytest.raises(DelegateError) as caught:
        compile_for_npu(tmp_path / "m.tflite", installation=_fake(tmp_path, script))
    assert caught.value.code == "delegate/qnn-compiler-failed"


def test_a_compiler_that_cannot_be_started_is_one_error(tmp_path):
    absent = QnnInstallation(compiler=tmp_path / "none", plugins=tmp_path, libraries=tmp_path)
    with pytest.raises(DelegateError) as caught:
        compile_for_npu(tmp_path / "m.tflite", installation=absent)
    assert caught.value.code == "delegate/qnn-compiler-failed"


def test_several_subgraphs_are_added_up():
    line = "Partitioned subgraph<{}>, selected {} ops, from a total of {} ops. resulted in 1 partitions.\n"
    found = read_output(line.format(0, 3, 4) + line.format(1, 5, 5), Path("m"), "SM7550")
    assert (found.selected, found.total, found.partitions) == (8, 9, 2)


def test_without_libraries_it_is_one_error_and_with_them_they_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(qnn_compiler, "find_qnn", lambda: None)
    with pytest.raises(DelegateError) as caught:
        compile_for_npu(tmp_path / "m.tflite")
    assert caught.value.code == "delegate/no-qnn" and "QNN_LIBRARIES" in caught.value.hint
    monkeypatch.undo()
    (tmp_path / "libQnnHtp.so").write_bytes(b"")
    monkeypatch.setenv("QNN_LIBRARIES", str(tmp_path))
    found = find_qnn()
    assert found is not None and found.libraries == tmp_path and found.compiler.is_file()


def test_libraries_are_found_in_a_package_of_their_own(tmp_path, monkeypatch):
    monkeypatch.delenv("QNN_LIBRARIES", raising=False)
    package = tmp_path / "onnxruntime_qnn"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('looked at, never imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_qnn() is None
    (package / "libQnnHtp.so").write_bytes(b"")
    found = find_qnn()
    assert found is not None and found.libraries == package


def test_a_library_the_plugin_only_links_with_is_stood_in_for_and_an_own_one_comes_first(tmp_path):
    script = """
for place in $(echo "$LD_LIBRARY_PATH" | tr : ' '); do
    if [ -f "$place/libQnnLpai.so" ]; then cat "$place/libQnnLpai.so"; break; fi
done > PLACE/loaded
echo "Partitioned subgraph<0>, selected 1 ops, from a total of 1 ops. resulted in 1 partitions."
""".replace("PLACE", str(tmp_path))
    fake = _fake(tmp_path, script)
    fake.libraries.mkdir()
    (fake.libraries / "libQnnSystem.so").write_text("system")
    compile_for_npu(tmp_path / "m.tflite", installation=fake)
    assert (tmp_path / "loaded").read_text() == "system"
    (fake.libraries / "libQnnLpai.so").write_text("own")
    compile_for_npu(tmp_path / "m.tflite", installation=fake)
    assert (tmp_path / "loaded").read_text() == "own"


def test_compile_is_of_the_npu_only(tmp_path, capsys):
    assert outcome(["inspect", str(tmp_path / "m.tflite"), "--delegate", "gpu", "--compile", "SM7550"]) == 2
    assert "--compile goes with --delegate qnn" in capsys.readouterr().err
