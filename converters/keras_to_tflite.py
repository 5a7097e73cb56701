"""Keras to TFLite: one static function, one named signature, the same bytes every time."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from converters import frameworks
from converters.errors import ForeignToolFailed, InputError
from converters.memory import release_unused_memory
from converters.spec import Arrays, Interface
from converters.tflite_graph.bind_weights import bind_weights
from converters.tflite_graph.flatbuffer import dump, load
from converters.tflite_graph.normalise import normalise
from converters.weight_inputs import WeightInput, replaced, weight_inputs

if TYPE_CHECKING:
    import tf_keras

Quantization = Literal["none", "qat_int8", "dynamic_range", "int8", "int16x8"]
_LAST_LINES = 12
SIGNATURE = "serving_default"


@dataclass(frozen=True, slots=True, kw_only=True)
class TfliteOptions:
    """How numbers are stored in the file.

    Attributes:
        quantization: ``none`` (float32), ``qat_int8`` (layers with fake quantisation become int8, the others stay
            float32), ``dynamic_range`` (int8 weights), ``int8`` and ``int16x8`` (ranges from
            ``representative_dataset``).
        io_dtype: type of float inputs and outputs in the file.
        representative_dataset: inputs in torch's layout, for ``int8`` and ``int16x8``.
        signature: key of the signature.
        min_input_bytes: weights from this size go around TensorFlow's converter (`converters.weight_inputs`), which
            changes its time and memory and not the file's operators; with ``none`` only.
    """

    quantization: Quantization = "none"
    io_dtype: Literal["float32", "int8"] = "float32"
    representative_dataset: Sequence[Arrays] = ()
    signature: str = SIGNATURE
    min_input_bytes: int = 65_536


def to_tflite(model: tf_keras.Model, interface: Interface, options: TfliteOptions | None = None) -> bytes:
    """Writes ``model`` as a flatbuffer whose signature has the spec's names.

    Args:
        model: functional model, inputs and outputs in the order of the spec.
        interface: the part's interface with Keras' layouts (static, batch included).
        options: number formats.

    Raises:
        InputError: quantisation from ranges without a representative dataset.
        ForeignToolFailed: TensorFlow's converter raised.
    """
    options = options or TfliteOptions()
    if options.quantization in ("int8", "int16x8") and not options.representative_dataset:
        raise InputError(
            f"{options.quantization} needs a representative dataset",
            where=interface.spec.name,
            hint="pass real inputs of the part as representative_dataset",
        )
    release_unused_memory(4 * model.count_params())
    return dump(_written(model, interface, options))


def _written(model: tf_keras.Model, interface: Interface, options: TfliteOptions) -> Any:
    """The whole file as a ``ModelT``."""
    written = _write(model, interface, options)
    layers = [tensor._keras_history.layer.name for tensor in model.outputs]
    normalise(written, interface, options.signature, layers)
    return written


def _write(model: tf_keras.Model, interface: Interface, options: TfliteOptions) -> Any:
    """The file as a ``ModelT``, large weights in it."""
    leave: frozenset[str] = frozenset()
    while True:
        # Quantisation looks at the weights, so they have to go through the converter then.
        weights = [] if options.quantization != "none" else weight_inputs(model, options.min_input_bytes, leave)
        written = load(_converted(model, interface, options, weights))
        if not weights:
            return written
        release_unused_memory(4 * model.count_params())  # the traced function, which is full of cycles
        refused = bind_weights(written, {item.name: item.value() for item in weights})
        # Weights that were scaled on the way are free and not given back: they took the place of earlier blocks, which
        # no threshold of the allocator asks about.
        release_unused_memory(4 * model.count_params())
        if not refused:
            return written
        leave |= refused


def _converted(
    model: tf_keras.Model, interface: Interface, options: TfliteOptions, weights: Sequence[WeightInput]
) -> bytes:
    tf = frameworks.tensorflow()
    function = _concrete_function(model, interface, weights)
    # Without a trackable object the converter freezes the function; with one it writes a SavedModel first. That would
    # also keep each LSTM whole, in a quarter of the loop's time, but as an operator that goes on from the state the
    # last invocation left: the second call of a file agreed to 30 dB.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    _configure(converter, interface, options)
    log = io.StringIO()
    try:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            return bytes(converter.convert())
    except Exception as error:
        last = [line for line in f"{log.getvalue()}\n{error}".splitlines() if line.strip()][:_LAST_LINES]
        raise ForeignToolFailed(
            "\n".join([f"TensorFlow {version('tensorflow')} could not write TFLite:", *last]),
            where=interface.spec.name,
            hint="the lines above name the operator; its layer has the torch name",
        ) from error


def _concrete_function(model: tf_keras.Model, interface: Interface, weights: Sequence[WeightInput]) -> Any:
    tf = frameworks.tensorflow()
    spec = interface.spec
    signature = [
        tf.TensorSpec(interface.layouts[tensor.name].target_shape, tensor.dtype, name=tensor.name)
        for tensor in spec.inputs
    ]
    signature += [tf.TensorSpec(item.variable.shape, item.variable.dtype, name=item.name) for item in weights]

    def call(*tensors: Any) -> list[Any]:
        arguments = list(tensors[: len(spec.inputs)])
        with replaced(weights, tensors[len(spec.inputs) :]):
            results = model(arguments if len(arguments) > 1 else arguments[0], training=False)
        results = results if isinstance(results, (list, tuple)) else [results]
        return [tf.identity(result) for result in results]

    with _native_dilation():
        return tf.function(call, input_signature=signature, autograph=False).get_concrete_function()


@contextlib.contextmanager
def _native_dilation() -> Iterator[None]:
    """Traces dilated convolutions as one operation each.

    Keras writes them as space-to-batch, convolution, batch-to-space, which the converter folds back; but where two
    convolutions read one tensor the first of these is shared, and then it does not.
    """
    tf, keras = frameworks.tensorflow(), frameworks.tf_keras()
    base = keras.layers.Conv2D.__mro__[1]
    original = base.convolution_op

    def convolution_op(self: Any, inputs: Any, kernel: Any) -> Any:
        if self.rank != 2 or max(self.dilation_rate) == 1 or self._is_causal or self._channels_first:
            return original(self, inputs, kernel)
        padding = self.padding.upper()
        return tf.nn.conv2d(
            inputs, kernel, self.strides, padding, dilations=self.dilation_rate, name=type(self).__name__
        )

    base.convolution_op = convolution_op
    try:
        yield
    finally:
        base.convolution_op = original


def _configure(converter: Any, interface: Interface, options: TfliteOptions) -> None:
    tf = frameworks.tensorflow()
    if options.quantization == "none":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if options.quantization in ("int8", "int16x8"):
        converter.representative_dataset = _dataset(interface, options.representative_dataset)
    if options.quantization == "int16x8":
        sets = tf.lite.OpsSet
        converter.target_spec.supported_ops = [
            sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
            sets.TFLITE_BUILTINS,
        ]
    elif options.quantization == "int8" and options.io_dtype == "int8":
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if options.io_dtype == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.int8


def _dataset(interface: Interface, samples: Sequence[Arrays]) -> Callable[[], Iterator[list[np.ndarray]]]:
    def generate() -> Iterator[list[np.ndarray]]:
        for sample in samples:
            yield [
                interface.layouts[tensor.name].to_target(np.asarray(sample[tensor.name], tensor.dtype))
                for tensor in interface.spec.inputs
            ]

    return generate
