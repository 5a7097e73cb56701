"""Runs TFLite files on arrays in torch's layout, for parity, listening and bisection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.errors import InputError
from converters.spec import Arrays, Interface, Runner
from converters.tflite_graph.names import layer_of


def tflite_runner(
    content: bytes,
    interface: Interface,
    num_threads: int = 2,
    use_reference_kernels: bool = False,
    signature: str | None = None,
) -> Runner:
    """A runner of the file's signature.

    Args:
        content: the file.
        interface: the part's interface with Keras' layouts.
        num_threads: threads of the interpreter.
        use_reference_kernels: TensorFlow Lite's plain kernels instead of XNNPACK and the optimised ones.
        signature: which one, when the file has several.

    Raises:
        InputError: the file cannot be loaded, or lacks a tensor of the spec.
    """
    interpreter = _interpreter(content, num_threads, use_reference_kernels)
    key = _key(interpreter, signature)
    try:
        run_signature = interpreter.get_signature_runner(key)
    except (RuntimeError, ValueError) as error:  # preparing the graph fails here, not while loading
        raise InputError(f"TensorFlow Lite cannot prepare the file: {error}", where=interface.spec.name) from error
    inputs, outputs = run_signature.get_input_details(), run_signature.get_output_details()
    for tensor in interface.spec.inputs:
        if tensor.name not in inputs:
            raise InputError(f"the file has no input {tensor.name!r}", where=interface.spec.name)
    for tensor in interface.spec.outputs:
        if tensor.name not in outputs:
            raise InputError(f"the file has no output {tensor.name!r}", where=interface.spec.name)

    def run(arrays: Arrays) -> dict[str, np.ndarray]:
        feeds = {
            tensor.name: _quantised(
                interface.layouts[tensor.name].to_target(np.asarray(arrays[tensor.name], tensor.dtype)),
                inputs[tensor.name],
            )
            for tensor in interface.spec.inputs
        }
        results = run_signature(**feeds)
        return {
            tensor.name: interface.layouts[tensor.name].to_torch(
                _dequantised(results[tensor.name], outputs[tensor.name])
            )
            for tensor in interface.spec.outputs
        }

    return run


def tflite_intermediates(
    content: bytes, interface: Interface, arrays: Arrays, torch_names: Mapping[str, str]
) -> dict[str, np.ndarray]:
    """Values of the tensors that layers named in ``torch_names`` compute, by ONNX node name, in the file's layout.

    Raises:
        InputError: the file cannot be loaded.
    """
    ran = run_preserving(content, interface, arrays)
    found: dict[str, np.ndarray] = {}
    for outputs in ran.outputs:
        for index in outputs:
            layer = layer_of(ran.name(index), torch_names)
            if layer is not None:
                found[torch_names[layer]] = ran.value(index)
    return found


class PreservedRun:
    """A file that ran once and kept every tensor; values are read one by one, for together they are large.

    Attributes:
        outputs: indices of the tensors each operator computed, in execution order.
    """

    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter
        self._details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
        self.outputs: tuple[tuple[int, ...], ...] = tuple(
            tuple(int(index) for index in op["outputs"]) for op in interpreter._get_ops_details()
        )

    def name(self, index: int) -> str:
        """Name of a tensor."""
        return self._details[index]["name"]

    def value(self, index: int) -> np.ndarray:
        """What a tensor holds, in the file's layout; real numbers where it is quantised."""
        return _dequantised(self._interpreter.get_tensor(index), self._details[index])


def run_preserving(content: bytes, interface: Interface, arrays: Arrays, num_threads: int = 1) -> PreservedRun:
    """Runs a file's first graph once, by TensorFlow Lite's own kernels (a delegate's tensors cannot be seen).

    Args:
        content: the file.
        interface: the part's interface with Keras' layouts.
        arrays: inputs in torch's layout.
        num_threads: threads of the interpreter.

    Raises:
        InputError: the file cannot be loaded.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        interpreter = Interpreter(
            model_content=content,
            num_threads=num_threads,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise InputError(f"TensorFlow Lite cannot load the file: {error}", where=interface.spec.name) from error
    by_name = {detail["name"]: detail for detail in interpreter.get_input_details()}
    for tensor in interface.spec.inputs:
        detail = by_name[tensor.name]
        value = interface.layouts[tensor.name].to_target(np.asarray(arrays[tensor.name], tensor.dtype))
        interpreter.set_tensor(detail["index"], _quantised(value, detail))
    interpreter.invoke()
    return PreservedRun(interpreter)


def _interpreter(content: bytes, num_threads: int, use_reference_kernels: bool) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_REF if use_reference_kernels else OpResolverType.AUTO
    try:
        return Interpreter(model_content=content, num_threads=num_threads, experimental_op_resolver_type=resolver)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"TensorFlow Lite cannot load the file: {error}") from error


def _key(interpreter: Any, signature: str | None) -> str:
    keys = list(interpreter.get_signature_list())
    if signature is None and len(keys) == 1:
        return keys[0]
    if signature not in keys:
        raise InputError(f"the file has no signature {signature!r}", hint=f"it has: {', '.join(keys) or 'none'}")
    return signature


def _quantised(value: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    dtype = np.dtype(detail["dtype"])
    scale, zero_point = detail["quantization"]
    if value.dtype == dtype or not np.issubdtype(dtype, np.integer) or not scale:
        return value.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(value / np.float32(scale)) + zero_point, limits.min, limits.max).astype(dtype)


def _dequantised(value: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    scale, zero_point = detail["quantization"]
    if not scale or not np.issubdtype(value.dtype, np.integer) or value.dtype == np.int32:
        return value
    return ((value.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)).astype(np.float32)
