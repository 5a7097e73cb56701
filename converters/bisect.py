"""Finds the first operator at which two representations of a part diverge, and saves it as a minimal reproduction.

Values meet by name: nodes carry torch names through the whole chain, and nodes whose channels a pass re-ordered or cut
apart say so in their metadata. Layouts (unit axes, channels last) are tried out; the best agreement counts.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters import frameworks, parity, torch_patches
from converters.onnx_graph.graph import Graph
from converters.onnx_graph.run import intermediates
from converters.spec import Arrays, Interface, PartSpec

MIN_SNR_DB = 80.0
_MAX_ABS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first operator that computes something else.

    Attributes:
        node: its torch-derived name.
        snr_db: agreement of its output.
        max_abs: largest difference of its output.
        hint: where the reproduction lies, or how to get one.
    """

    node: str
    snr_db: float
    max_abs: float
    hint: str = ""


def best_agreement(reference: np.ndarray, candidate: np.ndarray) -> parity.TensorParity | None:
    """Agreement under the best of the layouts the chain uses; None when no layout fits."""
    found: list[parity.TensorParity] = []
    forms = [candidate]
    if candidate.ndim == 4:
        forms.append(candidate.transpose(0, 3, 1, 2))
    elif candidate.ndim == 3:
        forms.append(candidate.transpose(0, 2, 1))
    packed = tuple(s for s in reference.shape if s != 1)
    for form in forms:
        if tuple(s for s in form.shape if s != 1) == packed:
            found.append(parity.compare_tensor(reference, form.reshape(reference.shape)))
    return max(found, key=lambda t: t.snr_db, default=None)


def first_divergence(
    reference: Arrays, candidate: Arrays, *, order: Iterable[str] = (), min_snr_db: float = MIN_SNR_DB
) -> Divergence | None:
    """The first of the named values, in ``order``, that differs.

    Args:
        reference: values by torch-derived name.
        candidate: values of the other representation under the same names, in any of the chain's layouts.
        order: names in the order of execution; the candidate's own order when empty.
        min_snr_db: agreement below which a value counts as different.
    """
    for name in order or candidate:
        if name not in reference or name not in candidate:
            continue
        agreement = best_agreement(np.asarray(reference[name]), np.asarray(candidate[name]))
        if agreement is not None and agreement.snr_db < min_snr_db and not agreement.max_abs <= _MAX_ABS:
            return Divergence(node=name, snr_db=agreement.snr_db, max_abs=agreement.max_abs)
    return None


def first_divergence_onnx(
    reference: tuple[Any, Interface], candidate: tuple[Any, Interface], arrays: Arrays, *, repro_dir: Path | None = None
) -> Divergence:
    """First diverging operator between two ONNX graphs of one part.

    Args:
        reference: the graph before and its interface.
        candidate: the graph after and its interface.
        arrays: probe inputs in torch layout.
        repro_dir: directory the operator is written to with its inputs.
    """
    before = _by_origin(reference[0], intermediates(*reference, arrays))
    after = intermediates(*candidate, arrays)
    divergence: Divergence | None = None
    for node in candidate[0].graph.node:
        expected = _expected(before, _metadata(node))
        if expected is None or node.name not in after:
            continue
        divergence = first_divergence({node.name: expected}, {node.name: after[node.name]})
        if divergence is not None:
            break
    if divergence is None:
        # Every value that can be compared agrees: the fault lies behind them, where the outputs are put together.
        output = candidate[0].graph.output[0].name
        node_name = next((n.name for n in candidate[0].graph.node if output in n.output), output)
        divergence = Divergence(node=node_name, snr_db=float("nan"), max_abs=float("nan"))
    hint = "run again with a directory for reproductions"
    if repro_dir is not None:
        write_onnx_repro(candidate[0], candidate[1], arrays, divergence.node, repro_dir)
        hint = f"the operator and its inputs are in {repro_dir}"
    return Divergence(node=divergence.node, snr_db=divergence.snr_db, max_abs=divergence.max_abs, hint=hint)


def first_divergence_torch(
    module: Any, spec: PartSpec, model: Any, interface: Interface, arrays: Arrays, *, repro_dir: Path | None = None
) -> Divergence | None:
    """First torch layer whose output the ONNX graph does not reproduce.

    Layers are compared by module path: the last node of a path computes the layer's output.
    """
    layers = torch_intermediates(module, spec, arrays)
    values = intermediates(model, interface, arrays)
    last: dict[str, str] = {}
    for node in model.graph.node:
        last[node.name.rpartition("/")[0]] = node.name
    named = {last[path]: value for path, value in layers.items() if path in last}
    order = [n.name for n in model.graph.node]
    comparable = {n.name for n in model.graph.node if "channels" not in _metadata(n) and _metadata(n)}
    divergence = first_divergence({k: v for k, v in named.items() if k in comparable}, values, order=order)
    if divergence is not None and repro_dir is not None:
        write_onnx_repro(model, interface, arrays, divergence.node, repro_dir, expected=named[divergence.node])
    return divergence


