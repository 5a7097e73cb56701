"""Real inputs of a part, from sentences: what parity checks and calibration feed it.

Random inputs exercise every channel; real ones have the outliers, the silences and the correlation over time that
quantisation ranges and time-axis bugs depend on. The parts upstream of the probed one run in torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from converters.errors import InputError
from toolkit.models.threads import threads_of
from toolkit.models.vits import host
from toolkit.models.voice import Buckets, Voice

_PROBES = (
    "ɪt wˈʌz ɐ kwˈaɪət mˈoːɹnɪŋ ænd ðə stɹˈiːts wɜː stˈɪl wˈɛt fɹʌm ðə nˈaɪt.",
    "kæn juː ɹˈiːd ðɪs mˈɛsɪdʒ ɐlˈaʊd, plˈiːz?",
    "tˈɜːn lˈɛft æt ðə stˈeɪʃən, ðˈɛn wˈɔːk stɹˈeɪt ɐhˈɛd.",
    "aɪ θˈɪŋk wiː ʃˌʊd lˈiːv bɪfˌoːɹ ðə stˈoːɹm kˈʌmz!",
)
"""Written for this project; IPA as espeak-ng gives it for en-us."""


def probe_ids(voice: Voice) -> list[np.ndarray]:
    """Phoneme ids of the built-in sentences, in the voice's own table."""
    return [voice.phoneme_ids(text) for text in _PROBES]


def probe_inputs(
    voice: Voice,
    part: str,
    bucket: int,
    count: int = 2,
    sentences: Iterable[np.ndarray] | None = None,
    seed: int = 0,
) -> list[dict[str, np.ndarray]]:
    """Inputs of a part for the first ``count`` sentences that fit.

    Args:
        voice: the voice.
        part: one of ``voice.part_names``.
        bucket: static length; utterances longer than it are cut to it (encoder, durations: left out).
        count: how many inputs.
        sentences: phoneme ids ``[phonemes]`` each; the built-in sentences when ``None``.
        seed: of the noise; sentence ``i`` uses ``seed + i``.

    Returns:
        Named arrays with the shapes of ``voice.part(part, bucket)[1].inputs``.

    Raises:
        InputError: no sentence fits.
    """
    chosen = probe_ids(voice) if sentences is None else sentences
    found: list[dict[str, np.ndarray]] = []
    with threads_of(1):
        for inputs in _inputs(voice, part, bucket, chosen, seed):
            found.append(inputs)
            if len(found) == count:
                return found
    if not found:
        raise InputError(
            f"no sentence fits a bucket of {bucket}",
            code="input/sentence-length",
            where=part,
            hint="use a larger bucket or shorter sentences",
        )
    return found


def _inputs(
    voice: Voice, part: str, bucket: int, sentences: Iterable[np.ndarray], seed: int
) -> Iterator[dict[str, np.ndarray]]:
    for index, ids in enumerate(sentences):
        phonemes = len(ids)
        if part == "encoder":
            if phonemes <= bucket:
                yield {"ids": host.pad_time(ids[None], bucket), "mask": host.mask_of(phonemes, bucket)}
            continue
        length = -(-max(phonemes, 32) // 32) * 32
        encoder = voice.torch_runners(Buckets(phonemes=(length,), frames=()))["encoder"]
        if part == "durations":
            if phonemes <= bucket:
                said = encoder[length](
                    {"ids": host.pad_time(ids[None], length), "mask": host.mask_of(phonemes, length)}
                )
                yield {"x": host.pad_time(said["x"][..., :phonemes], bucket), "mask": host.mask_of(phonemes, bucket)}
            continue
        z_p = voice.prior_sample(voice.prior(encoder, ids, seed + index), seed + index)
        if part == "decoder":
            frames = z_p.shape[-1]
            flow = voice.torch_runners(Buckets(phonemes=(), frames=(frames,)))["flow"]
            signal, name = voice.run_flow(flow, z_p), "z"
        else:
            signal, name = z_p, "z_p"
        signal = signal[..., :bucket]
        yield {name: host.pad_time(signal, bucket), "mask": host.mask_of(signal.shape[-1], bucket)}
