"""The float chain of one zoo module, stage by stage, for tests of the later hops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.keras_graph.relayer import RelayeredModel, relayer
from converters.keras_to_tflite import to_tflite
from converters.onnx_graph.pass_types import RewriteOptions
from converters.onnx_graph.pipeline import rewrite
from converters.onnx_to_keras import KerasStage, to_keras
from converters.spec import Arrays, PartSpec
from converters.torch_to_onnx import export
from tests.model_zoo import BY_ID, ZooCase


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Every representation of one module."""

    case: ZooCase
    module: Any
    onnx: Any
    stage: KerasStage
    relayered: RelayeredModel

    def reference(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """What torch computes."""
        import torch

        with torch.no_grad():
            result = self.module(*[torch.from_numpy(inputs[t.name]) for t in self.case.spec.inputs])
        results = result if isinstance(result, tuple) else (result,)
        return {t.name: r.numpy() for t, r in zip(self.case.spec.outputs, results, strict=True)}

    def tflite(self) -> bytes:
        """The float32 file."""
        return to_tflite(self.relayered.model, self.relayered.interface)


def build(case: str | ZooCase, accelerator: str = "any") -> Chain:
    """Converts a zoo module, or one declared like one, up to the re-layered Keras model."""
    case = BY_ID[case] if isinstance(case, str) else case
    module = case.build()
    rewritten = rewrite(export(module, case.spec), case.spec, options=RewriteOptions(accelerator=accelerator))
    stage = to_keras(rewritten.model, rewritten.interface)
    return Chain(case=case, module=module, onnx=rewritten, stage=stage, relayered=relayer(stage))


def relayered_of(module: Any, spec: PartSpec) -> RelayeredModel:
    """The re-layered Keras model of a module as it is."""
    rewritten = rewrite(export(module, spec), spec)
    return relayer(to_keras(rewritten.model, rewritten.interface))