def torch_intermediates(module: Any, spec: PartSpec, arrays: Arrays) -> dict[str, np.ndarray]:
    """Output of every leaf layer of a module, by module path, in the order of execution."""
    torch = frameworks.torch()
    values: dict[str, np.ndarray] = {}
    hooks = []
    for path, submodule in module.named_modules():
        if any(True for _ in submodule.children()):
            continue

        def keep(_module: Any, _inputs: Any, output: Any, path: str = path) -> None:
            if isinstance(output, torch.Tensor):
                values[path or "forward"] = output.detach().numpy()

        hooks.append(submodule.register_forward_hook(keep))
    try:
        with torch.no_grad(), torch_patches.evaluation_mode(module):
            module(*(torch.from_numpy(np.asarray(arrays[t.name])) for t in spec.inputs))
    finally:
        for hook in hooks:
            hook.remove()
    return values


def write_onnx_repro(
    model: Any,
    interface: Interface,
    arrays: Arrays,
    node_name: str,
    directory: Path,
    *,
    expected: np.ndarray | None = None,
) -> Path:
    """Writes one node as a model of its own with the inputs it gets: ``model.onnx``, ``inputs.npz``, ``outputs.npz``.

    Returns:
        The directory, created where needed.
    """
    graph = Graph.from_model(model)
    node = next(n for n in graph.nodes if n.name == node_name)
    sources = [name for name in dict.fromkeys(node.inputs) if name and name not in graph.constants]
    producers = {name: graph.producer(name) for name in sources}
    inner = {p.name for p in producers.values() if p is not None}
    values = intermediates(model, interface, arrays, sorted({*inner, node_name}))
    feeds = {
        f"input_{index}": values[producer.name] if producer is not None else _graph_input(interface, arrays, name)
        for index, (name, producer) in enumerate(producers.items())
    }
    alone = Graph()
    alone.opset, alone.constants = graph.opset, graph.constants
    renamed = {name: f"input_{index}" for index, name in enumerate(sources)}
    node.inputs = [renamed.get(name, name) for name in node.inputs]
    alone.nodes, alone.inputs, alone.outputs = [node], list(renamed.values()), [node.output]
    for name, array in {**feeds, node.output: values[node_name]}.items():
        alone.shapes[name], alone.dtypes[name] = array.shape, array.dtype
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / "model.onnx", alone.to_model().SerializeToString())
    _write_npz(directory / "inputs.npz", feeds)
    outputs = {"found": values[node_name]} | ({} if expected is None else {"expected": expected})
    _write_npz(directory / "outputs.npz", outputs)
    return directory


def _graph_input(interface: Interface, arrays: Arrays, name: str) -> np.ndarray:
    layout = interface.layouts.get(name)
    return np.asarray(arrays[name]) if layout is None else layout.to_target(np.asarray(arrays[name]))


def _metadata(node: Any) -> dict[str, str]:
    return {p.key: p.value for p in node.metadata_props}


def _by_origin(model: Any, values: Mapping[str, np.ndarray]) -> dict[str, list[tuple[list[int] | None, np.ndarray]]]:
    """Values by the exported node they come from, each with the channels it holds."""
    result: dict[str, list[tuple[list[int] | None, np.ndarray]]] = {}
    for node in model.graph.node:
        metadata = _metadata(node)
        if "origin" in metadata and node.name in values:
            channels = json.loads(metadata["channels"]) if "channels" in metadata else None
            result.setdefault(metadata["origin"], []).append((channels, values[node.name]))
    return result


def _expected(
    before: Mapping[str, list[tuple[list[int] | None, np.ndarray]]], metadata: Mapping[str, str]
) -> np.ndarray | None:
    """The channels a node claims to compute, taken from the graph before."""
    wanted = json.loads(metadata["channels"]) if "channels" in metadata else None
    for channels, value in before.get(metadata.get("origin", ""), ()):
        if channels == wanted:
            return value
        if wanted is not None and value.ndim > 1:
            held = channels if channels is not None else list(range(value.shape[1]))
            if set(wanted) <= set(held):
                return value[:, [held.index(channel) for channel in wanted]]
    return None


def _write(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(name).replace(path)


def _write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    temporary.replace(path)
