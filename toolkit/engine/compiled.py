"""Graphs of a bundle on LiteRT's compiled model: one packed copy of the weights, whatever the number of signatures.

The interpreter packs the weights of *every* signature of a file for its kernels (measured: 48 MB of 8-bit weights with
three signatures grow to 208 MB, 192 MB of float weights to 780). The compiled model takes a cache for packed weights
that signatures share (70 and 225 MB). Its inputs are edited in the memory LiteRT lends (``host_memory``): the token
step of a full-size model takes 8 ms so, and 20 ms on the interpreter's plain kernels (8-bit weights, 512 rows, two
threads).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.engine.bundle import GraphFact
from toolkit.engine.graphs import differing_interface, unusable
from toolkit.engine.host_memory import LentMemory
from toolkit.errors import EngineError

_IN_MEMORY = ":memory"  # what XNNPACK calls a cache without a file
# Flags of XNNPACK's delegate (tflite/delegates/xnnpack/xnnpack_delegate.h): int8 and uint8 operators and dynamic
# ranges, as by default, and indirection buffers that live for one operator only. A convolution wants 8 bytes for each
# weight position of each output frame: kept for all of them, a vocoder of 96 frames took 166 MiB, and takes 55 now.
_FLAGS = 0x01 | 0x02 | 0x08 | 0x20


class CompiledFile:
    """A ``.tflite`` file as one compiled model on the CPU.

    Args:
        path: the file.
        threads: of its kernels.

    Raises:
        EngineError: the file cannot be loaded.
    """

    def __init__(self, path: Path, *, threads: int) -> None:
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        from ai_edge_litert.options import CpuOptions, Options

        options = Options(
            hardware_accelerators=HardwareAccelerator.CPU,
            cpu_options=CpuOptions(num_threads=threads, xnnpack_weight_cache_path=_IN_MEMORY, xnnpack_flags=_FLAGS),
        )
        try:
            self._model = CompiledModel.from_file(str(path), options=options)
        except (RuntimeError, ValueError) as error:
            raise unusable(path.name, error) from error

    def graph(self, fact: GraphFact) -> CompiledGraph:
        """The graph of a signature.

        Raises:
            EngineError: it is not there, or is not what ``engine.json`` says.
        """
        return CompiledGraph(fact, self._model)


class CompiledGraph:
    """A signature of a compiled model; made by ``CompiledFile.graph``."""

    def __init__(self, fact: GraphFact, model: Any) -> None:
        self.fact = fact
        self._model = model
        signatures = model.get_signature_list()
        if fact.signature not in signatures:
            raise EngineError(
                f"the file has no signature {fact.signature!r}",
                code="engine/bundle",
                where=f"{fact.file}: {fact.name}",
                hint=f"it has: {', '.join(signatures) or 'none'}",
            )
        for role, details in (
            ("input", model.get_input_tensor_details(fact.signature)),
            ("output", model.get_output_tensor_details(fact.signature)),
        ):
            found = {name: (tuple(detail["shape"]), str(detail["dtype"])) for name, detail in details.items()}
            problem = differing_interface(fact, role, found)
            if problem is not None:
                raise problem
        self._lent: dict[str, LentMemory] = {}
        names = signatures[fact.signature]
        self._inputs = {name: model.create_input_buffer_by_name(fact.signature, name) for name in names["inputs"]}
        self._outputs = {name: model.create_output_buffer_by_name(fact.signature, name) for name in names["outputs"]}

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the graph.

        Args:
            feeds: inputs in torch's layout; one that is left out keeps its value.

        Returns:
            Outputs in torch's layout.

        Raises:
            EngineError: an input is unknown or of another shape, or the runtime refuses.
        """
        for name, value in feeds.items():
            self._inputs_of(name).write(self.fact.stored(name, value))
        try:
            self._model.run_by_name(self.fact.signature, self._inputs, self._outputs)
        except (RuntimeError, ValueError) as error:
            raise unusable(self.fact.name, error) from error
        found = {}
        for name, buffer in self._outputs.items():
            tensor = self.fact.tensors[name]
            shape = tensor.layout.target_shape
            flat = buffer.read(int(np.prod(shape)), np.dtype(tensor.dtype).type)
            found[name] = tensor.layout.to_torch(np.asarray(flat).reshape(shape))
        return found

    def edit(self, name: str, change: Callable[[np.ndarray], None]) -> None:
        """Lets ``change`` write into an input in place.

        Args:
            name: an input whose layout only permutes axes.
            change: gets the array in torch's layout, and must not keep it.

        Raises:
            EngineError: no such input, or its layout adds axes.
        """
        memory = self._lent.get(name)
        if memory is None:
            memory = self._lent[name] = self._memory(name)
        with memory as held:
            change(held)

    def _memory(self, name: str) -> LentMemory:
        buffer, tensor = self._inputs_of(name), self.fact.tensors[name]
        layout = tensor.layout
        if layout.expanded != layout.torch_shape:
            raise EngineError(f"input {name!r} cannot be edited in place", code="engine/graph", where=self.fact.name)
        axes = tuple(int(axis) for axis in np.argsort(layout.permutation))
        return LentMemory(buffer, layout.target_shape, tensor.dtype, axes)

    def _inputs_of(self, name: str) -> Any:
        if name not in self._inputs:
            raise EngineError(
                f"the graph has no input {name!r}",
                code="engine/graph",
                where=self.fact.name,
                hint=f"it has: {', '.join(self._inputs)}",
            )
        return self._inputs[name]
