"""The compression of a small vocoder, end to end."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from converters.keras_graph.run import keras_runner
from converters.tflite_graph.read import read_tflite
from converters.tflite_graph.run import tflite_runner
from tests.toolkit.compress.small_vocoder import small_inputs, small_vocoder
from toolkit.compress.run import compress_part
from toolkit.errors import RecipeError
from toolkit.recipe.schema import Compression, Finetune, PrecisionPolicy, PrecisionRule, Sparsity

CALIBRATION = small_inputs(9)
HELD_OUT = small_inputs(4, seed=7)


def _policy(*rules: tuple[str, str]) -> PrecisionPolicy:
    return PrecisionPolicy(
        default="int8", rules=tuple(PrecisionRule(match=m, use=u, because="chosen by the test") for m, u in rules)
    )


FLOAT_STREAM = _policy(
    ("dec/*", "float32"), ("dec.resblocks.*/Add*", "float32"), ("dec.conv_post", "float32"), ("dec.ups.0", "float32")
)


def _snr_db(tflite: bytes, relayered) -> float:
    reference = keras_runner(small_vocoder().model, relayered.interface)
    found = tflite_runner(tflite, relayered.interface)
    signal = noise = 0.0
    for arrays in HELD_OUT:
        expected, got = reference(arrays)["audio"], found(arrays)["audio"]
        inside = np.repeat(arrays["mask"], 4, axis=-1)
        signal += float(np.sum(np.square(expected * inside)))
        noise += float(np.sum(np.square((expected - got) * inside)))
    return 10 * np.log10(signal / noise)


def test_equalised_int8_is_closer_than_plain_int8_and_realised_as_asked():
    relayered = small_vocoder()
    plain = compress_part(relayered, FLOAT_STREAM, Compression(equalise=False), CALIBRATION)
    equalised = compress_part(relayered, FLOAT_STREAM, Compression(equalise=True), CALIBRATION)
    assert not equalised.audit.differences
    assert _snr_db(equalised.tflite, relayered) > _snr_db(plain.tflite, relayered) > 15
    graph = read_tflite(equalised.tflite)
    kinds = {op.kind: {graph.tensors[i].dtype for i in op.inputs if i >= 0} for op in graph.ops}
    assert kinds["TRANSPOSE_CONV"] == {"FLOAT32", "INT32"}, "a float operator must not keep 8-bit weights"


def test_same_recipe_gives_same_bytes_fine_tuning_included(tmp_path):
    relayered = small_vocoder()
    settings = Compression(finetune=Finetune(steps=6, segment_frames=16, loss="vocoder", learning_rate=1e-3))
    digests = []
    for _ in range(2):
        result = compress_part(relayered, FLOAT_STREAM, settings, CALIBRATION, seed=3)
        digests.append(hashlib.sha256(result.tflite).hexdigest())
    assert digests[0] == digests[1]
    assert result.tuned is not None and len(result.tuned.losses) == 6
    interrupted = settings.model_copy(
        update={"finetune": settings.finetune.model_copy(update={"checkpoint_every_steps": 2})}
    )

    def stop(stage: str, done: int, total: int, fact: str) -> None:
        if stage == "finetune" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress_part(
            relayered, FLOAT_STREAM, interrupted, CALIBRATION, seed=3, checkpoint_dir=tmp_path, on_progress=stop
        )
    resumed = compress_part(relayered, FLOAT_STREAM, interrupted, CALIBRATION, seed=3, checkpoint_dir=tmp_path)
    assert hashlib.sha256(resumed.tflite).hexdigest() == digests[0]


def test_rule_that_matches_nothing_is_an_error():
    with pytest.raises(RecipeError) as caught:
        compress_part(small_vocoder(), _policy(("dec.conv_pro", "float32")), Compression(), CALIBRATION)
    assert "dec.conv_pre" in caught.value.hint


def test_what_was_pruned_stays_zero_when_the_rest_is_trained(monkeypatch):
    judged = iter([1.0, 0.5])  # so that the result is kept, whatever four steps do
    monkeypatch.setattr("toolkit.compress.finetune._Trainer.held_out", lambda self, windows: next(judged))
    relayered = small_vocoder()
    settings = Compression(
        equalise=False,
        sparsity=Sparsity(target_ratio=0.5, steps=4, match="dec.conv_pre"),
        finetune=Finetune(steps=4, segment_frames=16, learning_rate=1e-3),
    )
    made = compress_part(relayered, FLOAT_STREAM, settings, CALIBRATION)
    pruned, trained = (
        part.model.get_layer("dec.conv_pre/Conv").get_weights()[0] for part in (made.sparse.relayered, made.relayered)
    )
    assert made.tuned.kept and not np.array_equal(pruned, trained)
    assert (pruned == 0).mean() >= 0.5
    np.testing.assert_array_equal(pruned == 0, trained == 0)
