"""The graphs through the whole chain, and spoken with by the real engine, against torch."""

import dataclasses

import numpy as np
import pytest
import torch

from converters import parity
from converters.spec import Layout
from converters.tflite_graph.merge import merge_signatures
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.toolkit.models.gpt_sovits.semantic_bundle import convert, convert_graphs, write_bundle
from tests.toolkit.models.gpt_sovits.semantic_vectors import given, tiny_model
from toolkit.compress.run import compress_part
from toolkit.engine.compiled import CompiledFile
from toolkit.engine.graphs import LiteFile
from toolkit.engine.sampling import Sampler, SamplingSettings
from toolkit.engine.semantic import SemanticDecoder
from toolkit.errors import AuditError, EngineError
from toolkit.models.gpt_sovits.semantic_graphs import SemanticBuckets, engine_interface, semantic_graphs, step_probe
from toolkit.models.gpt_sovits.semantic_loop import generate
from toolkit.recipe.schema import Compression, PrecisionPolicy

BUCKETS = SemanticBuckets(prefill=((24, 16),), cache_rows=(48, 80))
WEIGHT_ONLY = PrecisionPolicy(default="int8-weights")


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    return convert(tiny_model(), BUCKETS, tmp_path_factory.mktemp("chain"), features=True)


@pytest.fixture(scope="module")
def compressed(converted):
    return {
        name: compress_part(item.float_part.relayered, WEIGHT_ONLY, Compression(), item.graph.probes)
        for name, item in converted.items()
    }


def _decode(folder, files, codes=40, change=lambda facts: facts, bert=True, step=CompiledFile, tell=engine_interface):
    model = tiny_model()
    alphas = [float(p.alpha) for p in (model.ar_text_position, model.ar_audio_position)]
    bundle = write_bundle(folder, model.config, change(alphas), files, tell=tell)
    opened = {}

    def graphs(fact):
        path = folder / fact.file
        kind = step if fact.kind == "t2s_step" else CompiledFile
        if kind not in opened:
            opened[kind] = kind(path, threads=1)
        return opened.setdefault(fact.name, opened[kind].graph(fact))

    phones, prompt, features = given()
    return SemanticDecoder(bundle, graphs).decode(
        phones[0].numpy().astype(np.int32),
        prompt[0].numpy().astype(np.int32),
        Sampler(SamplingSettings(top_k=1), np.random.default_rng(0)),
        bert=features[0].numpy() if bert else None,
        limit=codes,
    )


def _torch_codes(model, codes=40, bert=True):
    phones, prompt, features = given()
    sampler = Sampler(SamplingSettings(top_k=1), np.random.default_rng(0))
    found = generate(model, phones, prompt, sampler, bert=features if bert else None, steps_max=codes)
    return found.codes


def test_float_graphs_stay_near_torch(converted):
    for item in converted.values():
        rows = item.float_part.parity
        assert {row.to for row in rows} >= {"onnx", "keras", "tflite float32"}
        assert min(row.snr_db for row in rows) >= 100.0


def test_no_cache_is_transposed_and_no_token_costs_a_copy_of_it(converted):
    graph = read_tflite(converted["t2s_step_48"].float_part.tflite)
    assert "TRANSPOSE" not in {op.kind for op in graph.ops}
    caches = {index for index in graph.inputs if "cache" in graph.tensors[index].name}
    readers = {op.kind for op in graph.ops if caches & set(op.inputs)}
    assert (len(caches), readers) == (4, {"MUL"})


@pytest.mark.parametrize("step", [CompiledFile, LiteFile])
def test_engine_says_what_torch_says(tmp_path, converted, step):
    files = {n: (item.float_part.tflite, item.float_part.relayered.interface) for n, item in converted.items()}
    found = _decode(tmp_path / "right", files, step=step)
    np.testing.assert_array_equal(found.codes, _torch_codes(tiny_model()))
    assert len(found.codes) == 40  # 32 rows of text and prompt and 40 codes: the cache moved to its second bucket
    wrong = _decode(tmp_path / "wrong", files, change=lambda alphas: [alphas[0], alphas[1] * 0.5])
    assert not np.array_equal(wrong.codes, found.codes)


