"""Several models in one TFLite file: a signature for each, equal weights stored once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from converters.errors import InputError
from converters.tflite_graph.buffers import compact
from converters.tflite_graph.flatbuffer import dump, load

# Options by which an operator names other graphs of the file.
_GRAPH_OPTIONS = (
    "condSubgraphIndex",
    "bodySubgraphIndex",
    "thenSubgraphIndex",
    "elseSubgraphIndex",
    "initSubgraphIndex",
)


def merge_signatures(models: Sequence[tuple[str, bytes]]) -> bytes:
    """One file with the given models, each under its key.

    Args:
        models: pairs of signature key and a file with exactly one signature (buckets of one part, as a rule).

    Raises:
        InputError: no model, a key twice, a damaged file, or one without exactly one signature.
    """
    keys = [key for key, _ in models]
    if not models or len(set(keys)) != len(keys):
        raise InputError("the models to merge need distinct signature keys", where=", ".join(keys))
    merged: Any = None
    for key, content in models:
        model = load(content, where=key)
        if len(model.signatureDefs or ()) != 1:
            count = len(model.signatureDefs or ())
            raise InputError(f"a model to merge has {count} signatures, not one", where=key)
        model.signatureDefs[0].signatureKey = key
        graph = model.subgraphs[model.signatureDefs[0].subgraphIndex]
        graph.name = key
        merged = model if merged is None else _append(merged, model)
    compact(merged)
    return dump(merged)


def _append(merged: Any, model: Any) -> Any:
    codes = [_merge_code(merged, code) for code in model.operatorCodes]
    buffers, graphs = len(merged.buffers), len(merged.subgraphs)
    merged.buffers.extend(model.buffers)
    for graph in model.subgraphs:
        for tensor in graph.tensors or ():
            tensor.buffer = int(tensor.buffer) + buffers
        for operator in graph.operators or ():
            operator.opcodeIndex = codes[operator.opcodeIndex]
            options = operator.builtinOptions
            for name in _GRAPH_OPTIONS:
                if hasattr(options, name):
                    setattr(options, name, getattr(options, name) + graphs)
            if type(options).__name__ == "CallOptionsT":
                options.subgraph += graphs
        merged.subgraphs.append(graph)
    for signature in model.signatureDefs:
        signature.subgraphIndex += graphs
        merged.signatureDefs.append(signature)
    return merged


def _merge_code(merged: Any, code: Any) -> int:
    def identity(item: Any) -> tuple[int, int, bytes]:
        return max(item.builtinCode, item.deprecatedBuiltinCode), int(item.version), item.customCode or b""

    for index, known in enumerate(merged.operatorCodes):
        if identity(known) == identity(code):
            return index
    merged.operatorCodes.append(code)
    return len(merged.operatorCodes) - 1
