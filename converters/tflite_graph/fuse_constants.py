"""Constants that scale or shift the output or the input of a layer with known weights, computed into those weights.

TensorFlow's converter does so when it knows the weights itself; see `bind_weights`.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

PLAIN = schema.ActivationFunctionType.NONE
_OPERATOR = schema.BuiltinOperator
_LAYERS = (_OPERATOR.FULLY_CONNECTED, _OPERATOR.CONV_2D)
_DTYPES = {schema.TensorType.FLOAT32: "<f4", schema.TensorType.INT32: "<i4", schema.TensorType.INT64: "<i8"}


def fuse_constants(model: Any, graph: Any, operators: list[Any], known: dict[int, np.ndarray]) -> list[Any]:
    """The operators without those a layer took over.

    Args:
        model: a ``ModelT``.
        graph: its first graph.
        operators: in the order they run; layers among them are changed.
        known: values of tensors that have no buffer yet; weights among them are changed.
    """
    fuser = _Fuser(model=model, graph=graph, operators=operators, known=known)
    rules = {_OPERATOR.MUL: (fuser.scale_output, fuser.scale_input), _OPERATOR.ADD: (fuser.shift_output,)}
    kept = []
    for operator in operators:
        if not any(fuser.apply(operator, rule) for rule in rules.get(kind_of(model, operator), ())):
            kept.append(operator)
    return kept


@dataclass(slots=True, kw_only=True)
class _Fuser:
    model: Any
    graph: Any
    operators: list[Any]
    known: dict[int, np.ndarray]

    def apply(self, operator: Any, rule: Callable[[Any, int, np.ndarray], bool]) -> bool:
        """Tries a rule with either operand as the constant."""
        first, second = (int(index) for index in operator.inputs)
        for data, other in ((first, second), (second, first)):
            constant = value_of(self.model, self.graph, other, {})
            if constant is not None and rule(operator, data, constant):
                return True
        return False

    def scale_output(self, operator: Any, data: int, scale: np.ndarray) -> bool:
        """A layer, then a factor for each output."""
        layer = self._layer_of(data)
        if layer is None:
            return False
        matrix, bias = int(layer.inputs[1]), self._bias(layer)
        factors = _by_channel(scale, len(self.known[matrix]))
        if factors is None or (self._has_bias(layer) and bias is None):
            return False
        self.known[matrix] = self.known[matrix] * factors.reshape(-1, *[1] * (self.known[matrix].ndim - 1))
        if bias is not None:
            self._set_bias(layer, bias * factors)
        self._take_over(layer, operator)
        return True

    def shift_output(self, operator: Any, data: int, shift: np.ndarray) -> bool:
        """A layer, then a term for each output."""
        layer = self._layer_of(data)
        if layer is None:
            return False
        bias = self._bias(layer)
        terms = _by_channel(shift, len(self.known[int(layer.inputs[1])]))
        if terms is None or bias is None:
            return False
        self._set_bias(layer, bias + terms)
        self._take_over(layer, operator)
        return True

    def scale_input(self, operator: Any, data: int, scale: np.ndarray) -> bool:
        """A factor for each input, then a layer that nothing else shares them with."""
        made = int(operator.outputs[0])
        layers = [o for o in self.operators if made in [int(i) for i in o.inputs]]
        if activation_of(operator) != PLAIN or len(layers) != 1 or self._readers()[made] != 1:
            return False
        layer = layers[0]
        if kind_of(self.model, layer) != _OPERATOR.FULLY_CONNECTED or not self._owns_weights(layer):
            return False
        matrix = int(layer.inputs[1])
        factors = _by_channel(scale, self.known[matrix].shape[1])
        if factors is None or int(layer.inputs[0]) != made:
            return False
        if shape_of(self.graph, data) != shape_of(self.graph, made):
            return False
        self.known[matrix] = self.known[matrix] * factors
        layer.inputs = [data, *(int(index) for index in layer.inputs[1:])]
        return True

    def _layer_of(self, data: int) -> Any | None:
        """The layer that makes a tensor for one reader only, and whose weights are its own."""
        for operator in self.operators:
            if int(operator.outputs[0]) != data or kind_of(self.model, operator) not in _LAYERS:
                continue
            if activation_of(operator) == PLAIN and self._readers()[data] == 1 and self._owns_weights(operator):
                return operator
        return None

    def _readers(self) -> Counter[int]:
        found = Counter(int(index) for operator in self.operators for index in operator.inputs)
        found.update(int(index) for index in self.graph.outputs)
        return found

    def _owns_weights(self, layer: Any) -> bool:
        matrix = int(layer.inputs[1])
        return matrix in self.known and self._readers()[matrix] == 1

    @staticmethod
    def _has_bias(layer: Any) -> bool:
        return len(layer.inputs) > 2 and int(layer.inputs[2]) >= 0

    def _bias(self, layer: Any) -> np.ndarray | None:
        return value_of(self.model, self.graph, int(layer.inputs[2]), self.known) if self._has_bias(layer) else None

    def _set_bias(self, layer: Any, values: np.ndarray) -> None:
        """A bias of its own: others may read the one it had."""
        tensor = copy.copy(self.graph.tensors[int(layer.inputs[2])])
        tensor.name, tensor.buffer = tensor.name + b"/fused", 0
        self.graph.tensors.append(tensor)
        layer.inputs = [*(int(index) for index in layer.inputs[:2]), len(self.graph.tensors) - 1]
        self.known[len(self.graph.tensors) - 1] = values.astype(np.float32)

    def _take_over(self, layer: Any, operator: Any) -> None:
        """The layer makes what the operator made, under both names: reports and audits find it by them."""
        tensor = self.graph.tensors[int(operator.outputs[0])]
        tensor.name = self.graph.tensors[int(layer.outputs[0])].name + b";" + tensor.name
        layer.outputs = operator.outputs
        layer.builtinOptions.fusedActivationFunction = activation_of(operator)


def _by_channel(values: np.ndarray, channels: int) -> np.ndarray | None:
    """A constant as one number for each channel of the last axis, None when it is not that."""
    if values.size != 1 and (values.size != channels or values.shape[-1:] != (channels,)):
        return None
    return np.broadcast_to(values.reshape(-1), (channels,))


def kind_of(model: Any, operator: Any) -> int:
    """Builtin code of an operator."""
    code = model.operatorCodes[operator.opcodeIndex]
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def activation_of(operator: Any) -> int:
    """Activation fused into an operator."""
    return int(getattr(operator.builtinOptions, "fusedActivationFunction", PLAIN))


def shape_of(graph: Any, index: int) -> tuple[int, ...]:
    """Shape of a tensor, ``()`` for a scalar."""
    shape = graph.tensors[index].shape
    return () if shape is None else tuple(int(size) for size in shape)


def value_of(model: Any, graph: Any, index: int, known: Mapping[int, np.ndarray]) -> np.ndarray | None:
    """Value of a tensor that is known before the model runs, else None."""
    if index < 0:
        return None
    if index in known:
        return known[index]
    tensor = graph.tensors[index]
    data = model.buffers[tensor.buffer].data
    if data is None or not len(data) or tensor.type not in _DTYPES:
        return None
    return np.ascontiguousarray(data, np.uint8).view(_DTYPES[tensor.type]).reshape(shape_of(graph, index))
