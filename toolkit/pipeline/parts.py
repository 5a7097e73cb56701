"""The parts of a voice for every bucket, each with real and random inputs to prove it on."""

from __future__ import annotations

import numpy as np

from converters.errors import InputError
from toolkit.data import Manifest, Sentence
from toolkit.pipeline.sources import Source, SourcePart, random_like
from toolkit.recipe.schema import Recipe

_REAL_PROBES = 2
_JUDGED_SENTENCES = 2


def voice_parts(source: Source, recipe: Recipe, sentences: tuple[Sentence, ...]) -> list[SourcePart]:
    """Encoder, flow and decoder for every bucket of the recipe, in the order they run.

    Raises:
        InputError: no calibration sentence fits a bucket.
    """
    from toolkit.models.vits.probe import probe_inputs
    from toolkit.models.voice import Buckets

    voice = source.voice
    if voice is None:
        raise InputError(f"{source.name} is no voice", where=source.label)
    buckets = Buckets(phonemes=recipe.buckets.phonemes, frames=recipe.buckets.frames)
    rng = np.random.default_rng(recipe.seed)
    ids = [voice_ids(source, sentence) for sentence in sentences]
    parts = []
    for key, (module, spec) in voice.parts(buckets).items():
        name, _, bucket = key.partition("@")
        real = probe_inputs(voice, name, int(bucket), count=_REAL_PROBES, sentences=ids, seed=recipe.seed)
        parts.append(
            SourcePart(
                name=name,
                bucket=int(bucket),
                model=module,
                spec=spec,
                probes=(*real, random_like(real[0], rng)),
                real_probes=len(real),
            )
        )
    return parts


def voice_ids(source: Source, sentence: Sentence) -> np.ndarray:
    """Phoneme ids of a sentence in the voice's own table (the manifest's ids belong to the default voice)."""
    if source.voice is None:
        raise InputError(f"{source.name} is no voice", where=source.label)
    return source.voice.phoneme_ids(sentence.phonemes)


def judged_inputs(
    source: Source, part: SourcePart, manifest: Manifest | None, seed: int
) -> tuple[list[dict[str, np.ndarray]], str]:
    """A few inputs no range was chosen by, and what they are; where there are none, the probes, which it says."""
    real = list(part.probes[: part.real_probes])
    if source.voice is not None and manifest is not None:
        from toolkit.models.vits.probe import probe_inputs

        ids = [voice_ids(source, sentence) for sentence in manifest.split("evaluation")]
        try:
            found = probe_inputs(
                source.voice, part.name, part.bucket, count=_JUDGED_SENTENCES, sentences=ids, seed=seed
            )
        except InputError:  # none fits the bucket; those of calibration do, or the part would not be here
            return real, f"{len(real)} sentences ranges were chosen by; no held-out one fits"
        return found, f"{len(found)} held-out sentences"
    if real:
        return real, f"{len(real)} real inputs, which ranges were chosen by"
    return list(part.probes), f"{len(part.probes)} random inputs, which ranges were chosen by"


def calibration_inputs(
    source: Source, part: SourcePart, sentences: tuple[Sentence, ...], seed: int
) -> list[dict[str, np.ndarray]]:
    """Real inputs of a part from every calibration sentence that fits, or any model's probes."""
    if source.voice is None:
        # Fine-tuning holds one input back, so a single real one is joined by the random ones made in its likeness.
        real = list(part.probes[: part.real_probes])
        return real if len(real) > 1 else list(part.probes)
    from toolkit.models.vits.probe import probe_inputs

    ids = [voice_ids(source, sentence) for sentence in sentences]
    return probe_inputs(source.voice, part.name, part.bucket, count=len(ids), sentences=ids, seed=seed)
