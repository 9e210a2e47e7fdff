"""DropConnect on recurrent weights: what is dropped, when, and by which implementation; on the backend that runs."""

import keras
import numpy as np
import pytest

from nlp_suite.errors import ConfigError
from nlp_suite.layers.gru import GRU
from nlp_suite.layers.lstm import LSTM
from nlp_suite.layers.simple_rnn import SimpleRNN
from tests.layers.recurrent_gradients import values_and_gradients

UNITS, FEATURES = 6, 4
X = np.random.default_rng(0).normal(size=(3, 8, FEATURES)).astype("float32")
MASK = np.arange(8) < np.array([[8], [3], [5]])
by_layer = pytest.mark.parametrize("layer_class", [SimpleRNN, LSTM, GRU], ids=lambda c: c.__name__)


def make(layer_class, rate=0.5, seed=7, **options):
    layer = layer_class(UNITS, return_sequences=True, recurrent_weight_dropout=rate, seed=seed, **options)
    layer.build((None, None, FEATURES))
    return layer


def recurrent_gradient(layer, training=True):
    _, gradients = values_and_gradients(layer, X, None, MASK, training)
    index = [w is layer.cell.recurrent_kernel for w in layer.trainable_weights].index(True)
    return gradients[1 + index]


@by_layer
def test_half_of_the_recurrent_weights_is_dropped_for_all_steps(layer_class):
    layer, plain = make(layer_class), make(layer_class, rate=0.0)
    dropped = recurrent_gradient(layer) == 0
    assert 0.3 < dropped.mean() < 0.7
    kernel = keras.ops.convert_to_numpy(layer.cell.recurrent_kernel)
    plain.set_weights(layer.get_weights())
    plain.cell.recurrent_kernel.assign(np.where(dropped, 0, kernel * 2))
    again = make(layer_class)  # the same seed: the same mask
    again.set_weights(layer.get_weights())
    (got,), _ = values_and_gradients(again, X, None, MASK, True)
    (expected,), _ = values_and_gradients(plain, X, None, MASK, True)
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(layer.cell.recurrent_kernel), kernel)


@by_layer
def test_it_is_off_outside_training_and_new_at_every_call(layer_class):
    layer, plain = make(layer_class), make(layer_class, rate=0.0)
    plain.set_weights(layer.get_weights())

    def run(layer, training):
        return keras.ops.convert_to_numpy(layer(X, mask=MASK, training=training))

    np.testing.assert_array_equal(run(layer, False), run(plain, False))
    np.testing.assert_array_equal(run(layer, None), run(plain, None))
    assert np.abs(run(layer, True) - run(layer, True)).max() > 1e-3


@by_layer
@pytest.mark.parametrize("options", [{}, {"unroll": True}, {"activation": "elu"}, {"reset_after": False}], ids=str)
def test_every_implementation_drops(layer_class, options):
    if "reset_after" in options and layer_class is not GRU:
        pytest.skip("an option of GRU")
    assert 0.3 < (recurrent_gradient(make(layer_class, **options)) == 0).mean() < 0.7
    assert (recurrent_gradient(make(layer_class, **options), training=False) == 0).mean() < 0.1


@by_layer
def test_through_bidirectional_and_its_configuration(layer_class):
    keras.utils.set_random_seed(1)  # the two directions draw seeds of their own
    layer = keras.layers.Bidirectional(layer_class(UNITS, recurrent_weight_dropout=0.5))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.forward_layer.recurrent_weight_dropout == again.backward_layer.recurrent_weight_dropout == 0.5
    again.build((None, None, FEATURES))
    for mask in (MASK, None):
        _, gradients = values_and_gradients(again, X, None, mask, True)
        kernels = [g for w, g in zip(again.trainable_weights, gradients[1:]) if w.name == "recurrent_kernel"]
        assert len(kernels) == 2 and all(0.3 < (kernel == 0).mean() < 0.7 for kernel in kernels)
        assert not np.array_equal(kernels[0] == 0, kernels[1] == 0)


@by_layer
def test_weights_go_to_keras_and_come_back(layer_class, tmp_path):
    def model(layer):
        x = keras.Input((None, FEATURES))
        return keras.Model(x, layer(x))

    theirs = getattr(keras.layers, layer_class.__name__)
    ours, keras_own = model(make(layer_class)), model(theirs(UNITS, return_sequences=True))
    ours.save_weights(tmp_path / "a.weights.h5")
    keras_own.load_weights(tmp_path / "a.weights.h5")
    expected = keras.ops.convert_to_numpy(ours(X))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(keras_own(X)), expected, atol=1e-6)
    keras_own.save_weights(tmp_path / "b.weights.h5")
    fresh = model(make(layer_class))
    fresh.load_weights(tmp_path / "b.weights.h5")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(fresh(X)), expected)


def test_a_rate_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"recurrent_weight_dropout must be in \[0, 1\), got 1.0"):
        LSTM(3, recurrent_weight_dropout=1.0)
    assert "recurrent_weight_dropout" not in LSTM(3).get_config()
