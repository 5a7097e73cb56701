"""A run that said a whole sentence leads with it; one that could not says why."""

from __future__ import annotations

import pytest

from tests.toolkit.report.synthetic_run import synthetic
from tests.toolkit.report.test_report import check
from toolkit.pipeline.verdict import verdict_text
from toolkit.report import selection as pick
from toolkit.report.html import render
from toolkit.report.markdown import markdown
from toolkit.results import OperatorAge, RunResult, RuntimeNeed, Sentence, SentencePhases, Validity


def _phases(variant: str, whole_ms: float) -> SentencePhases:
    shares = {"first_audio": 0.6, "prefill": 0.1, "steps": 0.4, "acoustics": 0.1, "vocoder": 0.4}
    return SentencePhases(
        variant=variant, whole_ms=whole_ms, **{f"{name}_ms": whole_ms * share for name, share in shares.items()}
    )


@pytest.fixture(scope="module")
def said() -> RunResult:
    result = synthetic()
    shipped, base = pick.headline_latency(result), pick.counterpart(result, pick.headline_latency(result))
    assert shipped is not None and base is not None
    audio = {"part": "total", "audio_seconds": 3.0}
    ratio = pick.comparison(result, shipped.part, shipped.threads)
    assert ratio is not None
    wholes = [one.model_copy(update={**audio, "real_time_factor": one.stats.p50_ms / 3000}) for one in (base, shipped)]
    sentence = Sentence(
        codes=75, phones=40, audio_seconds=3.0, threads=shipped.threads, rounds=6, how="for a test",
        phases=(_phases("float32", 2000.0), _phases("result", 1000.0)),
    )  # fmt: skip
    runtime = RuntimeNeed(
        file="t2s.tflite", release="2.18.0", newest=(OperatorAge(op="EMBEDDING_LOOKUP", version=4, release="2.18.0"),),
        source="runtime_version.cc@f67457790c9c",
    )  # fmt: skip
    return result.model_copy(
        update={
            "sentence": sentence,
            "latency": (*wholes, *result.latency),
            "comparisons": (ratio.model_copy(update={"part": "total"}), *result.comparisons),
            "runtimes": (runtime,),
        }
    )


def test_the_page_leads_with_the_sentence(said: RunResult) -> None:
    html = render(said)
    check(html)
    assert pick.main_part(said) == "total"
    lead = html[: html.index('id="verdict"')] if 'id="verdict"' in html else html
    assert "A sentence takes" in lead and "first audio after 0.600" in lead and "of the time float32 takes" in lead
    assert html.index("Whole sentence, median") < html.index("First audio after") < html.index("Peak memory")
    assert "Slowest twentieth" not in html
    assert "Where the time goes" in html and "encoder and flow: 0.100" in html
    assert "Oldest TFLite runtime" in html and "EMBEDDING_LOOKUP version 4" in html
    assert ">total<" not in html  # it is called what it is


def test_the_short_forms_say_it_too(said: RunResult, tmp_path) -> None:
    text = markdown(said)
    assert "a sentence of 3.00" in text and "first audio of it after | 600" in text and "−50.0" in text
    lines = verdict_text(said, tmp_path).splitlines()
    assert any(line.startswith("  shipped: 1.00 s for 3 s of sound (real-time factor 0.33), first") for line in lines)


def test_a_run_without_a_sentence_is_as_before_and_says_why_where_one_was_wanted() -> None:
    plain = synthetic()
    assert "A sentence takes" not in render(plain) and "Slowest twentieth" in render(plain)
    missing = plain.model_copy(update={"not_measured": {"sentence": "the bundle makes codes, and no sound"}})
    assert "No whole sentence was timed: the bundle makes codes" in render(missing)


def test_of_many_objections_the_terminal_gets_three(tmp_path) -> None:
    many = tuple(f"part {n}: noisy" for n in range(9))
    invalid = synthetic().model_copy(update={"validity": Validity(valid=False, reasons=many)})
    (line,) = [line for line in verdict_text(invalid, tmp_path).splitlines() if "INVALID" in line]
    assert line.endswith("part 1: noisy; part 2: noisy; and 6 more, in the report") and "part 3" not in line
    few = synthetic().model_copy(update={"validity": Validity(valid=False, reasons=many[:3])})
    assert "more" not in next(line for line in verdict_text(few, tmp_path).splitlines() if "INVALID" in line)
