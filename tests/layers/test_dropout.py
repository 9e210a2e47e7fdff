"""Dropout by bytes: the rate of every element, the scale, and what has no dropout."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.layers.dropout import dropout, keep_mask


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.999])
@pytest.mark.parametrize("shape", [(60, 50, 16), (61, 37, 13)])
def test_dropped_share_and_scale(rate, shape):
    keras.utils.set_random_seed(1)
    layer, total = keras.layers.Dropout(rate, seed=2), 0.0
    for _ in range(40):  # the rates of single calls differ by 1/256
        dropped = ops.convert_to_numpy(dropout(layer, ops.full(shape, 2.0, "float32"), training=True))
        assert dropped.shape == shape
        np.testing.assert_allclose(dropped[dropped != 0], 2 / (1 - rate), rtol=1e-6)
        total += (dropped == 0).mean() / 40
    assert abs(total - rate) < 0.0015


def test_elements_and_calls_are_independent():
    layer = keras.layers.Dropout(0.25, seed=3)
    first, second = (ops.convert_to_numpy(keep_mask(layer, (4000, 8), "float32")) > 0 for _ in range(2))
    columns = np.concatenate([first, second], axis=1).astype(float)  # [4000, 16]
    correlation = np.corrcoef(columns.T) - np.eye(16)
    assert np.abs(correlation).max() < 0.08  # 5 standard deviations


def test_without_training_or_rate_nothing_changes():
    x = np.ones((2, 3), "float32")
    assert dropout(keras.layers.Dropout(0.5), x) is x
    assert dropout(keras.layers.Dropout(0.0), x, training=True) is x


def test_gradient_is_zero_where_dropped():
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("takes a gradient with TensorFlow")
    layer = keras.layers.Dropout(0.4, seed=4)

    @tf.function(input_signature=[tf.TensorSpec([None, None])])
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = dropout(layer, x, training=True)
        return y, tape.gradient(y, x)

    y, gradient = both(tf.ones((7, 9)))
    np.testing.assert_array_equal(y, gradient)
    assert not np.array_equal(y, both(tf.ones((7, 9)))[0])
