"""Runs one TFLite file once: MODEL INPUTS.npz OUTPUTS.npz KERNELS, in a process of its own.

The same script runs here and under qemu on another Python, which has nothing but numpy and LiteRT: it imports nothing
of this project. KERNELS is ``xnnpack`` or ``reference``. Outputs are written whole or not at all, under the names of
the file's first signature, or of its tensors where it has none.
"""

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np

TENSOR = "tensor:"
"""Before the name of every input and output: a tensor may have any name."""
DELEGATED, MACHINE = "delegated", "machine"


def main(model, inputs, outputs, kernels):
    """Runs the file and writes its outputs, how many pieces XNNPACK took, and the machine's own name."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # The plain reference kernels lack the newest versions of a few operators; the next ones are no delegate either.
    resolvers = {
        "xnnpack": (OpResolverType.AUTO,),
        "reference": (OpResolverType.BUILTIN_REF, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES),
    }[kernels]
    for resolver in resolvers:
        try:
            interpreter = Interpreter(model_path=model, num_threads=1, experimental_op_resolver_type=resolver)
            interpreter.allocate_tensors()
            break
        except (RuntimeError, ValueError):
            if resolver is resolvers[-1]:
                raise
    with np.load(inputs, allow_pickle=False) as stored:
        given = {name[len(TENSOR) :]: stored[name] for name in stored.files}
    keys = list(interpreter.get_signature_list())
    if keys:
        found = interpreter.get_signature_runner(keys[0])(**given)
    else:
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], given[detail["name"]])
        interpreter.invoke()
        found = {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}
    kinds = Counter(op["op_name"] for op in interpreter._get_ops_details())
    answer = {TENSOR + name: array for name, array in found.items()}
    partial = Path(f"{outputs}.partial.npz")
    np.savez(partial, **answer, **{DELEGATED: np.array(kinds["DELEGATE"]), MACHINE: np.array(os.uname().machine)})
    partial.replace(outputs)


if __name__ == "__main__":
    main(*sys.argv[1:5])
