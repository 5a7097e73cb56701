"""How good a version is: one number, higher is better, always against the model that was given."""

from __future__ import annotations

from toolkit.pipeline.run import Outcome
from toolkit.results import Metric, Quality, RunResult
from toolkit.results.search import Score

_SNR_CEILING_DB = 200.0
CODE_AGREEMENT = "code_agreement"


def heard_score(outcome: Outcome) -> Score | None:
    """Speaker similarity of the whole voice, else its predicted opinion, else the parts' agreement with torch."""
    judged = outcome.judged
    heard = _metrics(judged.whole_voice) if judged else {}
    for name, title in (("resemblyzer_cosine", "speaker similarity"), ("distillmos", "predicted opinion")):
        if name in heard:
            metric = heard[name]
            return Score(metric=name, title=f"{title} to the float voice", unit=metric.unit, value=metric.mean)
    found = judged.output_snr_db if judged else _shipped_snr(outcome.result)
    if found is None:
        return None
    snr = min(found, _SNR_CEILING_DB)
    return Score(metric="output_snr_db", title="outputs against torch, worst", unit="dB", value=snr)


def agreement_score(ratio: float) -> Score:
    """Of a text-to-semantic model: how often it would have chosen the code that the model given would have."""
    title = "same next code as the model given, in float"
    return Score(metric=CODE_AGREEMENT, title=title, unit="of choices", value=ratio)


def _shipped_snr(result: RunResult) -> float | None:
    """Worst agreement of a shipped graph with torch, of conversions that put it among the hops."""
    rows = [row.snr_db for row in result.parity if row.to == "shipped"]
    known = [snr for snr in rows if snr is not None]
    if not rows:
        return None
    return min(known, default=_SNR_CEILING_DB)


def _metrics(quality: Quality | None) -> dict[str, Metric]:
    return {metric.metric: metric for metric in quality.metrics} if quality else {}
