"""A second predicted opinion, trained on other data than the first: DNSMOS (Reddy et al. 2022, arXiv:2110.01763)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from converters import frameworks
from toolkit.quality.extras import load_judge
from toolkit.quality.resample import JUDGE_RATE_HZ, to_judge_rate


@lru_cache(maxsize=1)
def _judge() -> Any:
    package = load_judge("speechmos.dnsmos", "predicted opinion (DNSMOS)")

    class OverallAlone(package.DNSMOS):
        """The package's judge without its other network (ITU-T P.808), a fifth of the time, which nobody here asks."""

        def __init__(self) -> None:
            folder = Path(package.__file__).parent / "dnsmos_models"
            runtime = frameworks.onnxruntime()
            options = runtime.SessionOptions()
            # Idle threads give their core away: on a busy machine they would keep others from the work waited for.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self.onnx_sess = runtime.InferenceSession(str(folder / "sig_bak_ovr.onnx"), options)
            self.p808_onnx_sess = self

        def audio_melspec(self, audio: np.ndarray, **_: Any) -> np.ndarray:
            """What that network would hear: nothing."""
            return np.zeros((0, 0), np.float32)

        def run(self, names: None, feeds: dict[str, np.ndarray]) -> list[list[list[float]]]:
            """What that network would say; the mean of it is NaN and is not read."""
            return [[[np.nan]]]

    return OverallAlone()


def overall_opinion(wave: np.ndarray, sample_rate_hz: int) -> float:
    """DNSMOS P.835 overall quality of an utterance, 1 to 5.

    Args:
        wave: ``[samples]``; repeated to the 9.01 s the judge hears, as its authors do.
        sample_rate_hz: its sample rate.

    Raises:
        ExtraMissing: speechmos is not installed.
    """
    heard = np.clip(to_judge_rate(wave, sample_rate_hz), -1.0, 1.0)
    return float(_judge()(heard, JUDGE_RATE_HZ, is_personalized_MOS=False)["ovrl_mos"])
