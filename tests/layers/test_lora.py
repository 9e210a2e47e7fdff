"""Low-rank updates of dense layers: their numbers and gradients by hand, merged as they were apart. Runs on every backend."""

import keras
import numpy as np
import pytest

from nlp_suite.layers.lora import add_update, merge_update, updated_layers, weights_without_updates

RANK, ALPHA = 2, 3.0
LAYERS = {  # constructor, shape of the input, inputs I and outputs O of the kernel as a matrix
    "dense": (lambda: keras.layers.Dense(5, "tanh"), (4, 3, 6), 6, 5),
    "dense without bias": (lambda: keras.layers.Dense(5, use_bias=False), (4, 6), 6, 5),
    "query of an attention": (lambda: keras.layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de"), (4, 3, 6), 6, 8),
    "output of an attention": (lambda: keras.layers.EinsumDense("abcd,cde->abe", (None, 7), bias_axes="e"), (4, 3, 2, 4), 8, 7),
}  # fmt: skip


def updated(name, rank=RANK):
    """A layer whose factors are not what they begin as, its input, and the matrices W, b, A, B."""
    make, shape, inputs, outputs = LAYERS[name]
    keras.utils.set_random_seed(3)
    layer, random = make(), np.random.default_rng(4)
    model = keras.Sequential([keras.Input(shape[1:]), layer])
    add_update(layer, rank, ALPHA)
    a, b = layer.update
    a.assign(random.normal(size=a.shape))
    b.assign(random.normal(size=b.shape))
    if layer.bias is not None:
        layer.bias.assign(random.normal(size=layer.bias.shape))
    w, a, b = (keras.ops.convert_to_numpy(v) for v in (layer.kernel, a, b))
    bias = np.zeros(outputs) if layer.bias is None else keras.ops.convert_to_numpy(layer.bias).reshape(outputs)
    x = random.normal(size=shape).astype("float32")
    return model, layer, x, (w.reshape(inputs, outputs), bias, a, b)


@pytest.mark.parametrize("name", LAYERS)
def test_a_step_is_that_of_a_computation_by_hand(name):
    model, layer, x, (w, bias, a, b) = updated(name)
    assert (a.shape, b.shape) == ((w.shape[0], RANK), (RANK, w.shape[1]))
    rows, scale = x.reshape(-1, w.shape[0]), ALPHA / RANK
    z = rows @ w + bias + scale * (rows @ a) @ b  # [N, O]
    y, slope = (np.tanh(z), 1 - np.tanh(z) ** 2) if name == "dense" else (z, 1)
    before = [keras.ops.convert_to_numpy(v).copy() for v in weights_without_updates(layer)]
    answer = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(answer.reshape(y.shape), y, atol=1e-5)

    target, rate = np.random.default_rng(5).normal(size=answer.shape).astype("float32"), 0.5
    model.compile(keras.optimizers.SGD(rate), "mse")
    model.train_on_batch(x, target)
    dz = 2 / y.size * (y - target.reshape(y.shape)) * slope
    after_a, after_b = (keras.ops.convert_to_numpy(v) for v in layer.update)
    np.testing.assert_allclose(after_a, a - rate * scale * rows.T @ dz @ b.T, atol=1e-5)
    np.testing.assert_allclose(after_b, b - rate * scale * (rows @ a).T @ dz, atol=1e-5)
    assert np.abs(after_a - a).max() > 1e-3 and np.abs(after_b - b).max() > 1e-3
    for weight, value in zip(weights_without_updates(layer), before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), value)


@pytest.fixture
def policy():
    """Sets the dtype policy of what is made next."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("name", ["dense", "output of an attention"])
@pytest.mark.parametrize("how", ["mixed_bfloat16", "mixed_float16", "xla", "accumulated"])
def test_however_it_is_trained_the_step_is_the_same(how, name, policy):
    def step(how):
        if how.startswith("mixed"):
            policy(how)
        model, layer, x, _ = updated(name)
        target = np.random.default_rng(5).normal(size=model(x).shape).astype("float32")
        halves = 2 if how == "accumulated" else 1
        optimizer = keras.optimizers.SGD(0.5, gradient_accumulation_steps=halves if halves > 1 else None)
        if how == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=2.0**8)
        model.compile(optimizer, "mse", jit_compile=how == "xla" and keras.backend.backend() != "torch")
        before = [keras.ops.convert_to_numpy(v).copy() for v in layer.weights]
        for half in range(halves):
            model.train_on_batch(x[half::halves], target[half::halves])
        after = [keras.ops.convert_to_numpy(v) for v in layer.weights]
        assert {v.dtype for v in layer.update} == {
            "float32"
        } and layer.compute_dtype == keras.config.dtype_policy().compute_dtype
        merge_update(layer)
        return [new - old for new, old in zip(after, before)], keras.ops.convert_to_numpy(layer.kernel)

    (expected, kernel), (found, merged) = step(""), step(how)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=(0.05 if how.startswith("mixed") else 1e-5) * np.abs(other).max())
    assert all(change.any() for change in expected[-2:]) and not any(change.any() for change in expected[:-2])
    np.testing.assert_allclose(merged, kernel, atol=(0.03 if how.startswith("mixed") else 1e-6) * np.abs(kernel).max())


@pytest.mark.parametrize("name", LAYERS)
def test_merged_it_is_the_layer_that_it_was_with_the_same_answers(name):
    model, layer, x, (w, _, a, b) = updated(name)
    plain = weights_without_updates(layer)
    apart = keras.ops.convert_to_numpy(model(x))
    assert updated_layers(model) == [layer] and len(model.weights) == len(plain) + 2
    merge_update(layer)
    assert type(layer) is type(LAYERS[name][0]()) and not updated_layers(model)
    assert [id(v) for v in model.weights] == [id(v) for v in plain]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model(x)), apart, atol=1e-5)
    merged = keras.ops.convert_to_numpy(layer.kernel).reshape(w.shape)
    np.testing.assert_allclose(merged, w + ALPHA / RANK * a @ b, atol=1e-5)
    copy = type(layer).from_config(layer.get_config())
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    np.testing.assert_allclose(keras.ops.convert_to_numpy(copy(x)), apart, atol=1e-5)


def test_at_first_nothing_is_changed_and_only_the_update_is_trained():
    dense = keras.layers.Dense(5, "relu")
    dense.build((None, 600))
    x = np.random.default_rng(1).normal(size=(4, 600)).astype("float32")
    before = keras.ops.convert_to_numpy(dense(x))
    add_update(dense, 4)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(dense(x)), before)
    a, b = map(keras.ops.convert_to_numpy, dense.update)
    assert [id(v) for v in dense.trainable_weights] == [id(v) for v in dense.update]
    assert dense.update_factor == 1 and not b.any()
    assert 0.9 < np.abs(a).max() * 600**0.5 <= 1  # uniform within ±1/√I


def test_what_cannot_be_updated_is_refused():
    built = keras.layers.Dense(5)
    built.build((None, 6))
    with pytest.raises(ValueError, match=r"rank 6 of 'dense.*': allowed: 1 to 5"):
        add_update(built, 6)
    add_update(built, 5)
    for layer in (built, keras.layers.Dense(5), keras.layers.LayerNormalization()):
        with pytest.raises(ValueError, match=r"is no built Dense or EinsumDense layer without an update"):
            add_update(layer, 2)
    transposed = keras.layers.EinsumDense("abc,dc->abd", (None, 5))
    transposed.build((None, 3, 6))
    with pytest.raises(ValueError, match=r"abc,dc->abd is no product of the input's last axes and a kernel"):
        add_update(transposed, 2)
