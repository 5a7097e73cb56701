"""Every width and depth of a SoVITS model, read from its tensors, and the shape every tensor must then have.

Only strides, dilations and the heads of the style encoder and the cross attention are not written in the tensors:
strides and dilations come from the file's own configuration, the heads are constants of upstream.
Source: ``module/models.py``, ``module/modules.py``, ``module/mrte_model.py`` of upstream.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from toolkit.errors import CheckpointError
from toolkit.models.vits.config import EncoderConfig, FlowConfig, GeneratorConfig

CROSS_HEADS: Final = 4
STYLE_HEADS: Final = 2
STACKS: Final = ("encoder_ssl", "encoder_text", "encoder2")
CODEBOOK: Final = "quantizer.vq.layers.0._codebook.embed"
SAMPLES_PER_FRAME: Final = 640
_RATES: Final = (10, 8, 2, 2, 2)
_DILATIONS: Final = (1, 3, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class SovitsConfig:
    """Sizes of a SoVITS model (v1, v2, v2Pro, v2ProPlus).

    Attributes:
        version: ``v1``, ``v2``, ``v2Pro`` or ``v2ProPlus``.
        symbols: phone ids.
        codes: semantic codes.
        ssl: channels of the self-supervised features and of the codebook.
        stacks: the three encoders of ``enc_p`` by name; ``vocabulary`` is unused.
        mrte: channels of the cross attention; also of the style vector it adds.
        gin: channels of the style vector.
        style_bins: bins of the reference spectrogram that are used.
        style_hidden: channels inside the reference encoder.
        style_kernel: width of its convolutions.
        speaker: length of the speaker embedding (v2Pro), 0 without.
        flow: the flow.
        generator: the vocoder.
    """

    version: str
    symbols: int
    codes: int = 1024
    ssl: int = 768
    stacks: Mapping[str, EncoderConfig]
    mrte: int = 512
    gin: int = 512
    style_bins: int = 704
    style_hidden: int = 128
    style_kernel: int = 5
    speaker: int = 0
    flow: FlowConfig
    generator: GeneratorConfig

    @property
    def hidden(self) -> int:
        """Channels of ``enc_p``."""
        return self.stacks["encoder_ssl"].hidden

    @property
    def inter(self) -> int:
        """Channels of the latent."""
        return self.flow.channels


def sovits_config(
    shapes: Mapping[str, tuple[int, ...]], model: Mapping[str, Any], version: str, where: str
) -> SovitsConfig:
    """Sizes of the model the tensors belong to, all of them checked.

    Args:
        shapes: of the tensors, by checkpoint name.
        model: ``config["model"]`` of the file; may be empty.
        version: see ``SovitsConfig``.
        where: the file, for errors.

    Raises:
        CheckpointError: a tensor is missing or does not fit the others.
    """

    def of(name: str, rank: int) -> tuple[int, ...]:
        found = shapes.get(name)
        if found is None or len(found) != rank or 0 in found:
            raise CheckpointError(
                f"tensor {name!r} is {found or 'missing'}", code="checkpoint/wrong-shape", where=where,
                hint="the file is incomplete, or not a SoVITS checkpoint",
            )  # fmt: skip
        return found

    symbols, hidden = of("enc_p.text_embedding.weight", 2)
    inter2 = of("enc_p.proj.weight", 3)[0]
    gin = of("ref_enc.fc.fc.weight", 2)[0]
    style_hidden, style_bins = of("ref_enc.spectral.0.fc.weight", 2)
    flow_hidden, half, _ = of("flow.flows.0.pre.weight", 3)
    wave = of("flow.flows.0.enc.in_layers.0.weight_v", 3)
    config = SovitsConfig(
        version=version,
        symbols=symbols,
        codes=of(CODEBOOK, 2)[0],
        ssl=of(CODEBOOK, 2)[1],
        stacks={name: _stack(name, hidden, inter2 // 2, shapes, of) for name in STACKS},
        mrte=of("enc_p.mrte.c_pre.weight", 3)[0],
        gin=gin,
        style_bins=style_bins,
        style_hidden=style_hidden,
        style_kernel=of("ref_enc.temporal.0.conv1.conv.weight", 3)[2],
        speaker=of("sv_emb.weight", 2)[1] if "sv_emb.weight" in shapes else 0,
        flow=FlowConfig(
            channels=2 * half,
            hidden=flow_hidden,
            couplings=(_count(shapes, r"flow\.flows\.(\d+)\.pre\.weight") + 1) // 2,
            kernel=wave[2],
            dilations=(1,) * _count(shapes, r"flow\.flows\.0\.enc\.in_layers\.(\d+)\.bias"),
        ),
        generator=_generator(shapes, model, of, where),
    )
    for name, shape in sovits_shapes(config).items():
        if shapes.get(name) != shape:
            raise CheckpointError(
                f"tensor {name!r} is {shapes.get(name) or 'missing'}, the others want {shape}",
                code="checkpoint/wrong-shape", where=where, hint="the file is incomplete or was put together from two",
            )  # fmt: skip
    return config


def _count(names: Iterable[str], pattern: str) -> int:
    """One more than the highest number the pattern finds."""
    found = [int(hit[1]) for name in names if (hit := re.fullmatch(pattern, name)) and len(hit[1]) < 4]
    return max(found, default=-1) + 1


def _stack(name: str, hidden: int, inter: int, shapes: Mapping[str, tuple[int, ...]], of: Any) -> EncoderConfig:
    positions, head = of(f"enc_p.{name}.attn_layers.0.emb_rel_k", 3)[1:]
    filters, _, kernel = of(f"enc_p.{name}.ffn_layers.0.conv_1.weight", 3)
    return EncoderConfig(
        vocabulary=0,
        hidden=hidden,
        filter_channels=filters,
        heads=max(1, hidden // head),
        layers=_count(shapes, rf"enc_p\.{name}\.attn_layers\.(\d+)\.emb_rel_k"),
        kernel=kernel,
        window=positions // 2,
        inter=inter,
    )


def _generator(shapes: Mapping[str, tuple[int, ...]], model: Mapping[str, Any], of: Any, where: str) -> GeneratorConfig:
    stages = _count(shapes, r"dec\.ups\.(\d+)\.bias")
    per_stage = _count(shapes, r"dec\.resblocks\.(\d+)\.convs1\.0\.bias") // max(stages, 1)
    initial, channels, _ = of("dec.conv_pre.weight", 3)
    kernels = tuple(of(f"dec.ups.{stage}.weight_v", 3)[2] for stage in range(stages))
    widths = tuple(of(f"dec.resblocks.{block}.convs1.0.weight_v", 3)[2] for block in range(per_stage))
    depths = [_count(shapes, rf"dec\.resblocks\.{block}\.convs1\.(\d+)\.bias") for block in range(per_stage)]
    rates = tuple(_whole(model.get("upsample_rates"), _RATES))
    given = model.get("resblock_dilation_sizes")
    lists = given if isinstance(given, list | tuple) and len(given) == per_stage else [_DILATIONS] * per_stage
    dilations = tuple(tuple(_whole(each, _DILATIONS)) for each in lists)
    fitting = len(rates) == stages and all(k >= r and (k - r) % 2 == 0 for k, r in zip(kernels, rates, strict=False))
    if not stages or not per_stage or not fitting or [len(each) for each in dilations] != depths:
        raise CheckpointError(
            f"strides {rates} and dilations {dilations} do not fit the vocoder's tensors",
            code="checkpoint/wrong-shape", where=where, hint="its configuration belongs to another model",
        )  # fmt: skip
    if math.prod(rates) != SAMPLES_PER_FRAME:
        raise CheckpointError(
            f"its strides {rates} do not make {SAMPLES_PER_FRAME} samples of a frame",
            code="checkpoint/wrong-shape", where=where, hint="its configuration belongs to another model",
        )  # fmt: skip
    return GeneratorConfig(
        channels=channels,
        initial=initial,
        up_rates=rates,
        up_kernels=kernels,
        up_paddings=tuple((k - r) // 2 for k, r in zip(kernels, rates, strict=True)),
        resblock="1",
        resblock_kernels=widths,
        resblock_dilations=dilations,
    )


def _whole(given: Any, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    """A short list of small whole numbers, or the usual one where the file has none."""
    fine = isinstance(given, list | tuple) and 0 < len(given) < 16 and all(type(x) is int and 0 < x < 99 for x in given)
    return tuple(given) if fine else otherwise


def sovits_shapes(config: SovitsConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor a SoVITS file must hold, by name; ``enc_q`` and the codebook's statistics may be absent."""
    c, hidden, m = config, config.hidden, config.mrte
    shapes: dict[str, tuple[int, ...]] = {
        CODEBOOK: (c.codes, c.ssl),
        "ssl_proj.weight": (c.ssl, c.ssl, 2),
        "ssl_proj.bias": (c.ssl,),
        "enc_p.text_embedding.weight": (c.symbols, hidden),
        **_conv("enc_p.ssl_proj", hidden, c.ssl, 1),
        **_conv("enc_p.proj", 2 * c.inter, hidden, 1),
        **_conv("enc_p.mrte.c_pre", m, hidden, 1),
        **_conv("enc_p.mrte.text_pre", m, hidden, 1),
        **_conv("enc_p.mrte.c_post", hidden, m, 1),
    }
    for letter in "qkvo":
        shapes |= _conv(f"enc_p.mrte.cross_attention.conv_{letter}", m, m, 1)
    for name, stack in c.stacks.items():
        for layer in range(stack.layers):
            shapes |= _encoder_layer(f"enc_p.{name}", layer, stack)
    for coupling in range(0, 2 * c.flow.couplings, 2):
        shapes |= _coupling(f"flow.flows.{coupling}", c.flow, c.gin)
    shapes |= _generator_shapes(c.generator, c.gin) | _style_shapes(c)
    if c.speaker:
        shapes |= {
            "sv_emb.weight": (c.gin, c.speaker), "sv_emb.bias": (c.gin,), "prelu.weight": (c.gin,),
            "ge_to512.weight": (m, c.gin), "ge_to512.bias": (m,),
        }  # fmt: skip
    return shapes


