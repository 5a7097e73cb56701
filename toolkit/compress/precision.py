"""Which precision every operator of a part is asked to have, resolved from rules written against torch names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolkit.compress.torch_globs import matches, select, torch_path
from toolkit.compress.unroundable import kept_in_float
from toolkit.errors import RecipeError
from toolkit.recipe.schema import Precision, PrecisionPolicy

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel

DEFAULT_REASON = "the part's default"
_MULTIPLIES = frozenset({"Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense", "LSTM", "GRU", "MatMul"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPrecision:
    """What one Keras layer is asked to compute in.

    Attributes:
        layer: name of the Keras layer; it stands in the names of the tensors of the flatbuffer.
        torch_name: torch module path, e.g. ``dec.resblocks.0.convs.1``.
        op: operator within the module, e.g. ``Conv_1``.
        asked: number format of the layer's weights and of what it computes.
        because: reason of the rule that decided.
        multiplies: the layer is a convolution, matrix product or recurrent layer.
        rule: index of the rule that decided; ``None`` is the default.
    """

    layer: str
    torch_name: str
    op: str
    asked: Precision
    because: str
    multiplies: bool
    rule: int | None = None

    @property
    def node(self) -> str:
        """``<torch module path>/<op>``."""
        return f"{self.torch_name}/{self.op}" if self.op else self.torch_name


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionPlan:
    """The asked precision of every layer of a part.

    Attributes:
        part: name of the part.
        default: precision of layers no rule matches.
        layers: every layer that computes, element-wise ones included, in the order of the graph.
        matched: glob of each rule to the torch names it matched, whether or not a later rule overrode it.
        outputs: layer that gives each output of the part.
    """

    part: str
    default: Precision
    layers: tuple[LayerPrecision, ...]
    matched: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()

    def by_layer(self) -> dict[str, LayerPrecision]:
        """Layer name to what is asked of it."""
        return {item.layer: item for item in self.layers}

    def of(self, layer: str) -> Precision:
        """The precision layer ``layer`` is asked to have."""
        return self.by_layer()[layer].asked

    def precisions(self) -> frozenset[Precision]:
        """Every precision that occurs."""
        return frozenset(item.asked for item in self.layers)

    def layers_asking(self, precision: Precision) -> frozenset[str]:
        """Names of the layers that are asked to have ``precision``."""
        return frozenset(item.layer for item in self.layers if item.asked == precision)


def plan_precision(relayered: RelayeredModel, policy: PrecisionPolicy, part: str) -> PrecisionPlan:
    """Resolves a policy on the layers of a part; the last rule that matches a layer wins.

    Where the default is int8, layers that 8 bits cannot hold stay float32 (`unroundable`) unless a rule decides.

    A glob is tried on the torch module path (``dec.conv_pre``) and on the operator's whole name (``dec/Add_1``), and
    decides for layers without weights as well: whether a residual addition stays in float is a rule like any other.

    Raises:
        RecipeError: a rule matches nothing (``recipe/rule-matches-nothing``), or the precisions cannot stand in one
            file (``precision/not-realisable``).
    """
    nodes = _nodes(relayered)
    where = f"part {part!r}"
    matched: dict[str, tuple[str, ...]] = {}
    for index, rule in enumerate(policy.rules):
        found = select(rule.match, nodes.values(), where=f"{where}, precision rule {index + 1}", what="rule")
        names = (*matched.get(rule.match, ()), *(torch_path(node) for node in found))
        matched[rule.match] = tuple(dict.fromkeys(names))
    float_reasons: dict[str, str] = {}
    if policy.default == "int8":
        float_reasons = kept_in_float(relayered.model, {name: torch_path(node) for name, node in nodes.items()})
    layers = tuple(
        _resolve(layer, nodes[layer.name], policy, float_reasons.get(layer.name))
        for layer in _computing(relayered.model)
    )
    _refuse_mixed_integers(layers, where)
    return PrecisionPlan(
        part=part,
        default=policy.default,
        layers=layers,
        matched=matched,
        outputs=tuple(tensor._keras_history.layer.name for tensor in relayered.model.outputs),
    )


def _resolve(layer: Any, node: str, policy: PrecisionPolicy, float_reason: str | None) -> LayerPrecision:
    decided = max((i for i, rule in enumerate(policy.rules) if matches(rule.match, node)), default=None)
    default: Precision = policy.default if float_reason is None else "float32"
    return LayerPrecision(
        layer=layer.name,
        torch_name=torch_path(node),
        op=node.removeprefix(torch_path(node)).removeprefix("/"),
        asked=default if decided is None else policy.rules[decided].use,
        because=(float_reason or DEFAULT_REASON) if decided is None else policy.rules[decided].because,
        multiplies=type(layer).__name__ in _MULTIPLIES,
        rule=decided,
    )


def _computing(model: Any) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]


def _nodes(relayered: RelayeredModel) -> dict[str, str]:
    """Layer name to torch operator. Layers put in on the way (``<name>/pad``) belong to what they are named after."""
    nodes = {}
    for layer in _computing(relayered.model):
        name = layer.name
        while name not in relayered.torch_names and "/" in name:
            name = name.rpartition("/")[0]
        nodes[layer.name] = relayered.torch_names.get(name, layer.name)
    return nodes


def _refuse_mixed_integers(layers: tuple[LayerPrecision, ...], where: str) -> None:
    wide = next((item for item in layers if item.asked == "int16x8"), None)
    narrow = next((item for item in layers if item.asked == "int8"), None)
    if wide is None or narrow is None:
        return
    raise RecipeError(
        f"{wide.node!r} is asked to be int16x8 and {narrow.node!r} int8: TensorFlow's converter gives 16-bit "
        "activations to a whole file or to none of it",
        code="precision/not-realisable",
        where=where,
        hint="ask for int16x8 as the default of the part, or keep int8 and ask for float32 where int8 is too coarse",
    )
