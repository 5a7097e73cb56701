"""Runs torch models of every kind the loader knows as a `Runner`."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters import frameworks, torch_patches
from converters.spec import Arrays, PartSpec, Runner


def torch_runner(module: Any, spec: PartSpec) -> Runner:
    """A runner of an `nn.Module`, `ScriptModule` or `ExportedProgram`; integer outputs come back as int32."""
    torch = frameworks.torch()
    program = module if isinstance(module, torch.export.ExportedProgram) else None
    runnable = module if program is None else program.module()
    dtypes: list[Any] = [None] * len(spec.inputs)
    if program is not None:
        values = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
        dtypes = [values[name].dtype for name in program.graph_signature.user_inputs]

    def run(arrays: Arrays) -> dict[str, np.ndarray]:
        inputs = [torch.from_numpy(np.ascontiguousarray(arrays[t.name])) for t in spec.inputs]
        inputs = [x if dtype is None else x.to(dtype) for x, dtype in zip(inputs, dtypes, strict=True)]
        with torch.no_grad():
            if program is None:
                with torch_patches.evaluation_mode(module):
                    result = runnable(*inputs)
            else:
                result = runnable(*inputs)
        results = result if isinstance(result, (tuple, list)) else (result,)
        found = {t.name: r.detach().numpy() for t, r in zip(spec.outputs, results, strict=True)}
        return {n: a.astype(np.int32) if a.dtype == np.int64 else a for n, a in found.items()}

    return run