def _conv(path: str, out: int, into: int, kernel: int) -> dict[str, tuple[int, ...]]:
    return {f"{path}.weight": (out, into, kernel), f"{path}.bias": (out,)}


def _normed(path: str, first: int, second: int, kernel: int, bias: int | None = None) -> dict[str, tuple[int, ...]]:
    return {
        f"{path}.weight_g": (first, 1, 1), f"{path}.weight_v": (first, second, kernel), f"{path}.bias": (bias or first,)
    }  # fmt: skip


def _encoder_layer(path: str, layer: int, stack: EncoderConfig) -> dict[str, tuple[int, ...]]:
    hidden, attention, feed = stack.hidden, f"{path}.attn_layers.{layer}", f"{path}.ffn_layers.{layer}"
    shapes: dict[str, tuple[int, ...]] = {}
    for letter in "qkvo":
        shapes |= _conv(f"{attention}.conv_{letter}", hidden, hidden, 1)
    for name in ("emb_rel_k", "emb_rel_v"):
        shapes[f"{attention}.{name}"] = (1, 2 * stack.window + 1, hidden // stack.heads)
    inner = stack.inners[layer]
    shapes |= _conv(f"{feed}.conv_1", inner, hidden, stack.kernel)
    shapes |= _conv(f"{feed}.conv_2", hidden, inner, stack.kernel)
    for norm in ("norm_layers_1", "norm_layers_2"):
        shapes |= {f"{path}.{norm}.{layer}.{name}": (hidden,) for name in ("gamma", "beta")}
    return shapes


def _coupling(path: str, flow: FlowConfig, gin: int) -> dict[str, tuple[int, ...]]:
    half, hidden, last = flow.channels // 2, flow.hidden, len(flow.dilations) - 1
    shapes = _conv(f"{path}.pre", hidden, half, 1) | _conv(f"{path}.post", half, hidden, 1)
    shapes |= _normed(f"{path}.enc.cond_layer", 2 * hidden * (last + 1), gin, 1)
    for layer in range(last + 1):
        shapes |= _normed(f"{path}.enc.in_layers.{layer}", 2 * hidden, hidden, flow.kernel)
        shapes |= _normed(f"{path}.enc.res_skip_layers.{layer}", hidden if layer == last else 2 * hidden, hidden, 1)
    return shapes


def _generator_shapes(generator: GeneratorConfig, gin: int) -> dict[str, tuple[int, ...]]:
    channels, block = generator.initial, 0
    shapes = _conv("dec.conv_pre", channels, generator.channels, 7) | _conv("dec.cond", channels, gin, 1)
    for stage, kernel in enumerate(generator.up_kernels):
        shapes |= _normed(f"dec.ups.{stage}", channels, channels // 2, kernel, bias=channels // 2)
        channels //= 2
        for width, dilations in zip(generator.resblock_kernels, generator.resblock_dilations, strict=True):
            for step in range(len(dilations)):
                for convs in ("convs1", "convs2"):
                    shapes |= _normed(f"dec.resblocks.{block}.{convs}.{step}", channels, channels, width)
            block += 1
    return shapes | {"dec.conv_post.weight": (1, channels, 7)}


def _style_shapes(config: SovitsConfig) -> dict[str, tuple[int, ...]]:
    hidden, shapes = config.style_hidden, {}
    linear = {"spectral.0.fc": (hidden, config.style_bins), "spectral.3.fc": (hidden, hidden)}
    linear |= {f"slf_attn.{name}": (hidden, hidden) for name in ("w_qs", "w_ks", "w_vs", "fc")}
    linear |= {"fc.fc": (config.gin, hidden)}
    for name, (out, into) in linear.items():
        shapes |= {f"ref_enc.{name}.weight": (out, into), f"ref_enc.{name}.bias": (out,)}
    for layer in range(2):
        shapes |= _conv(f"ref_enc.temporal.{layer}.conv1.conv", 2 * hidden, hidden, config.style_kernel)
    return shapes
