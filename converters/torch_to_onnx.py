"""torch to ONNX: static shapes, inputs and outputs named as declared, nodes named after torch modules.

Two exporters, by what the model is. A module is traced by the TorchScript exporter: its node names carry the module
path, recurrent layers stay one operator each, and a decoder takes a fifth of a second. A `torch.export` program has no
Python module left to trace and goes through the program exporter, whose metadata carries the path.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from converters import frameworks, torch_patches
from converters.errors import InputError, UnsupportedOp
from converters.int32_interface import int32_interface
from converters.onnx_graph import name_nodes
from converters.onnx_graph.graph import Graph
from converters.resting_weights import rest
from converters.spec import PartSpec, TensorSpec

OPSET = 17
_PROGRAM_OPSET = 18
_LAST_LINES = 4


def export(module: Any, spec: PartSpec) -> Any:
    """Exports a module, TorchScript module or `torch.export.ExportedProgram`.

    Args:
        module: `nn.Module`, `ScriptModule` or `ExportedProgram`.
        spec: static interface; inputs in the order of ``forward``.

    Returns:
        `onnx.ModelProto` with nodes named ``<torch module path>/<Op>``.

    Raises:
        InputError: the declared inputs or outputs do not fit ``forward``.
        UnsupportedOp: torch has an operator ONNX does not.
    """
    torch = frameworks.torch()
    samples = tuple(_sample(tensor) for tensor in spec.inputs)
    if isinstance(module, torch.export.ExportedProgram):
        model = _export_program(module, spec)
    else:
        model = _export_module(module, samples, spec)
        rest(module)
    _restate_interface(model, spec)
    graph = Graph.from_model(model)
    del model  # the graph has its weights
    _check_outputs(graph, spec)
    known = {name for name, _ in module.named_modules()} if isinstance(module, torch.nn.Module) else set()
    name_nodes.assign(graph, known)
    return graph.to_model()


def outputs_of(module: Any, inputs: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
    """Runs the module once and declares its outputs ``output`` or ``output_0`` …

    Raises:
        InputError: ``forward`` refuses the declared inputs or returns something that is no tensor.
    """
    results = _run(module, tuple(_sample(tensor) for tensor in inputs))
    names = ["output"] if len(results) == 1 else [f"output_{i}" for i in range(len(results))]
    return tuple(
        TensorSpec(name=name, shape=tuple(result.shape), dtype="float32" if result.is_floating_point() else "int32")
        for name, result in zip(names, results, strict=True)
    )


def _sample(tensor: TensorSpec) -> Any:
    torch = frameworks.torch()
    if tensor.dtype == "int32":
        return torch.zeros(tensor.shape, dtype=torch.int32)
    generator = torch.Generator().manual_seed(0)
    # Around one: also fits inputs that are masks, divisors or arguments of a logarithm.
    return 1.0 + 0.01 * torch.randn(tensor.shape, generator=generator)


def _run(module: Any, samples: tuple[Any, ...]) -> tuple[Any, ...]:
    torch = frameworks.torch()
    name = type(module).__name__
    shapes = ", ".join(str(tuple(s.shape)) for s in samples)
    runnable = module
    if isinstance(module, torch.export.ExportedProgram):
        runnable, samples = module.module(), _as_exported(module, samples)
    try:
        with torch.no_grad():
            if runnable is module:
                with torch_patches.evaluation_mode(module):
                    result = runnable(*samples)
            else:
                result = runnable(*samples)
    except (RuntimeError, TypeError, ValueError, IndexError, AssertionError, AttributeError, KeyError) as error:
        raise InputError(
            f"{name}.forward refuses the declared inputs ({shapes}): {_tail(error)}",
            where=name,
            hint="declare one input per forward() argument, in order, with the right shape and dtype",
        ) from error
    results = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    for index, item in enumerate(results):
        if not isinstance(item, torch.Tensor):
            raise InputError(
                f"output {index} of {name}.forward is {type(item).__name__}, not a tensor",
                where=name,
                hint="wrap the module so that forward() returns a tensor or a flat tuple of tensors",
            )
    return results


def _as_exported(program: Any, samples: tuple[Any, ...]) -> tuple[Any, ...]:
    """Integer samples in the dtype the program was exported for; it accepts no other."""
    values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
    return tuple(
        sample.to(values[name].dtype) for sample, name in zip(samples, program.graph_signature.user_inputs, strict=True)
    )


def _check_outputs(graph: Graph, spec: PartSpec) -> None:
    for tensor in spec.outputs:
        found = graph.shapes.get(tensor.name)
        if found is not None and found != tensor.shape:
            raise InputError(
                f"output {tensor.name!r} has shape {found}, declared is {tensor.shape}",
                where=spec.name,
                hint="declare the shapes forward() returns, or none at all",
            )


def _export_module(module: Any, samples: tuple[Any, ...], spec: PartSpec) -> Any:
    torch, onnx = frameworks.torch(), frameworks.onnx()
    buffer = io.BytesIO()
    printed: list[str] = []
    # The exporter warns about every Python number in a trace and prints the whole graph when it gives up.
    with warnings.catch_warnings(), torch.no_grad(), torch_patches.exportable(module) as plain:
        warnings.simplefilter("ignore")
        try:
            with torch_patches.native_output() as printed, torch_patches.weights_apart() as weights:
                torch.onnx.export(
                    plain,
                    samples,
                    buffer,
                    dynamo=False,
                    export_params=False,
                    opset_version=OPSET,
                    do_constant_folding=False,
                    input_names=[t.name for t in spec.inputs],
                    output_names=[t.name for t in spec.outputs],
                )
        except torch.onnx.errors.OnnxExporterError as error:
            raise _unsupported(error, spec, "".join(printed)) from error
        except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, AssertionError, KeyError) as error:
            _run(module, samples)  # raises InputError when it is forward() itself that refuses
            raise _unsupported(error, spec, "".join(printed)) from error
    model = onnx.load_model_from_string(buffer.getvalue())
    _put_in(model, weights)
    return model


def _put_in(model: Any, weights: Mapping[str, Any]) -> None:
    """Turns the inputs that stand for weights into initialisers, in their order."""
    helper = frameworks.onnx().numpy_helper
    inputs = list(model.graph.input)
    for value in inputs:
        if value.name in weights:
            array = weights[value.name].detach().cpu().contiguous().numpy()
            model.graph.initializer.add().CopyFrom(helper.from_array(array, value.name))
    del model.graph.input[:]
    model.graph.input.extend(value for value in inputs if value.name not in weights)


def _export_program(program: Any, spec: PartSpec) -> Any:
    torch = frameworks.torch()
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=_PROGRAM_OPSET,
                verbose=False,
                optimize=False,
                input_names=[t.name for t in spec.inputs],
                output_names=[t.name for t in spec.outputs],
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise _unsupported(error, spec) from error
        finally:
            logger.setLevel(level)
    return result.model_proto


def _restate_interface(model: Any, spec: PartSpec) -> None:
    """Names, dtypes and static shapes exactly as declared, whatever the exporter left."""
    onnx = frameworks.onnx()
    types = {"float32": onnx.TensorProto.FLOAT, "int32": onnx.TensorProto.INT32}
    present = {i.name for i in model.graph.input}
    outputs = [o.name for o in model.graph.output]
    for tensor in spec.inputs:
        if tensor.name not in present:  # an input forward() does not read
            model.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, types[tensor.dtype], list(tensor.shape))
            )
    if outputs != [t.name for t in spec.outputs]:
        raise InputError(f"the exported graph returns {outputs}, declared are {[t.name for t in spec.outputs]}")
    int32_interface(model, spec.inputs)


def _tail(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " | ".join(lines[:_LAST_LINES])[:600]


def _unsupported(error: BaseException, spec: PartSpec, trace: str = "") -> UnsupportedOp:
    layer = _layer_of(error, trace)
    return UnsupportedOp(
        f"torch cannot express this module in ONNX opset {OPSET}: {_tail(error)}",
        where=f"{spec.name}: {layer}" if layer else spec.name,
        hint="replace the named operator by supported ones, or cut the module there into two parts",
    )


def _layer_of(error: BaseException, trace: str) -> str:
    """Torch path of the layer an export stopped at, from the scopes torch writes into its messages."""
    text = str(error)
    operators = re.findall(r"aten::\w+", text) + [f"aten::{n.lower()}" for n in re.findall(r"operator (\w+)", text)]
    lines = [line for line in trace.splitlines() if any(f"{operator}(" in line for operator in operators)]
    for line in (*lines, text, *trace.splitlines()):
        scope = re.search(r"scope: (\S+)", line)
        if scope:
            # "__main__.Net::/torch.nn.modules.rnn.LSTM::enc/...::rnn": attribute names follow the double colons.
            names = [part.partition("::")[2] for part in scope.group(1).split("/")]
            path = name_nodes.scope_path([name for name in names if name])
            if path != name_nodes.ROOT:
                return path
    return ""
