"""The page: well-formed, whole, offline; it says FAIL when a gate fails, and why when something was not measured."""

import functools
import re
from html.parser import HTMLParser

import pytest

from tests.toolkit.report.synthetic_run import synthetic, write_clips
from toolkit.report import selection
from toolkit.report.html import render, write_report
from toolkit.report.markdown import MAX_LINES, markdown
from toolkit.report.sections import verdict
from toolkit.report.view import page
from toolkit.results import Environment, Gate, Host, NpuCompilation, Run, RunResult, Validity, judge, load, save
from toolkit.results.estimate import LatencyEstimate

SECTIONS = [
    "verdict",
    "run",
    "latency",
    "delegation",
    "operators",
    "fidelity",
    "precision",
    "size",
    "tradeoff",
    "history",
    "warnings",
    "reproduce",
]
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Checker(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.problems, self.ids, self.links, self.tags = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        if "id" in values:
            self.ids.append(values["id"])
        self.links += [v for k, v in attrs if k in ("href", "src", "action", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append((tag, self.getpos()))


def check(html):
    checker = Checker()
    checker.feed(html)
    assert not checker.problems and not checker.open, (checker.problems[:3], checker.open[:3])
    return checker


@functools.cache
def good():
    return render(synthetic())


@functools.cache
def bad():
    return render(synthetic(failing=True))


def empty(**fields):
    return RunResult(
        run=Run(id="r", model="nothing", command="toolkit convert x"),
        environment=Environment(host=Host(cpu="c", logical_cores=1)),
        validity=Validity(valid=True),
        **fields,
    )


@pytest.mark.parametrize("html", [good, bad, lambda: render(empty())])
def test_page_is_well_formed_offline_and_complete(html):
    text = html()
    checker = check(text)
    assert len(checker.ids) == len(set(checker.ids))
    assert [i for i in checker.ids if i in SECTIONS] == SECTIONS
    assert "script" not in checker.tags
    assert not re.search(r"(?:https?:)?//[a-z]", text.replace("http://www.w3.org", "")), "an address outside the page"
    assert all(link.startswith(("#", "data:", "audio/")) for link in checker.links)
    targets = {link[1:] for link in checker.links if link.startswith("#")}
    assert targets <= set(checker.ids)
    for word in ("NaN", "nan ", "None", "inf ", "Undefined", "&lt;svg"):
        assert word not in text, word
    assert len(text.encode()) < 1_000_000


def test_page_says_pass_and_its_twin_says_fail():
    assert "✓ PASS" in good() and "✕ FAIL" not in good() and "INVALID" not in good()
    assert "✕ FAIL" in bad() and "✓ PASS" not in bad() and "INVALID measurement" in bad()
    assert "✕ fails" in bad() and "may not be quoted: second half 14% slower" in bad()


def test_nothing_measured_is_never_a_pass():
    text = render(empty())
    assert "NOT JUDGED" in text and "✓ PASS" not in text
    assert text.count("Not measured:") >= 8


def test_reasons_for_missing_sections_are_shown():
    assert "because the cat slept" in render(empty(not_measured={"latency": "because the cat slept"}))


def test_skipped_gate_is_shown_with_its_reason_and_is_not_a_pass():
    only_skipped = empty(gates=(judge("g", "A gate", None, "ms", 1.0, "<=", "Text.", skipped_because="no phone"),))
    text = render(only_skipped)
    assert "not measured" in text and "no phone" in text and "0 of 1 gates hold" in text


def test_text_from_the_outside_is_escaped():
    evil = empty(warnings=({"code": "x", "message": "<script>alert(1)</script>"},))
    assert "<script>" not in render(evil) and "&lt;script&gt;" in render(evil)


def test_host_numbers_are_labelled_and_estimates_say_so():
    assert "host CPU: Made-up Processor" in good()
    r = synthetic()
    estimated = r.model_copy(update={"latency": (r.latency[-1].model_copy(update={"estimated": True}),)})
    assert "estimate" in render(estimated) and "(estimate)" not in good()


def test_wrong_precision_is_outlined():
    assert 'class="number mismatch"' in good() and "1 operator does not have the precision" in good()


def test_refusals_carry_their_source_line():
    assert "model_builder.cc:2691@f67457790c9c" in good()


def test_players_appear_when_the_files_are_there(tmp_path):
    result = synthetic()
    write_clips(result, tmp_path)
    paths = write_report(result, tmp_path)
    text = paths.html.read_text(encoding="utf-8")
    checker = check(text)
    assert checker.tags.count("audio") == 6 and checker.tags.count("img") == 9
    assert len(text.encode()) < 1_000_000
    assert not list(tmp_path.glob("*.tmp"))
    embedded = render(result, tmp_path, embed_audio=True)
    assert "data:audio/flac;base64," in embedded
    # twin: without the files there are no players, and the page says so
    assert "not beside the page" in render(result, tmp_path / "elsewhere")


def test_page_is_the_same_every_time():
    assert render(synthetic()) == good()


@pytest.mark.parametrize("result", [synthetic(), synthetic(failing=True), empty()])
def test_markdown_is_short_and_says_the_verdict(result):
    text = markdown(result)
    assert len(text.splitlines()) <= MAX_LINES
    assert ("PASS" in text) == result.passed
    assert "index.html" in text and "nan" not in text.lower().replace("nannpi", "")


def test_markdown_lists_failing_gates():
    assert "0.9954 x" in markdown(synthetic(failing=True))
    gate = Gate(id="odd", title="Odd gate", value=3.0, unit="ms", limit=2.0, status="fail", explanation="")
    assert "Odd gate" in markdown(empty(gates=(gate,)))


def test_view_orders_the_sections_as_numbered():
    assert [s.id for s in page(synthetic()).sections] == SECTIONS


def test_result_survives_its_file(tmp_path):
    result = synthetic()
    save(result, tmp_path / "results.json")
    assert render(load(tmp_path / "results.json")) == good()


def test_warning_about_an_unknown_section_has_no_link():
    text = render(empty(warnings=({"code": "x", "message": "Mind the gap.", "section": "nowhere"},)))
    assert "Mind the gap." in text and "#nowhere" not in text
    check(text)


def test_sections_are_the_ones_a_warning_may_point_at():
    assert list(selection.SECTIONS) == SECTIONS


def test_many_objections_are_summed_up():
    objections = Validity(valid=False, reasons=tuple(f"reason {i}" for i in range(9)))
    result = empty().model_copy(update={"validity": objections})
    assert "reason 2; and 6 more" in render(result) and "and 6 more" in markdown(result)


def _for_an_npu(result, realised: str):
    """The result with a decoder whose convolutions were realised so, and an estimate."""
    rows = tuple(
        row.model_copy(update={"realised": realised}) if row.kind == "CONV_2D" else row for row in result.precision
    )
    estimate = LatencyEstimate(
        part="total", device="Made-up 7", unit="NPU", unit_ms={"NPU": 54.5}, ms=54.5, low_ms=27.6, high_ms=99.0,
        median_error=0.57, how="made up",
    )  # fmt: skip
    return result.model_copy(update={"precision": rows, "estimates": (estimate,)})


def test_times_of_reference_kernels_are_not_what_a_file_for_an_npu_is_told_by():
    said = verdict.sentence(_for_an_npu(synthetic(), "int16x8"))
    assert said.startswith("54.5 ms estimated for Made-up 7 on NPU (median error 57%")
    assert "which has no fast kernels for 16-bit activations" in said
    # The twin: in 8 bits the host's time is a time like any other, and leads.
    other = verdict.sentence(_for_an_npu(synthetic(), "int8"))
    assert "16-bit" not in other and not other.startswith("54.5 ms")


@pytest.mark.parametrize(("taken", "how"), [(0, "by its own compiler"), (-1, "by static rules")])
def test_placement_on_an_npu_is_its_compilers_where_that_was_asked_and_agrees(taken, how):
    given = synthetic()
    (first, *_) = (row for row in given.delegation if row.part == selection.main_part(given))
    placed = first.model_copy(update={"delegate": "qnn", "method": "static, from a table"})
    asked = NpuCompilation(
        part=placed.part, soc="SM7550", how="made up", taken_ops=placed.delegated_ops + taken,
        total_ops=placed.total_ops, partitions=1, tables_ops=placed.delegated_ops,
    )  # fmt: skip
    environment = given.environment.model_copy(update={"delegate": "qnn"})
    changes = {"delegation": (placed,), "environment": environment, "npu_compilations": (asked,)}
    assert how in verdict.sentence(given.model_copy(update=changes))