class _RowsTogether(torch.nn.Module):
    """The step as its file was before: ``[heads, C, head width]``."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def forward(self, token, position, attention_bias, *cache):
        return self.step(token, position, attention_bias, *(held.transpose(1, 2) for held in cache))


def test_bundle_whose_file_keeps_rows_together_is_read_as_such(tmp_path, converted):
    """As all bundles were before 2026-11-30; nothing but the layouts in engine.json tells them apart."""
    graph = next(semantic_graphs(tiny_model(), SemanticBuckets(prefill=(), cache_rows=(80,))))
    seen = engine_interface(converted[graph.name].float_part.relayered.interface)
    before = dataclasses.replace(
        graph, module=_RowsTogether(graph.module), spec=seen.spec,
        probes=tuple({n: a.swapaxes(1, 2) if "cache" in n else a for n, a in p.items()} for p in graph.probes),
    )  # fmt: skip
    made = {"t2s_prefill_40": converted["t2s_prefill_40"], **convert_graphs([before], tmp_path / "chain")}
    interface = made["t2s_step_80"].float_part.relayered.interface
    assert interface.layouts["k_cache_1"] == Layout.identity((4, 80, 16))
    assert seen.layouts["k_cache_1"] == Layout((4, 80, 16), (4, 80, 16), (0, 2, 1))
    files = {n: (item.float_part.tflite, item.float_part.relayered.interface) for n, item in made.items()}
    found = _decode(tmp_path / "bundle", files, tell=lambda interface: interface)
    np.testing.assert_array_equal(found.codes, _torch_codes(tiny_model()))
    # and a file of the one kind is not what engine.json says of the other
    mixed = files | {"t2s_step_80": (files["t2s_step_80"][0], seen)}
    with pytest.raises(EngineError, match=r"cache_0' is .*engine.json says") as caught:
        _decode(tmp_path / "mixed", mixed, tell=lambda interface: interface)
    assert caught.value.code == "engine/bundle"


def test_only_caches_stored_as_the_step_has_them_are_told_to_the_engine(converted):
    prefill = converted["t2s_prefill_40"].float_part.relayered.interface
    assert engine_interface(prefill) == prefill
    with pytest.raises(ValueError, match="k_cache_0 is stored as"):
        engine_interface(engine_interface(converted["t2s_step_48"].float_part.relayered.interface))


def test_bundle_without_features_says_what_torch_says_of_none(tmp_path):
    made = convert(tiny_model(), BUCKETS, tmp_path / "chain", features=False)
    files = {n: (item.float_part.tflite, item.float_part.relayered.interface) for n, item in made.items()}
    np.testing.assert_array_equal(
        _decode(tmp_path / "bundle", files, bert=False).codes, _torch_codes(tiny_model(), bert=False)
    )


def _rounded(model):
    """The model with every matrix rounded as the file rounds it."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            scale = parameter.abs().amax(1, keepdim=True) / 127
            assert torch.equal(parameter.data, parameter)
            parameter.data = (parameter / scale).round().clamp(-127, 127) * scale
        assert torch.isfinite(parameter).all(), name
    return model


def test_int8_weights_are_realised_and_near_the_float_graph(converted, compressed):
    for name, item in compressed.items():
        source = converted[name]
        assert not item.audit.differences
        kinds = {(row.kind, row.realised) for row in item.audit.rows if row.kind in ("FULLY_CONNECTED", "GATHER")}
        assert kinds == {("FULLY_CONNECTED", "int8-weights")}
        stored = [t for t in read_tflite(item.tflite).tensors if t.is_constant and len(t.shape) == 2 and t.nbytes > 512]
        assert stored and all(t.dtype == "INT8" and len(t.scales) == t.shape[0] for t in stored)
        assert len(item.tflite) < 0.36 * len(source.float_part.tflite)
        run = tflite_runner(item.tflite, item.relayered.interface)
        for probe, expected in zip(source.graph.probes, source.float_part.reference, strict=True):
            assert parity.compare(expected, run(probe)).worst_snr_db > 25.0


def test_bucket_files_share_their_int8_weights(compressed):
    pairs = [(name, item.tflite) for name, item in compressed.items()]
    steps = [pair for pair in pairs if pair[0].startswith("t2s_step")]
    alone = len(steps[0][1])
    assert len(merge_signatures(steps)) < 1.35 * alone  # a second step adds its operators, not its weights
    merged = merge_signatures(pairs)
    assert len(merged) < 0.72 * sum(len(content) for _, content in pairs)


def test_engine_speaks_with_int8_weights(tmp_path, compressed):
    files = {name: (item.tflite, item.relayered.interface) for name, item in compressed.items()}
    found = _decode(tmp_path, files, codes=12)
    assert len(found.codes) >= 11
    assert found.codes[0] == _torch_codes(_rounded(tiny_model()), codes=12)[0]


def test_rule_keeps_a_layer_in_float(converted):
    policy = PrecisionPolicy.model_validate(
        {
            "default": "int8-weights",
            "rules": [{"match": "ar_predict_layer", "use": "float32", "because": "the choice itself, for a test"}],
        }
    )
    item = converted["t2s_step_48"]
    made = compress_part(item.float_part.relayered, policy, Compression(), item.graph.probes)
    found = {row.op: row.realised for row in made.audit.rows if row.kind == "FULLY_CONNECTED"}
    assert {name: kind for name, kind in found.items() if kind == "float32"}.keys() == {
        name for name in found if "ar_predict_layer" in name
    }


def test_run_stops_when_int8_weights_are_not_realised(converted, monkeypatch):
    item = converted["t2s_step_48"]
    monkeypatch.setattr("toolkit.compress.run.store_int8_weights", lambda content, plan: content)
    with pytest.raises(AuditError, match=r"asked int8-weights, is float32"):
        compress_part(item.float_part.relayered, WEIGHT_ONLY, Compression(), item.graph.probes)


def test_linears_can_be_int8_throughout(converted):
    """Integer arithmetic for the matrix products of the layers; scores, norms, tables and logits stay in float."""
    reason = "for a test of the whole plan"
    rules = [
        {"match": match, "use": "int8", "because": reason}
        for match in ("h.layers.*.linear?", "h.layers.*_proj", "h.layers.*Relu", "forward/Concat*")
    ]
    item = converted["t2s_step_48"]
    model = tiny_model()
    calibration = [step_probe(model, item.graph.spec, share, seed) for seed, share in enumerate((0.3, 0.6, 0.8, 0.95))]
    policy = PrecisionPolicy.model_validate({"default": "float32", "rules": rules})
    made = compress_part(item.float_part.relayered, policy, Compression(equalise=False), calibration)
    linears = [row for row in made.audit.rows if row.kind == "FULLY_CONNECTED"]
    assert {row.realised for row in linears if "ar_predict_layer" not in row.op} == {"int8"}
    run = tflite_runner(made.tflite, made.relayered.interface)
    for probe, expected in zip(item.graph.probes, item.float_part.reference, strict=True):
        assert parity.compare(expected, run(probe)).worst_snr_db > 12.0
