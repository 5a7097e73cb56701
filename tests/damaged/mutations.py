"""Ways to damage a file: blindly, byte by byte, and knowingly, through its own fields."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

Blind = Callable[[bytearray, np.random.Generator], bytes]
Knowing = Callable[[Any, np.random.Generator], None]

_HUGE = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x00FFFFFF, 0x10000, 0)


def _flip_bits(data: bytearray, rng: np.random.Generator) -> bytes:
    for _ in range(int(rng.integers(1, 9))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def _cut(data: bytearray, rng: np.random.Generator) -> bytes:
    return bytes(data[: int(rng.integers(len(data)))])


def _zero(data: bytearray, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(len(data)))
    length = int(rng.integers(1, 64))
    data[start : start + length] = bytes(len(data[start : start + length]))
    return bytes(data)


def _noise(data: bytearray, rng: np.random.Generator) -> bytes:
    start = int(rng.integers(8, len(data)))
    length = len(data[start : start + int(rng.integers(1, 32))])
    data[start : start + length] = rng.bytes(length)
    return bytes(data)


def _huge_number(data: bytearray, rng: np.random.Generator) -> bytes:
    place = 4 * int(rng.integers(len(data) // 4))
    struct.pack_into("<I", data, place, _HUGE[int(rng.integers(len(_HUGE)))])
    return bytes(data)


def _nearby_number(data: bytearray, rng: np.random.Generator) -> bytes:
    """An offset or length that is a little wrong: the damage hardest to see."""
    place = 4 * int(rng.integers(len(data) // 4))
    (old,) = struct.unpack_from("<I", data, place)
    struct.pack_into("<I", data, place, (old + int(rng.integers(-16, 17))) % 2**32)
    return bytes(data)


def _swap_blocks(data: bytearray, rng: np.random.Generator) -> bytes:
    one, other = (8 + 4 * int(rng.integers((len(data) - 8) // 4 - 8)) for _ in range(2))
    data[one : one + 32], data[other : other + 32] = data[other : other + 32], data[one : one + 32]
    return bytes(data)


BLIND: tuple[Blind, ...] = (_flip_bits, _cut, _zero, _noise, _huge_number, _nearby_number, _swap_blocks)


def _pick(things: Any, rng: np.random.Generator) -> Any:
    return things[int(rng.integers(len(things)))]


def _operator(model: Any, rng: np.random.Generator) -> Any:
    return _pick(_pick(model.subgraphs, rng).operators, rng)


def _tensor(model: Any, rng: np.random.Generator) -> Any:
    return _pick(_pick(model.subgraphs, rng).tensors, rng)


def _set_tensor(**changes: Any) -> Knowing:
    def change(model: Any, rng: np.random.Generator) -> None:
        tensor = _tensor(model, rng)
        for name, value in changes.items():
            setattr(tensor, name, value)

    return change


def _set_operator(**changes: Any) -> Knowing:
    def change(model: Any, rng: np.random.Generator) -> None:
        operator = _operator(model, rng)
        for name, value in changes.items():
            setattr(operator, name, value)

    return change


def _set_graph(**changes: Any) -> Knowing:
    def change(model: Any, rng: np.random.Generator) -> None:
        graph = _pick(model.subgraphs, rng)
        for name, value in changes.items():
            setattr(graph, name, value)

    return change


def _set_code(**changes: Any) -> Knowing:
    def change(model: Any, rng: np.random.Generator) -> None:
        code = _pick(model.operatorCodes, rng)
        for name, value in changes.items():
            setattr(code, name, value)

    return change


def _any_operator_code(model: Any, rng: np.random.Generator) -> None:
    code = _pick(model.operatorCodes, rng)
    code.builtinCode = int(rng.integers(0, 230))
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)


def _any_shape(model: Any, rng: np.random.Generator) -> None:
    _tensor(model, rng).shape = [int(rng.integers(0, 5)) for _ in range(int(rng.integers(0, 7)))]


def _any_type(model: Any, rng: np.random.Generator) -> None:
    _tensor(model, rng).type = int(rng.integers(0, 22))


def _circle(model: Any, rng: np.random.Generator) -> None:
    graph = _pick(model.subgraphs, rng)
    graph.operators[0].inputs = [int(graph.operators[-1].outputs[0]), *graph.operators[0].inputs[1:]]


def _reversed_order(model: Any, rng: np.random.Generator) -> None:
    graph = _pick(model.subgraphs, rng)
    graph.operators = graph.operators[::-1]


def _same_output(model: Any, rng: np.random.Generator) -> None:
    graph = _pick(model.subgraphs, rng)
    for operator in graph.operators:
        operator.outputs = graph.operators[0].outputs


def _drop_inputs(model: Any, rng: np.random.Generator) -> None:
    operator = _operator(model, rng)
    operator.inputs = list(operator.inputs)[: int(rng.integers(len(operator.inputs)))]


def _absent_input(model: Any, rng: np.random.Generator) -> None:
    operator = _operator(model, rng)
    inputs = list(operator.inputs)
    inputs[int(rng.integers(len(inputs)))] = -1
    operator.inputs = inputs


def _any_input(model: Any, rng: np.random.Generator) -> None:
    graph = _pick(model.subgraphs, rng)
    operator = _pick(graph.operators, rng)
    inputs = list(operator.inputs)
    inputs[int(rng.integers(len(inputs)))] = int(rng.integers(-3, len(graph.tensors) + 3))
    operator.inputs = inputs


def _other_options(model: Any, rng: np.random.Generator) -> None:
    operator = _operator(model, rng)
    operator.builtinOptionsType = schema.BuiltinOptions.Pool2DOptions
    operator.builtinOptions = schema.Pool2DOptionsT()


def _other_value(model: Any, rng: np.random.Generator) -> None:
    options = _operator(model, rng).builtinOptions
    names = [k for k, v in vars(options or object()).items() if type(v) is int] if options is not None else []
    if names:
        setattr(options, _pick(names, rng), int(_pick((-1, 0, 7, 100, 127), rng)))


def _constant_of_another_size(model: Any, rng: np.random.Generator) -> None:
    buffer = _pick(model.buffers, rng)
    buffer.data = np.frombuffer(rng.bytes(int(rng.integers(0, 80))), np.uint8)


def _quantisation(model: Any, rng: np.random.Generator) -> None:
    made = schema.QuantizationParametersT()
    made.scale = [float(_pick((0.0, -1.0, float("nan"), float("inf"), 1e-38, 1.0), rng))] * int(rng.integers(0, 4))
    made.zeroPoint = [int(_pick((-(2**40), 0, 300), rng))] * int(rng.integers(0, 4))
    made.quantizedDimension = int(rng.integers(-2, 9))
    _tensor(model, rng).quantization = made


def _another_graph(model: Any, rng: np.random.Generator) -> None:
    model.subgraphs.append(model.subgraphs[0])


def _no_graph(model: Any, rng: np.random.Generator) -> None:
    model.subgraphs = []


def _runs_itself(model: Any, rng: np.random.Generator) -> None:
    operator = model.subgraphs[-1].operators[0]
    operator.builtinOptionsType = schema.BuiltinOptions.WhileOptions
    operator.builtinOptions = schema.WhileOptionsT()
    operator.builtinOptions.condSubgraphIndex = operator.builtinOptions.bodySubgraphIndex = len(model.subgraphs) - 1
    code = model.operatorCodes[operator.opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.WHILE


def _wrong_graph(model: Any, rng: np.random.Generator) -> None:
    options = model.subgraphs[0].operators[0].builtinOptions
    if hasattr(options, "bodySubgraphIndex"):
        options.bodySubgraphIndex = int(_pick((-1, 0, 3, 2**30), rng))


def _wrong_signature(model: Any, rng: np.random.Generator) -> None:
    for signature in model.signatureDefs or ():
        signature.subgraphIndex = int(_pick((1, 3, 2**31), rng))


def _version(model: Any, rng: np.random.Generator) -> None:
    model.version = int(_pick((0, 1, 2, 4, 2**31), rng))


KNOWING: tuple[Knowing, ...] = (
    _set_tensor(buffer=10_000),
    _set_tensor(shape=[2**31 - 1, 2**31 - 1, 2**31 - 1]),
    _set_tensor(shape=[-1, 4]),
    _set_tensor(shape=[1] * 70),
    _set_tensor(shape=[2**20, 2**10]),
    _set_tensor(name=b"\xff\xfe\x1b[31m"),
    _set_tensor(isVariable=True),
    _set_tensor(type=200 - 256),
    _set_operator(opcodeIndex=500),
    _set_operator(inputs=[]),
    _set_operator(outputs=[]),
    _set_operator(outputs=[-1]),
    _set_operator(inputs=[0] * 300),
    _set_operator(inputs=[2**31 - 1]),
    _set_operator(builtinOptions=None, builtinOptionsType=0),
    _set_operator(customOptions=[255] * 40),
    _set_operator(intermediates=[99]),
    _set_graph(inputs=[]),
    _set_graph(outputs=[]),
    _set_graph(inputs=[1000]),
    _set_graph(outputs=[-5]),
    _set_graph(operators=[]),
    _set_graph(tensors=[]),
    _set_code(version=1000),
    _set_code(version=-1),
    _set_code(customCode=b"Flex" * 50),
    _any_operator_code,
    _any_shape,
    _any_type,
    _circle,
    _reversed_order,
    _same_output,
    _drop_inputs,
    _absent_input,
    _any_input,
    _other_options,
    _other_value,
    _constant_of_another_size,
    _quantisation,
    _another_graph,
    _no_graph,
    _runs_itself,
    _wrong_graph,
    _wrong_signature,
    _version,
)


def _packed(model: Any) -> bytes:
    """Written without any check, so that the damage arrives."""
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def mutations(originals: dict[str, bytes], count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Damaged files with what was done to them; two in three blindly, one knowingly."""
    rng = np.random.default_rng(seed)
    names = sorted(originals)
    for number in range(count):
        name = names[number % len(names)]
        if number % 3:
            how = BLIND[int(rng.integers(len(BLIND)))]
            yield f"{number}:{name}:{how.__name__}", how(bytearray(originals[name]), rng)
            continue
        place = (number // 3) % len(KNOWING)
        model = schema.ModelT.InitFromPackedBuf(bytearray(originals[name]), 0)
        KNOWING[place](model, rng)
        yield f"{number}:{name}:knowing {place}", _packed(model)
