"""A second predicted opinion, trained on other data than the first: DNSMOS (Reddy et al. 2022, arXiv:2110.01763)."""

from __future__ import annotations

import numpy as np

from toolkit.quality.extras import load_judge
from toolkit.quality.resample import JUDGE_RATE_HZ, to_judge_rate


def overall_opinion(wave: np.ndarray, sample_rate_hz: int) -> float:
    """DNSMOS P.835 overall quality of an utterance, 1 to 5.

    Args:
        wave: ``[samples]``; repeated to the 9.01 s the judge hears, as its authors do.
        sample_rate_hz: its sample rate.

    Raises:
        ExtraMissing: speechmos is not installed.
    """
    judge = load_judge("speechmos.dnsmos", "predicted opinion (DNSMOS)")
    heard = np.clip(to_judge_rate(wave, sample_rate_hz), -1.0, 1.0)
    return float(judge.run(heard, JUDGE_RATE_HZ, return_df=False)["ovrl_mos"])
