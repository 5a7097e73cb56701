"""A .tflite file of one ADD, written without TensorFlow."""

from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from converters.tflite_graph.flatbuffer import dump

FLOAT32, INT32 = 0, 2


def _tensor(name, shape, kind):
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), list(shape), kind, 0
    return tensor


def _graph(name, second):
    graph = schema.SubGraphT()
    graph.name = name.encode()
    graph.tensors = [
        _tensor("serving_default_x:0", (1, 8), FLOAT32),
        _tensor("serving_default_lengths:0", (1, 8), second),
        _tensor("y", (1, 8), FLOAT32),
    ]
    graph.inputs, graph.outputs = [0, 1], [2]
    op = schema.OperatorT()
    op.opcodeIndex, op.inputs, op.outputs = 0, [0, 1], [2]
    op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
    graph.operators = [op]
    return graph


def small_file(path: Path, *, second: int = FLOAT32, signatures: tuple[str, ...] = ()) -> Path:
    """Writes a file whose second input is a float or an index, with a graph for each signature."""
    model = schema.ModelT()
    model.version = 3
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD
    code.version = 1
    model.operatorCodes = [code]
    model.subgraphs = [_graph(name, second) for name in signatures or ("main",)]
    model.buffers = [schema.BufferT()]
    model.signatureDefs = []
    for index, name in enumerate(signatures):
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = name.encode(), index
        signature.inputs = [_entry("x", 0), _entry("lengths", 1)]
        signature.outputs = [_entry("y", 2)]
        model.signatureDefs.append(signature)
    path.write_bytes(dump(model))
    return path


def _entry(name, index):
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index
    return entry
