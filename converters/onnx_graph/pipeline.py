"""The ordered passes between the exporter and onnx2tf, each checked against the graph before it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters import parity
from converters.bisect import first_divergence_onnx
from converters.errors import ParityError
from converters.onnx_graph import (
    channel_gathers,
    conv_bias,
    decompose,
    dense_groups,
    few_outputs,
    flips,
    fold_constants,
    fold_scales,
    gather_down,
    gather_up,
    int32_indices,
    lift_rank,
    linear_attention,
    matrix_forms,
    nearest_upsampling,
    normalisation,
    packed_projections,
    polyphase,
    renumber,
    restore_slices,
    row_gathers,
    split_groups,
    transposes,
    value_pads,
)
from converters.onnx_graph.graph import Graph
from converters.onnx_graph.pass_types import OnnxPass, PassResult, RewriteOptions
from converters.onnx_graph.run import graph_runner
from converters.onnx_graph.stored_model import StoredModel
from converters.spec import Arrays, Interface, Layout, PartSpec

PASSES: tuple[OnnxPass, ...] = (
    OnnxPass(name=fold_constants.NAME, apply=fold_constants.apply),
    OnnxPass(name=int32_indices.NAME, apply=int32_indices.apply, after=("fold_constants",)),
    OnnxPass(name=row_gathers.NAME, apply=row_gathers.apply, after=("int32_indices",)),
    OnnxPass(name=nearest_upsampling.NAME, apply=nearest_upsampling.apply, after=("fold_constants",)),
    OnnxPass(name=normalisation.NAME, apply=normalisation.apply, after=("fold_constants",)),
    OnnxPass(name=decompose.NAME, apply=decompose.apply, after=("normalisation",)),
    OnnxPass(name=matrix_forms.NAME, apply=matrix_forms.apply, after=("fold_constants",)),
    OnnxPass(name=fold_scales.NAME, apply=fold_scales.apply, after=("decompose",)),
    OnnxPass(name=dense_groups.NAME, apply=dense_groups.apply, after=("fold_scales",)),
    OnnxPass(name=linear_attention.NAME, apply=linear_attention.apply, after=("normalisation",)),
    OnnxPass(name=transposes.NAME, apply=transposes.apply, after=("linear_attention",)),
    OnnxPass(name=flips.NAME, apply=flips.apply, after=("fold_constants",)),
    OnnxPass(name=channel_gathers.NAME, apply=channel_gathers.apply, after=("flips",)),
    OnnxPass(name=packed_projections.NAME, apply=packed_projections.apply, after=("channel_gathers",)),
    OnnxPass(name=gather_up.NAME, apply=gather_up.apply, after=("channel_gathers", "linear_attention")),
    OnnxPass(name=gather_down.NAME, apply=gather_down.apply, after=("gather_up",)),
    OnnxPass(name=restore_slices.NAME, apply=restore_slices.apply, after=("gather_down",)),
    OnnxPass(name=polyphase.NAME, apply=polyphase.apply, after=("gather_down",)),
    # Behind the passes that let slices move: a slice that moved up would split what is before the convolution as well.
    OnnxPass(name=split_groups.NAME, apply=split_groups.apply, after=("restore_slices",)),
    OnnxPass(name=few_outputs.NAME, apply=few_outputs.apply, after=("polyphase",)),
    OnnxPass(name=conv_bias.NAME, apply=conv_bias.apply, after=("few_outputs", "normalisation")),
    OnnxPass(name=lift_rank.NAME, apply=lift_rank.apply, after=("restore_slices", "polyphase", "nearest_upsampling")),
    OnnxPass(name=value_pads.NAME, apply=value_pads.apply, after=("lift_rank",)),
    OnnxPass(name=renumber.NAME, apply=renumber.apply, after=("lift_rank",)),
)

MIN_SNR_DB = 90.0  # float32 in another order ends above 105 dB on everything tried; a wrong pass below 60
MAX_ABS = 1e-6


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RewriteResult:
    """A rewritten graph.

    Attributes:
        stored: the graph, which waits on disk when it is large.
        interface: the part with the layouts of this graph's inputs and outputs.
        passes: what each pass did, in order.
        parity: agreement with the graph that went in; empty when no probe inputs were given.
    """

    stored: StoredModel
    interface: Interface
    passes: tuple[PassResult, ...]
    parity: parity.ParityReport

    @property
    def model(self) -> Any:
        """`onnx.ModelProto`; keep it no longer than it is needed."""
        return self.stored.load()


def rewrite(
    model: Any,
    spec: PartSpec,
    probe_inputs: Arrays | Sequence[Arrays] | None = None,
    *,
    options: RewriteOptions | None = None,
    passes: Sequence[OnnxPass] = PASSES,
    repro_dir: Path | None = None,
) -> RewriteResult:
    """Runs the passes.

    Args:
        model: exported graph (`converters.torch_to_onnx.export`); left untouched.
        spec: the part's static interface.
        probe_inputs: arrays in torch layout. With them the graph after every pass is compared with the one before, on
            random time-varying arrays of their kind, and the last graph with the first one on those and all probes.
        options: choices of this run.
        passes: the passes; `PASSES` unless a test says otherwise.
        repro_dir: directory a minimal reproduction is written to when a pass is at fault.

    Raises:
        ParityError: names the pass and the first diverging operator.
        UnsupportedOp: an operator has no faithful form.
        ShapeNotStatic: a shape depends on data.
    """
    options = options or RewriteOptions()
    probes = [] if probe_inputs is None else [probe_inputs] if isinstance(probe_inputs, dict) else list(probe_inputs)
    if probes:
        probes.insert(0, random_like(probes[0], seed=0))
    graph = Graph.from_model(model)
    del model  # the graph has its weights; they go where the caller does not keep it either
    before = (graph.copy(), Interface.torch(spec))
    first = _outputs(*before, probes)
    reference = first[:1]
    results = []
    for step in passes:
        if step.name in options.without:
            continue
        started = time.perf_counter()
        result = step.apply(graph, options)
        result = dataclasses.replace(result, seconds=time.perf_counter() - started)
        results.append(result)
        if probes and result.changed:
            after = (graph.copy(), interface_of(graph, spec))
            found = _outputs(*after, probes[:1])
            _check(step.name, before, after, reference, found, probes, repro_dir)
            before, reference = after, found
    interface = interface_of(graph, spec)
    report = parity.ParityReport(tensors={})
    for expected, found in zip(first, [*reference, *_outputs(graph, interface, probes[1:])], strict=True):
        report = report.combined(parity.compare(expected, found))
    parity.check(report, min_snr_db=MIN_SNR_DB, hop="onnx passes together", max_abs=MAX_ABS)
    del before
    written = graph.to_model()
    del graph
    return RewriteResult(stored=StoredModel(written), interface=interface, passes=tuple(results), parity=report)


def random_like(arrays: Arrays, *, seed: int) -> dict[str, np.ndarray]:
    """Random, time-varying arrays of the same kind: 0/1 masks keep a zero tail, integers stay in range."""
    rng = np.random.default_rng(seed)
    result = {}
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.integer):
            result[name] = rng.integers(array.min(), array.max() + 1, array.shape).astype(array.dtype)
        elif np.isin(array, (0.0, 1.0)).all():
            length = array.shape[-1]
            mask = np.ones_like(array)
            mask[..., length - length // 3 :] = 0.0
            result[name] = mask
        else:
            scale = float(np.std(array)) or 1.0
            result[name] = (rng.standard_normal(array.shape) * scale + np.mean(array)).astype(array.dtype)
    return result


def interface_of(graph: Graph, spec: PartSpec) -> Interface:
    """Layouts of the graph's inputs and outputs, read off their ranks."""
    layouts = {}
    for tensor in (*spec.inputs, *spec.outputs):
        shape = graph.shapes.get(tensor.name, tensor.shape)
        if len(shape) == len(tensor.shape):
            layouts[tensor.name] = Layout.identity(tensor.shape)
        else:
            layouts[tensor.name] = Layout(tuple(tensor.shape), tuple(shape), tuple(range(len(shape))))
    return Interface(spec=spec, layouts=layouts)


def _outputs(graph: Graph, interface: Interface, probes: Sequence[Arrays]) -> list[dict[str, np.ndarray]]:
    if not probes:
        return []
    run = graph_runner(graph, interface)
    return [run(probe) for probe in probes]


def _check(
    name: str,
    before: tuple[Graph, Interface],
    after: tuple[Graph, Interface],
    reference: Sequence[Arrays],
    found: Sequence[Arrays],
    probes: Sequence[Arrays],
    repro_dir: Path | None,
) -> None:
    for expected, outputs, probe in zip(reference, found, probes, strict=False):
        try:
            report = parity.compare(expected, outputs)
            parity.check(report, min_snr_db=MIN_SNR_DB, hop=f"onnx pass {name}", max_abs=MAX_ABS)
        except ParityError as error:
            sides = [(graph.to_model(), interface) for graph, interface in (before, after)]
            culprit = first_divergence_onnx(*sides, probe, repro_dir=repro_dir)
            raise ParityError(
                f"{error.message}; first diverging operator: {culprit.node}",
                where=culprit.node,
                hint=culprit.hint,
            ) from error
