"""Semantic codes to the latent frames a vocoder sings: text encoder, noise, flow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from toolkit.engine.buckets import bias, filled, presence, smallest
from toolkit.engine.bundle import Bundle, GraphFact
from toolkit.engine.graphs import GraphSource
from toolkit.engine.tempo import frames_at, most_frames, resampled
from toolkit.errors import EngineError


def longest_codes(bundle: Bundle, phones: int, speed: float = 1.0) -> int:
    """Most codes the text encoder and the flow take, for a sentence of so many phones; 0 when it fits nowhere.

    Slow speech has more frames, and the flow room for fewer codes.
    """
    encoders = bundle.of_kind("text_encoder")
    fitting = [graph.tensors["codes"].shape[1] for graph in encoders if graph.tensors["phones"].shape[1] >= phones]
    flows = [most_frames(speed, graph.tensors["z_p"].shape[2]) // 2 for graph in bundle.of_kind("flow")]
    return min(max(fitting, default=0), max(flows, default=0))


def latent_frames(
    bundle: Bundle,
    graphs: GraphSource,
    codes: np.ndarray,
    phones: np.ndarray,
    styles: Mapping[str, np.ndarray],
    generator: np.random.Generator,
    noise_scale: float,
    speed: float = 1.0,
) -> np.ndarray:
    """Latent frames of a sentence.

    The noise is drawn for the frames there are, not for the bucket, so that it does not depend on the bucket.

    Args:
        bundle: its graphs.
        graphs: gives them.
        codes: ``[n] int32``.
        phones: ``[Tp] int32``, the sentence's only.
        styles: ``ge`` and, for v2Pro, ``ge_text`` of the voice; used by graphs with such inputs.
        generator: of the noise.
        noise_scale: its width; 0 is none.
        speed: of speech; see `toolkit.engine.tempo`.

    Returns:
        ``[1, channels, frames_at(speed, 2n)] float32``.

    Raises:
        EngineError: no bucket is long enough.
    """
    encoder = smallest(
        bundle.of_kind("text_encoder"), {"codes": (1, len(codes)), "phones": (1, len(phones))}, "the sentence"
    )
    frames, bucket = 2 * len(codes), 2 * encoder.tensors["codes"].shape[1]
    phone_bucket = encoder.tensors["phones"].shape[1]
    known = {
        "codes": filled(codes[None], bucket // 2),
        "phones": filled(phones[None], phone_bucket),
        "codes_mask": presence(frames, bucket),
        "phones_mask": presence(len(phones), phone_bucket),
        "codes_bias": bias(frames, bucket),
        "phones_bias": bias(len(phones), phone_bucket),
        **styles,
    }
    found = graphs(encoder).run(wanted(encoder, known))
    mean, logarithm = found["m_p"][:, :, :frames], found["logs_p"][:, :, :frames]
    if speed != 1.0:
        frames = frames_at(speed, frames)
        mean, logarithm = resampled(mean, frames), resampled(logarithm, frames)
    noise = generator.standard_normal(mean.shape, np.float32)
    prior = mean + noise * np.exp(logarithm) * np.float32(noise_scale)
    flow = smallest(bundle.of_kind("flow"), {"z_p": (2, frames)}, "the sentence")
    room = flow.tensors["z_p"].shape[2]
    known = {"z_p": filled(prior, room), "mask": presence(frames, room), **styles}
    return graphs(flow).run(wanted(flow, known))["z"][:, :, :frames]


def wanted(graph: GraphFact, known: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those of the known arrays that the graph takes: a voice's constants may be folded into it, or be inputs.

    Raises:
        EngineError: it takes one that is not known, or of another shape.
    """
    inputs = [name for name, fact in graph.tensors.items() if fact.role == "input"]
    missing = [name for name in inputs if name not in known]
    if missing:
        raise EngineError(
            f"the graph wants {missing[0]!r}, which this voice has not",
            code="engine/voice-mismatch",
            where=graph.name,
            hint="the voice was enrolled for another version of the model",
        )
    for name in inputs:
        if known[name].shape != graph.tensors[name].shape:
            raise EngineError(
                f"{name!r} is {known[name].shape}, the graph takes {graph.tensors[name].shape}",
                code="engine/voice-mismatch",
                where=graph.name,
                hint="the voice was enrolled for another version of the model",
            )
    return {name: known[name] for name in inputs}
