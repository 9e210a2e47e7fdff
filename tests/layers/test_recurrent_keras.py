"""The recurrent layers against Keras's own, on the backend that runs: values, gradients, configuration, weights."""

import keras
import numpy as np
import pytest

from nlp_suite.layers.gru import GRU
from nlp_suite.layers.lstm import LSTM
from nlp_suite.layers.simple_rnn import SimpleRNN
from tests.layers.recurrent_gradients import values_and_gradients

LAYERS = [SimpleRNN, LSTM, GRU]
BATCH, TIME, FEATURES, UNITS = 4, 7, 5, 6
MASKS = {
    "none": None,
    "right": np.arange(TIME) < np.array([[7], [4], [1], [5]]),
    "any": np.random.default_rng(3).random((BATCH, TIME)) < 0.6,
    "empty row": np.array([[1] * 7, [0] * 7, [0, 0, 1, 0, 0, 1, 0], [0] * 6 + [1]], bool),
}
by_layer = pytest.mark.parametrize("layer_class", LAYERS, ids=lambda c: c.__name__)
by_mask = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)


def keras_class(layer_class):
    return getattr(keras.layers, layer_class.__name__)


def inputs(layer_class, seed=0, time=TIME):
    rng = np.random.default_rng(seed)
    count = 2 if layer_class is LSTM else 1
    states = [rng.normal(size=(BATCH, UNITS)).astype("float32") for _ in range(count)]
    return rng.normal(size=(BATCH, time, FEATURES)).astype("float32"), states


def twins(make_ours, make_keras, seed=1):
    """Two layers with the same random weights (biases too, which start as constants)."""
    ours, theirs = make_ours(), make_keras()
    rng = np.random.default_rng(seed)
    for layer in (ours, theirs):
        layer.build((BATCH, TIME, FEATURES))
    weights = [rng.normal(size=w.shape, scale=0.4).astype("float32") for w in ours.weights if "seed" not in w.path]
    for layer in (ours, theirs):
        for variable, weight in zip(layer.trainable_weights, weights, strict=True):
            variable.assign(weight)
    return ours, theirs


def assert_same(ours, theirs, x, states=None, mask=None, training=False, values=1e-6, gradients=1e-5):
    seen = [values_and_gradients(layer, x, states, mask, training) for layer in (ours, theirs)]
    for got, expected in zip(seen[0][0], seen[1][0], strict=True):
        np.testing.assert_allclose(got, expected, atol=values, rtol=values)
    for got, expected in zip(seen[0][1], seen[1][1], strict=True):
        np.testing.assert_allclose(got, expected, atol=gradients, rtol=gradients)
    assert max(np.abs(g).max() for g in seen[0][1]) > 1e-3


@by_layer
@by_mask
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("form", ["last", "sequences", "zeros"])
def test_values_and_gradients(layer_class, mask, go_backwards, form):
    options = {
        "go_backwards": go_backwards,
        "return_sequences": form != "last",
        "return_state": form != "zeros",
        "zero_output_for_mask": form == "zeros",
    }
    ours, theirs = twins(lambda: layer_class(UNITS, **options), lambda: keras_class(layer_class)(UNITS, **options))
    x, states = inputs(layer_class)
    if keras.backend.backend() == "jax" and mask is not None:
        states = None  # before the first step that counts, Keras puts out 0, but on JAX the initial state
    assert_same(ours, theirs, x, states, mask)


@by_layer
@by_mask
@pytest.mark.parametrize("sequences", [False, True])
def test_bidirectional(layer_class, mask, sequences):
    options = {"return_sequences": sequences, "return_state": sequences}
    ours, theirs = twins(
        lambda: keras.layers.Bidirectional(layer_class(UNITS, **options)),
        lambda: keras.layers.Bidirectional(keras_class(layer_class)(UNITS, **options)),
    )
    assert type(ours.forward_layer) is type(ours.backward_layer) is layer_class
    assert_same(ours, theirs, inputs(layer_class)[0], None, mask)


@by_layer
@by_mask
@pytest.mark.parametrize("rates", [(0.0, 0.4), (0.3, 0.0), (0.3, 0.4)], ids=["recurrent", "input", "both"])
def test_seeded_dropout(layer_class, mask, rates):
    options = {"dropout": rates[0], "recurrent_dropout": rates[1], "seed": 5, "return_sequences": True}

    def make(cls):
        return lambda: cls(UNITS, **options)

    x, _ = inputs(layer_class)
    assert_same(*twins(make(layer_class), make(keras_class(layer_class))), x, None, mask, training=True)
    assert_same(*twins(make(layer_class), make(keras_class(layer_class))), x, None, mask, training=False)


@by_layer
@pytest.mark.parametrize("activation", ["relu", "linear", "hard_sigmoid", "sigmoid", "elu"])
def test_activations(layer_class, activation):
    options = {"activation": activation}
    if layer_class is not SimpleRNN:
        options["recurrent_activation"] = "hard_sigmoid" if activation != "hard_sigmoid" else "tanh"
    ours, theirs = twins(lambda: layer_class(UNITS, **options), lambda: keras_class(layer_class)(UNITS, **options))
    assert ours.supports_explicit_loop() == (activation != "elu")
    assert_same(ours, theirs, *inputs(layer_class), mask=MASKS["right"], values=1e-5, gradients=1e-4)


