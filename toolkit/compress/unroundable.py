"""What a part keeps in float when it is asked to be int8 as a whole, and why.

Each rule has a name that stands in front of its reason in the audit. They decide only where a part's default is int8: a
rule of the recipe overrules them, and the audit then tells whether it could be had.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from toolkit.compress import rewire

if TYPE_CHECKING:
    import tf_keras

WHOLE_NUMBERS: Final = "whole numbers: ids and truth values have no range to round to"
SCORES: Final = (
    "attention scores: a mask adds -10000 to some, so that one of 256 steps would be 39 wide; "
    "from the product of keys and queries to the softmax they stay in float"
)
NORMS: Final = (
    "normalisation: a variance and its root span too many orders of magnitude for 256 steps; "
    "what the normalising module computes stays in float"
)
QUOTIENTS: Final = (
    "a quotient: TFLite divides in float only, and what it divides (the error function in GELU: two polynomials) spans "
    "more than 256 steps; what its module computes after the last product stays in float"
)

PRODUCTS: Final = frozenset(
    {"Conv2D", "DepthwiseConv2D", "Conv2DTranspose", "Dense", "LSTM", "GRU", "MatMul", "Embedding"}
)
_SOFTMAX: Final = frozenset({"Softmax", "LogSoftmax"})
_ROOTS: Final = frozenset({"sqrt", "rsqrt"})


def kept_in_float(model: tf_keras.Model, module_of: dict[str, str]) -> dict[str, str]:
    """Layer name to the reason why an int8 part keeps it in float.

    Args:
        model: the part.
        module_of: layer name to torch module path.
    """
    layers = rewire.computing_layers(model)
    found = {layer.name: WHOLE_NUMBERS for layer in layers if not is_real(layer) or type(layer).__name__ == "Cast"}
    roots = {module_of[layer.name] for layer in layers if _takes_root(layer)}
    for layer in layers:
        if type(layer).__name__ == "LayerNorm" or (module_of[layer.name] in roots and not _is_product(layer)):
            found.setdefault(layer.name, NORMS)
    for layer in layers:
        if is_softmax(layer):
            for name in (layer.name, *(above.name for above in up_to_products(layer))):
                found.setdefault(name, SCORES)
        elif _divides(layer):
            own = module_of[layer.name]
            of_module = (above.name for above in up_to_products(layer) if module_of[above.name] == own)
            for name in (layer.name, *of_module):
                found.setdefault(name, QUOTIENTS)
    return found


def _divides(layer: Any) -> bool:
    return type(layer).__name__ == "BinaryMath" and layer.function == "divide"


def is_real(layer: Any) -> bool:
    """Whether a layer gives float32."""
    output = layer.output
    return (output[0] if isinstance(output, (list, tuple)) else output).dtype == "float32"


def up_to_products(layer: Any) -> Iterator[Any]:
    """Layers above ``layer``, up to the nearest products and inputs, which are not among them."""
    queue, seen = list(rewire.producers(layer)), set()
    while queue:
        above = queue.pop()
        if above.name in seen or _is_product(above) or type(above).__name__ == "InputLayer":
            continue
        seen.add(above.name)
        yield above
        queue.extend(rewire.producers(above))


def _is_product(layer: Any) -> bool:
    return type(layer).__name__ in PRODUCTS


def is_softmax(layer: Any) -> bool:
    """Whether a layer is one, by class or by activation."""
    activation = getattr(getattr(layer, "activation", None), "__name__", "")
    return type(layer).__name__ in _SOFTMAX or (type(layer).__name__ == "Activation" and activation == "softmax")


def _takes_root(layer: Any) -> bool:
    return type(layer).__name__ == "UnaryMath" and layer.function in _ROOTS
