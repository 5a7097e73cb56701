"""Every form of benchmark_model's output is read right, and what is damaged is one clear error."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toolkit.bench.phone import outputs
from toolkit.bench.phone.log_text import failure_of, parse_log, series
from toolkit.bench.phone.op_table import parse_profile
from toolkit.bench.phone.proto_files import parse_profile_file, parse_runtime_graph, with_result_file
from toolkit.errors import BenchError

FORMS = ("tabs", "aligned", "csv", "newer csv")


def refused(read, content):
    with pytest.raises(BenchError) as caught:
        read(content)
    assert caught.value.code == "bench/phone-output" and caught.value.message
    return caught.value.message


@pytest.mark.parametrize("prefix", ["", "INFO: ", "05-30 15:16:44.857  3380  3380 I tflite  : "])
@pytest.mark.parametrize("percentiles", [True, False])
def test_log_is_read_with_every_prefix(prefix, percentiles):
    found = parse_log(outputs.log(prefix=prefix, percentiles=percentiles).replace("\n", "\r\n"))
    timing = found.timing
    assert (timing.runs, timing.warmup_runs) == (50, 1)
    assert (timing.init_ms, timing.first_ms, timing.warmup_avg_ms) == (38.467, 83.235, 83.235)
    assert (timing.avg_ms, timing.std_ms, timing.min_ms, timing.max_ms) == (79.732, 1.929, 77.385, 88.213)
    assert (timing.p5_ms, timing.median_ms, timing.p95_ms) == ((77.5, 79.6, 84.0) if percentiles else (None,) * 3)
    assert timing.overall_memory_bytes == round(140.508 * 2**20)
    assert timing.peak_memory_bytes == round(151.25 * 2**20)
    assert found.accelerators == ("qti-default", "qti-dsp", "nnapi-reference")
    assert found.model_bytes == pytest.approx(2048)


@pytest.mark.parametrize(
    "line,extent,kernels",
    [(outputs.PARTLY, "part", 2), (outputs.WHOLLY, "all", 1), (outputs.NOTHING, "none", 0)],
)
@pytest.mark.parametrize("name", ["NNAPI", "GPU", "XNNPACK", "EXTERNAL"])
def test_delegate_lines(line, extent, kernels, name):
    (applied,) = parse_log(outputs.log(applied=line.format(name=name, n=2))).applied
    assert (applied.name, applied.extent, applied.kernels) == (name, extent, kernels)


def test_old_memory_line_and_log_without_memory():
    old = outputs.log().replace("Memory footprint delta from the start of the tool", "Peak memory footprint")
    assert parse_log(old).timing.overall_memory_bytes == round(140.508 * 2**20)
    without = "\n".join(line for line in outputs.log().splitlines() if "footprint" not in line)
    assert parse_log(without).timing.overall_memory_bytes is None


def test_runs_that_all_take_the_same_time():
    fields = series("count=3 curr=7(all same) p5=7 median=7 p95=7")
    assert (fields["count"], fields["avg"], fields["min"], fields["std"]) == ("3", "7", "7", "0")


@pytest.mark.parametrize(
    "old,new",
    [
        ("count=50", "count=0"),
        ("count=50", "count=-5"),
        ("avg=79732 std", "avg=0 std"),
        ("avg=79732 std", "avg=nan std"),
        ("avg=79732 std", "avg=79733 std"),  # the same number stands at a second place
        ("avg=79732 std", "std"),
        ("min=77385", "min=99385"),
        ("std=1929", "std=-1929"),
        ("std=1929", "std=1929000"),
        ("median=79600", "median=74600"),
        ("first=79449", "first=79449 first=79449"),
        ("Initialized session in 38.467ms.", "Initialized session in 38.567ms."),
        ("Initialized session in 38.467ms.", ""),
        ("First inference: 83235", "First inference: 83236"),
        ("overall=140.508", "overall=x"),
        ("w/ 2 delegate kernels", "w/ two delegate kernels"),
        ("executed by the delegate w/", "executed by"),
        ("Running benchmark for at least 50", "Running at least 50"),
    ],
)
def test_damaged_log_is_refused(old, new):
    text = outputs.log()
    assert old in text
    refused(parse_log, text.replace(old, new, 1))


def test_litert_own_tool_is_told_from_tflites():
    text = outputs.log() + "INFO: [benchmark_litert_model.h:80]\n========== BENCHMARK RESULTS ==========\n"
    assert "benchmark_litert_model" in refused(parse_log, text)


def test_two_runs_in_one_log_are_refused():
    refused(parse_log, outputs.log() + outputs.log())


@pytest.mark.parametrize("cut", range(0, 1500, 37))
def test_log_cut_off_before_its_last_lines_is_refused(cut):
    text = outputs.log()
    end = text.index("Inference timings")
    refused(parse_log, text[: min(cut, end)])


def test_failure_is_told_in_the_tools_words():
    text = "Loaded model x\nERROR: NN API returned error ANEURALNETWORKS_BAD_DATA\nFailed to apply NNAPI delegate.\n"
    assert "ANEURALNETWORKS_BAD_DATA" in failure_of(text) and "Failed to apply NNAPI" in failure_of(text)
    assert failure_of("") == "it printed nothing"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ops", [outputs.NNAPI_OPS, outputs.XNNPACK_OPS], ids=["nnapi", "xnnpack"])
def test_profile_in_every_form(form, ops):
    found = parse_profile(outputs.log() + outputs.profile(ops, form)).ops
    assert [(op.op_type, op.calls, op.name) for op in found] == [(kind, calls, name) for kind, _, calls, name in ops]
    assert [op.avg_ms for op in found] == pytest.approx([ms for _, ms, _, _ in ops], abs=5e-4)
    assert [op.index for op in found] == list(range(len(ops)))
    assert [op.delegated for op in found] == ["Delegate" in kind + name for kind, _, _, name in ops]


@pytest.mark.parametrize("form", FORMS)
def test_profile_of_subgraphs_and_inside_a_delegate(form):
    inner = [("DelegateOpInvoke", 1.5, 1, "Delegate/conv:0")]
    body = [("ADD", 0.5, 2, "[body/add]:0")]
    found = parse_profile(outputs.profile(outputs.NNAPI_OPS, form, inner=inner, subgraphs=[body]))
    assert [op.subgraph for op in found.ops] == [0] * 4 + [1]
    assert [(op.name, op.avg_ms) for op in found.delegate_ops] == [("Delegate/conv:0", 1.5)]


@pytest.mark.parametrize("form", FORMS)
def test_profile_cut_off_anywhere_is_refused(form):
    text = outputs.profile(outputs.NNAPI_OPS, form)
    last = text.rindex("Number of nodes executed: 4")
    for cut in range(0, last + len("Number of nodes executed:"), 23):
        refused(parse_profile, text[:cut])


def test_profile_with_a_row_too_few_or_an_unknown_column_is_refused():
    text = outputs.profile(outputs.NNAPI_OPS)
    lines = text.splitlines()
    row = next(i for i, line in enumerate(lines) if "TRANSPOSE_CONV" in line)
    assert "rows" in refused(parse_profile, "\n".join(lines[:row] + lines[row + 1 :]))
    assert "columns" in refused(parse_profile, text.replace("[mem KB]", "[cycles]"))
    assert "two profiles" in refused(parse_profile, text + text)


@pytest.mark.parametrize("inner", [(), (("DelegateOpInvoke", 1.5, 1, "Delegate/conv:0"),)])
def test_profile_file_agrees_with_the_printed_profile(inner):
    stored = parse_profile_file(outputs.profile_file(outputs.NNAPI_OPS, inner))
    assert stored == parse_profile(outputs.profile(outputs.NNAPI_OPS, inner=inner))


def test_result_file_adds_percentiles_and_must_be_of_the_same_run():
    timing = parse_log(outputs.log(percentiles=False)).timing
    found = with_result_file(timing, outputs.result_file())
    assert (found.p5_ms, found.median_ms, found.p95_ms) == pytest.approx((77.5, 79.6, 84.0))
    refused(lambda content: with_result_file(timing, content), outputs.result_file(avg=80.1))
    refused(lambda content: with_result_file(timing, content), outputs.result_file(runs=51))


def test_runtime_graph_counts_what_each_delegate_replaced():
    found = parse_runtime_graph(outputs.runtime_graph())
    assert found.total_ops == 7
    assert found.kernels == {"TfLiteNnapiDelegate": 2} and found.replaced == {"TfLiteNnapiDelegate": 5}


FILES = {
    "result": (lambda data: with_result_file(parse_log(outputs.log()).timing, data), outputs.result_file()),
    "profile": (parse_profile_file, outputs.profile_file(outputs.NNAPI_OPS)),
    "graph": (parse_runtime_graph, outputs.runtime_graph()),
}


@pytest.mark.parametrize("name", FILES)
def test_empty_file_is_refused(name):
    refused(FILES[name][0], b"")


@pytest.mark.parametrize("name", FILES)
def test_truncated_file_is_refused(name):
    read, whole = FILES[name]
    intact = read(whole)
    for cut in range(1, len(whole)):
        try:
            assert read(whole[:cut]) == intact
        except BenchError as error:
            assert error.code == "bench/phone-output"


mutations = st.lists(
    st.tuples(st.sampled_from(["delete", "replace", "insert", "cut"]), st.floats(0, 1), st.integers(0, 255)),
    min_size=1,
    max_size=3,
)


def mutated(content, steps):
    data = bytearray(content)
    for kind, place, byte in steps:
        position = int(place * max(0, len(data) - 1))
        if kind == "cut":
            del data[position:]
        elif kind == "insert" or not data:
            data.insert(position, byte)
        elif kind == "delete":
            del data[position]
        else:
            data[position] = byte
    return bytes(data)


@settings(max_examples=400, deadline=None)
@given(mutations, st.booleans())
def test_mutated_log_is_refused_or_read_right(steps, percentiles):
    text = mutated(outputs.log(percentiles=percentiles).encode(), steps).decode("utf-8", "replace")
    try:
        timing = parse_log(text).timing
    except BenchError as error:
        assert error.code == "bench/phone-output" and error.message
        return
    # These stand at two places, so a change of one is noticed; up to three bytes could change both.
    assert timing.avg_ms == 79.732 or len(steps) > 1
    assert timing.first_ms == 83.235 or len(steps) > 1
    assert timing.init_ms == pytest.approx(38.467, rel=3e-5) or len(steps) > 1
    assert 0 < timing.min_ms <= timing.avg_ms * 1.00001 <= timing.max_ms * 1.0001 and timing.runs > 0


@settings(max_examples=300, deadline=None)
@given(mutations, st.sampled_from(FORMS))
def test_mutated_profile_is_refused_or_whole(steps, form):
    text = mutated(outputs.profile(outputs.NNAPI_OPS, form).encode(), steps).decode("utf-8", "replace")
    try:
        found = parse_profile(text)
    except BenchError as error:
        assert error.code == "bench/phone-output" and error.message
        return
    assert len(found.ops) == 4 or len(steps) > 1
    assert all(op.avg_ms >= 0 and op.op_type for op in found.ops)


@settings(max_examples=300, deadline=None)
@given(mutations, st.sampled_from(sorted(FILES)))
def test_mutated_file_is_refused_or_read(steps, name):
    read, whole = FILES[name]
    try:
        found = read(mutated(whole, steps))
    except BenchError as error:
        assert error.code == "bench/phone-output" and error.message
        return
    if name == "result":
        assert 77.3 < found.p5_ms <= found.median_ms <= found.p95_ms < 88.3