@by_layer
@pytest.mark.parametrize(
    "options",
    [
        {"use_bias": False},
        {"unroll": True},
        {"implementation": 1, "dropout": 0.2, "seed": 3, "use_cudnn": False},
        {"reset_after": False},
    ],
    ids=lambda o: next(iter(o)),
)
def test_options(layer_class, options):
    if ("reset_after" in options and layer_class is not GRU) or (
        "implementation" in options and layer_class is SimpleRNN
    ):
        options = {}
    ours, theirs = twins(lambda: layer_class(UNITS, **options), lambda: keras_class(layer_class)(UNITS, **options))
    assert_same(ours, theirs, *inputs(layer_class), mask=MASKS["right"], training=True)


@by_layer
def test_one_step(layer_class):
    ours, theirs = twins(
        lambda: layer_class(UNITS, return_sequences=True),
        lambda: keras_class(layer_class)(UNITS, return_sequences=True),
    )
    assert_same(ours, theirs, *inputs(layer_class, time=1))
    assert_same(ours, theirs, inputs(layer_class, time=1)[0], mask=np.array([[1], [0], [1], [1]], bool))


@by_layer
def test_cell_does_single_steps(layer_class):
    layer = layer_class(UNITS, return_sequences=True)
    x, states = inputs(layer_class)
    expected = keras.ops.convert_to_numpy(layer(x, initial_state=states))
    states = [keras.ops.convert_to_tensor(s) for s in states]
    for t in range(TIME):
        output, states = layer.cell(x[:, t], states)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(output), expected[:, t], atol=1e-6)


@by_layer
def test_stateful(layer_class):
    ours, theirs = twins(
        lambda: layer_class(UNITS, stateful=True), lambda: keras_class(layer_class)(UNITS, stateful=True)
    )
    x, _ = inputs(layer_class)
    for _ in range(2):
        got, expected = (keras.ops.convert_to_numpy(layer(x)) for layer in (ours, theirs))
        np.testing.assert_allclose(got, expected, atol=1e-6)
    ours.reset_state()
    assert np.abs(keras.ops.convert_to_numpy(ours(x)) - got).max() > 1e-3


@by_layer
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(layer_class, policy):
    options = {"dtype": policy, "return_sequences": True}
    ours, theirs = twins(lambda: layer_class(UNITS, **options), lambda: keras_class(layer_class)(UNITS, **options))
    x, states = inputs(layer_class)
    compute = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(ours(x).dtype) == compute
    assert {w.dtype for w in ours.trainable_weights} == {"float32"}
    step = 2.0**-8 if compute == "bfloat16" else 2.0**-11
    exact = twins(lambda: layer_class(UNITS, return_sequences=True), lambda: keras_class(layer_class)(UNITS))[0]
    seen = [values_and_gradients(layer, x, states, MASKS["right"]) for layer in (ours, theirs, exact)]
    for kind in (0, 1):
        for got, keras_own, true in zip(*(s[kind] for s in seen), strict=True):
            size = np.abs(true).max()
            assert np.abs(got - true).max() < max(2 * np.abs(keras_own - true).max(), 4 * step * size)


@by_layer
def test_config_round_trip(layer_class):
    options = {"activation": "relu", "dropout": 0.1, "recurrent_dropout": 0.2, "return_sequences": True, "name": "r"}
    layer = layer_class(UNITS, **options)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is layer_class
    assert again.get_config() == layer.get_config()
    assert layer.get_config().keys() == keras_class(layer_class)(UNITS, **options).get_config().keys()
    assert keras.saving.get_registered_name(layer_class) == f"nlp_suite>{layer_class.__name__}"


@by_layer
def test_weights_are_interchangeable(layer_class, tmp_path):
    def model(cls):
        tokens = keras.Input((None,), dtype="int32")
        x = keras.layers.Embedding(11, FEATURES, mask_zero=True)(tokens)
        x = keras.layers.Bidirectional(cls(UNITS, return_sequences=True, name="a"))(x)
        return keras.Model(tokens, cls(UNITS, name="b")(x))

    ours, theirs = model(layer_class), model(keras_class(layer_class))
    ours.save_weights(tmp_path / "m.weights.h5")
    theirs.load_weights(tmp_path / "m.weights.h5")
    tokens = np.array([[3, 4, 5, 0], [2, 0, 0, 0], [9, 8, 7, 6]])
    expected = keras.ops.convert_to_numpy(theirs(tokens))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours(tokens)), expected, atol=1e-6)
    ours.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(loaded(tokens)), expected, atol=1e-6)


@by_layer
def test_padding_changes_nothing(layer_class):
    layer = keras.layers.Bidirectional(layer_class(UNITS))
    x, _ = inputs(layer_class)
    alone = keras.ops.convert_to_numpy(layer(x[1:2, :4]))
    padded = keras.ops.convert_to_numpy(layer(x, mask=MASKS["right"]))
    np.testing.assert_allclose(padded[1:2], alone, atol=1e-6)
