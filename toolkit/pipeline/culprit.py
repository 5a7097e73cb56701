"""Turns a failed comparison into the name of the first operator that diverges, with a reproduction on disk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters import bisect, parity
from converters.errors import ParityError
from converters.onnx_graph.run import intermediates
from converters.spec import Arrays, Interface
from toolkit.pipeline.sources import SourcePart

if TYPE_CHECKING:
    from converters.keras_graph.relayer import RelayeredModel
    from converters.onnx_graph.pipeline import RewriteResult
    from converters.onnx_graph.stored_model import StoredModel
    from converters.onnx_to_keras import KerasStage


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """The representations a failing hop is bisected with; those before the last good one may have been let go.

    Attributes:
        part: what is converted.
        repro_dir: where a reproduction goes.
        exported: ONNX graph as torch wrote it; it may wait on disk.
        rewritten: ONNX graph after the passes.
        keras: Keras model as onnx2tf gave it.
        relayered: trainable Keras model.
        tflite: float32 flatbuffer.
    """

    part: SourcePart
    repro_dir: Path
    exported: StoredModel | None = None
    rewritten: RewriteResult | None = None
    keras: KerasStage | None = None
    relayered: RelayeredModel | None = None
    tflite: bytes | None = None

    def having(self, **representations: Any) -> Culprit:
        """A copy that knows one representation more."""
        return replace(self, **representations)

    def explain_failure(self, report: parity.ParityReport, hop: str, min_snr_db: float, max_abs: float) -> None:
        """Returns when the report holds; raises ParityError naming the first diverging operator when it does not."""
        try:
            parity.check(report, min_snr_db=min_snr_db, hop=f"{self.part.key}, {hop}", max_abs=max_abs)
        except ParityError as error:
            found = self._first_divergence()
            if found is None:
                where, detail = (
                    error.where,
                    "every operator that can be compared agrees; the outputs' order or layout is wrong",
                )
            else:
                where = found.node
                detail = f"first diverging operator {found.node!r} agrees to {found.snr_db:.1f} dB only"
            raise ParityError(
                f"{error.message}; {detail}",
                where=f"{self.part.key} → {where}",
                hint=f"a minimal reproduction is in {self.repro_dir}" if found else "report this as a defect",
            ) from error

    def _first_divergence(self) -> bisect.Divergence | None:
        arrays = self.part.probes[0]
        exported = None if self.exported is None else self.exported.load()
        if self.rewritten is None:
            interface = Interface.torch(self.part.spec)
            return bisect.first_divergence_torch(
                self.part.model, self.part.spec, exported, interface, arrays, repro_dir=self.repro_dir
            )
        if self.keras is None and self.relayered is None:
            before = (exported, Interface.torch(self.part.spec))
            after = (self.rewritten.model, self.rewritten.interface)
            return bisect.first_divergence_onnx(before, after, arrays, repro_dir=self.repro_dir)
        model, interface = self.rewritten.model, self.rewritten.interface
        reference = intermediates(model, interface, arrays)
        order = [node.name for node in model.graph.node]
        found = bisect.first_divergence(reference, self._candidate_values(model, arrays, reference), order=order)
        if found is not None:
            bisect.write_onnx_repro(
                model,
                interface,
                arrays,
                found.node,
                self.repro_dir,
                expected=reference[found.node],
            )
        return found

    def _candidate_values(self, model: Any, arrays: Arrays, reference: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.tflite is not None and self.relayered is not None:
            from converters.tflite_graph.run import tflite_intermediates

            return tflite_intermediates(self.tflite, self.relayered.interface, arrays, self.relayered.torch_names)
        if self.relayered is not None:
            from converters.keras_graph.run import keras_intermediates

            names = dict(self.relayered.torch_names)
            values = keras_intermediates(self.relayered.model, self.relayered.interface, arrays, list(names))
            return {names[layer]: value for layer, value in values.items()}
        from converters.onnx_to_keras import stage_intermediates

        return stage_intermediates(self.keras, model, reference, arrays)
