"""The sizes of a Piper voice, read from tensor shapes and node attributes; nothing is looked up by quality name."""

from __future__ import annotations

from converters.errors import InputError
from toolkit.models.piper.graph import PiperGraph
from toolkit.models.vits.config import EncoderConfig, FlowConfig, GeneratorConfig, VitsConfig


def read_config(graph: PiperGraph) -> VitsConfig:
    """Sizes of the three parts.

    Raises:
        InputError: a tensor or attribute that tells a size is not in the graph.
    """
    try:
        return VitsConfig(encoder=_encoder(graph), flow=_flow(graph), generator=_generator(graph))
    except KeyError as error:
        raise InputError(
            f"the voice has no {error.args[0]!r}, which tells its size",
            code="input/voice-foreign",
            where=str(graph.path),
            hint="the file is damaged or was exported by something other than Piper; export or download it again",
        ) from error


def _count(graph: PiperGraph, pattern: str) -> int:
    """How many consecutive indices ``pattern`` (with ``{}``) has among the tensors."""
    index = 0
    while pattern.format(index) in graph.tensors:
        index += 1
    return index


def _encoder(graph: PiperGraph) -> EncoderConfig:
    tensors = graph.tensors
    vocabulary, hidden = tensors["enc_p.emb.weight"].shape
    _, reach, head_channels = tensors["enc_p.encoder.attn_layers.0.emb_rel_k"].shape
    filter_channels, _, kernel = tensors["enc_p.encoder.ffn_layers.0.conv_1.weight"].shape
    return EncoderConfig(
        vocabulary=vocabulary,
        hidden=hidden,
        filter_channels=filter_channels,
        heads=hidden // head_channels,
        layers=_count(graph, "enc_p.encoder.attn_layers.{}.conv_q.weight"),
        kernel=kernel,
        window=(reach - 1) // 2,
        inter=tensors["enc_p.proj.weight"].shape[0] // 2,
    )


def _flow(graph: PiperGraph) -> FlowConfig:
    tensors = graph.tensors
    hidden, half, _ = tensors["flow.flows.0.pre.weight"].shape
    couplings = 0
    while f"flow.flows.{2 * couplings}.pre.weight" in tensors:
        couplings += 1
    layers = _count(graph, "flow.flows.0.enc.in_layers.{}.weight")
    return FlowConfig(
        channels=2 * half,
        hidden=hidden,
        couplings=couplings,
        kernel=tensors["flow.flows.0.enc.in_layers.0.weight"].shape[2],
        dilations=tuple(
            graph.attributes[f"flow.flows.0.enc.in_layers.{layer}"]["dilations"][0] for layer in range(layers)
        ),
    )


def _generator(graph: PiperGraph) -> GeneratorConfig:
    tensors, attributes = graph.tensors, graph.attributes
    initial, channels, _ = tensors["dec.conv_pre.weight"].shape
    ups = [attributes[f"dec.ups.{stage}"] for stage in range(_count(graph, "dec.ups.{}.weight"))]
    resblock = "1" if "dec.resblocks.0.convs1.0.weight" in tensors else "2"
    convs = "convs1" if resblock == "1" else "convs"
    blocks = _count(graph, "dec.resblocks.{}." + convs + ".0.weight") // max(len(ups), 1)
    kernels, dilations = [], []
    for block in range(blocks):
        kernels.append(tensors[f"dec.resblocks.{block}.{convs}.0.weight"].shape[2])
        steps = _count(graph, f"dec.resblocks.{block}.{convs}." + "{}.weight")
        dilations.append(
            tuple(attributes[f"dec.resblocks.{block}.{convs}.{step}"]["dilations"][0] for step in range(steps))
        )
    if not ups or not kernels:
        raise KeyError("dec.ups.0.weight" if not ups else "dec.resblocks.0.convs.0.weight")
    slopes = graph.slopes or (0.1, 0.01)
    return GeneratorConfig(
        channels=channels,
        initial=initial,
        up_rates=tuple(up["strides"][0] for up in ups),
        up_kernels=tuple(up["kernel_shape"][0] for up in ups),
        up_paddings=tuple(up["pads"][0] for up in ups),
        resblock=resblock,
        resblock_kernels=tuple(kernels),
        resblock_dilations=tuple(dilations),
        slope=round(slopes[0], 6),
        last_slope=round(slopes[-1], 6),
        post_bias="dec.conv_post.bias" in tensors,
    )
