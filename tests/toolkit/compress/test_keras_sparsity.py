import numpy as np
import pytest

from converters import frameworks
from converters.keras_graph.relayer import RelayeredModel
from converters.keras_graph.run import keras_runner
from converters.keras_to_tflite import to_tflite
from converters.spec import Interface, Layout, PartSpec, TensorSpec
from converters.tflite_graph.read import read_tflite
from tests.toolkit.compress.small_parts import inputs, residual_part
from toolkit.compress.keras_sparsity import compressed_bytes, prune
from toolkit.errors import DataError, RecipeError
from toolkit.recipe.schema import Sparsity

STEPS = 12


def settings(**changes):
    return Sparsity(**{"target_ratio": 0.6, "steps": STEPS, "match": "dec.*", **changes})


@pytest.fixture(scope="module")
def part():
    return residual_part()


@pytest.fixture(scope="module")
def sparse(part):
    return prune(part, settings(), inputs(), seed=3)


def kernels(relayered):
    layers = relayered.model.layers
    return {layer.name: layer.get_weights()[0] for layer in layers if layer.name.endswith("/Conv")}


def test_the_ratio_is_reached_in_an_ordinary_model(part, sparse):
    names = [layer.name for layer in sparse.relayered.model.layers]
    assert names == [layer.name for layer in part.model.layers]
    assert {type(layer).__name__ for layer in sparse.relayered.model.layers} == {
        type(layer).__name__ for layer in part.model.layers
    }
    assert {row.op for row in sparse.rows} == set(kernels(part))
    for row in sparse.rows:
        kernel = kernels(sparse.relayered)[row.op]
        assert row.zero_ratio == pytest.approx(0.6, abs=0.01)
        assert np.mean(kernel == 0) == row.zero_ratio and not np.signbit(kernel[kernel == 0]).any()
        assert np.array_equal(kernel != 0, sparse.masks[row.op][0])
    dilated = sparse.relayered.model.get_layer("dec.resblocks.1.convs.0/Conv")
    assert dilated.dilation_rate == (1, 3) and type(dilated).__name__ == "Conv2D"


def test_training_moves_the_kept_weights_and_helps(part, sparse):
    before, after = kernels(part), kernels(sparse.relayered)
    name = "dec.resblocks.1.convs.0/Conv"
    assert not np.array_equal(before[name][after[name] != 0], after[name][after[name] != 0])
    trained = prune(part, settings(steps=60), inputs(), seed=3, learning_rate=1e-2)
    untrained = prune(part, settings(steps=1), inputs(), seed=3, learning_rate=0.0)

    def error(relayered):
        samples = inputs()
        pairs = [(keras_runner(m.model, m.interface)(s)["audio"] for m in (part, relayered)) for s in samples]
        return sum(float(np.sum((a - b) ** 2)) for a, b in pairs)

    assert error(trained.relayered) < 0.7 * error(untrained.relayered)
    assert [row.zero_ratio for row in trained.rows] == [row.zero_ratio for row in untrained.rows]


def test_the_float_model_is_left_alone(part, sparse):
    before = residual_part().model.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(part.model.get_weights(), before, strict=True))


def test_twice_the_same_bytes_and_progress_is_reported(part, sparse):
    seen = []
    again = prune(part, settings(), inputs(), seed=3, on_progress=lambda *step: seen.append(step))
    assert seen == [(step, STEPS, loss) for step, loss in enumerate(sparse.losses, 1)]
    assert to_tflite(again.relayered.model, part.interface) == to_tflite(sparse.relayered.model, part.interface)


def test_two_of_four_lie_along_the_input_channels_of_the_file(part, sparse):
    kernel = kernels(sparse.relayered)["dec.conv_pre/Conv"].transpose(3, 0, 1, 2)
    assert not np.all(np.sum(kernel.reshape(-1, 4) == 0, axis=1) == 2)  # unstructured zeros do not
    sparse = prune(part, settings(pattern="2:4", steps=3), inputs(), seed=0)
    assert all(row.zero_ratio == 0.5 and row.pattern == "2:4" for row in sparse.rows)
    graph = read_tflite(to_tflite(sparse.relayered.model, part.interface))
    stored = [graph.tensors[op.inputs[1]].data for op in graph.ops if op.kind == "CONV_2D"]
    assert len(stored) == 4
    for kernel in stored:  # [out, height, width, in]
        assert np.all(np.sum(kernel.reshape(-1, 4) == 0, axis=1) == 2)


