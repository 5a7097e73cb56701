"""A reference recording and what is said in it, to the arrays of a voice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolkit.engine.enrolment import (
    SSL_RATE_HZ,
    STYLE_RATE_HZ,
    Networks,
    phone_features,
    prompt_codes,
    prompt_phones,
    style_of,
)


class RecordingFeatures:
    """Makes features with networks in torch, or with the graphs of a bundle.

    Args:
        networks: what listens and reads.
        sources: name of each file the networks come from to its sha256.

    Attributes:
        model_sha256: digest of the SoVITS checkpoint.
        sources: as given.
        absent: array that was not made to the reason, of the last recording.
    """

    def __init__(self, networks: Networks, sources: Mapping[str, str]) -> None:
        self._networks = networks
        self.model_sha256 = networks.model_sha256
        self.sources = dict(sources)
        self.absent: dict[str, str] = {}

    def __call__(self, wave: np.ndarray, sample_rate_hz: int, text: str, language: str) -> Mapping[str, np.ndarray]:
        """See ``toolkit.pipeline.enrolment.FeatureMaker``.

        Raises:
            EngineError: the text has no words, its language no front end, or the recording fits no graph.
            ExtraMissing: the language's packages are not installed.
        """
        from toolkit.data.audio import resample

        networks = self._networks
        phones = prompt_phones(text, language, networks.symbols)  # first: it takes the least and fails the most
        low, high = (resample(wave, sample_rate_hz, rate) for rate in (SSL_RATE_HZ, STYLE_RATE_HZ))
        arrays: dict[str, np.ndarray] = {
            **style_of(networks, high, low),
            "prompt_codes": prompt_codes(networks, low),
            "prompt_phones": np.array(phones.ids, np.int32),
        }
        features = phone_features(networks, phones)
        self.absent = {}
        if features is not None:
            arrays["prompt_bert"] = features
        elif phones.characters:
            self.absent["prompt_bert"] = "no BERT was given; the engine takes zeros"
        return arrays