def test_only_what_the_glob_names_is_pruned_or_changed_by_the_loss_given(part):
    def loss(wanted, found):
        return frameworks.tensorflow().reduce_mean(found[0] - wanted[0]) * 0.0 + 7.0

    sparse = prune(part, settings(match="dec.resblocks.*.convs.*", steps=2), inputs(), seed=0, loss=loss)
    assert sparse.losses == (7.0, 7.0)
    assert [row.op for row in sparse.rows] == ["dec.resblocks.0.convs.0/Conv", "dec.resblocks.1.convs.0/Conv"]
    for name in ("dec.conv_pre/Conv", "dec.conv_post/Conv"):
        assert np.array_equal(kernels(part)[name], kernels(sparse.relayered)[name])


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"match": "dec.conv_pra"}, "recipe/rule-matches-nothing"), ({"match": "dec/Relu"}, "sparsity/nothing-to-prune")],
)
def test_globs_that_prune_nothing_are_errors(part, changes, code):
    with pytest.raises(RecipeError) as caught:
        prune(part, settings(**changes), inputs(), seed=0)
    assert caught.value.code == code


def test_no_data_and_no_such_loss_are_errors(part):
    with pytest.raises(DataError):
        prune(part, settings(), [], seed=0)
    with pytest.raises(RecipeError, match="loss 'vocodr'"):
        prune(part, settings(), inputs(), seed=0, loss="vocodr")


@pytest.mark.parametrize("pattern", ["unstructured", "2:4"])
def test_dense_recurrent_and_other_kinds(pattern):
    keras = frameworks.tf_keras()
    layers = keras.layers
    start = keras.Input(batch_size=1, shape=(6, 8), name="x")
    x = layers.Dense(8, name="a/Gemm")(start)
    x = layers.LSTM(8, return_sequences=True, name="b/LSTM")(x)
    x = layers.Reshape((1, 6, 8), name="c/Reshape")(x)
    x = layers.DepthwiseConv2D((1, 3), padding="same", name="d/Conv")(x)
    x = layers.Conv2DTranspose(8, (1, 4), strides=(1, 2), padding="same", name="e/ConvTranspose")(x)
    model = keras.Model(start, x, name="m")
    draw = np.random.default_rng(0)
    model.set_weights([draw.standard_normal(w.shape).astype(np.float32) for w in model.get_weights()])
    spec = PartSpec(
        name="m", inputs=(TensorSpec(name="x", shape=(1, 6, 8)),), outputs=(TensorSpec(name="y", shape=(1, 1, 12, 8)),)
    )
    layouts = {t.name: Layout.identity(t.shape) for t in (*spec.inputs, *spec.outputs)}
    names = {layer.name: layer.name for layer in model.layers[1:]}
    relayered = RelayeredModel(model=model, interface=Interface(spec=spec, layouts=layouts), torch_names=names)
    data = [{"x": draw.standard_normal((1, 6, 8)).astype(np.float32)} for _ in range(2)]
    sparse = prune(relayered, Sparsity(target_ratio=0.5, pattern=pattern, steps=3), data, seed=0)
    pruned = ["a/Gemm"] if pattern == "2:4" else ["a/Gemm", "b/LSTM", "e/ConvTranspose"]
    assert [row.op for row in sparse.rows] == pruned
    assert all(row.zero_ratio == pytest.approx(0.5, abs=0.01) for row in sparse.rows)
    assert set(sparse.skipped) == {"a/Gemm", "b/LSTM", "d/Conv", "e/ConvTranspose"} - set(pruned)


def test_zeros_make_the_download_smaller_and_the_size_is_the_same_every_time():
    draw = np.random.default_rng(0)
    dense = draw.standard_normal(4096).astype(np.float32)
    sparse = np.where(draw.random(4096) < 0.7, 0, dense).astype(np.float32)
    assert compressed_bytes(sparse.tobytes()) < 0.5 * compressed_bytes(dense.tobytes())
    assert compressed_bytes(dense.tobytes()) == compressed_bytes(dense.tobytes())
