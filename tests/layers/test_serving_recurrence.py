"""Recurrent layers traced for a server: the values of training's loop for every right-padded mask, with fewer ops."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from nlp_suite.layers.gru import GRU
from nlp_suite.layers.loop_shapes import fixed_shapes
from nlp_suite.layers.lstm import LSTM
from nlp_suite.layers.serving_graph import serving_graph
from nlp_suite.layers.simple_rnn import SimpleRNN

FEATURES, UNITS = 4, 5
LENGTHS = [9, 3, 0, 1, 8]
LAYERS = {
    "rnn": lambda **options: SimpleRNN(UNITS, **options),
    "lstm": lambda **options: LSTM(UNITS, **options),
    "lstm of another activation": lambda **options: LSTM(UNITS, activation="relu", **options),
    "lstm without bias": lambda **options: LSTM(UNITS, use_bias=False, **options),
    "gru": lambda **options: GRU(UNITS, **options),
    "gru without bias": lambda **options: GRU(UNITS, use_bias=False, **options),
    "gru in Keras's other form": lambda **options: GRU(UNITS, reset_after=False, **options),
}
SIGNATURE = [tf.TensorSpec([None, None, FEATURES]), tf.TensorSpec([None, None], tf.bool)]


def built(layer):
    layer.build((None, None, FEATURES))
    draw = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(draw.normal(0, 0.5, weight.shape))
    return layer


X = tf.random.stateless_normal((len(LENGTHS), 9, FEATURES), (1, 2))
MASK = tf.sequence_mask(LENGTHS, 9)


def assert_same(function, atol=1e-6):
    """That a function has the same values, in the same types, without and within the context, run eagerly."""
    expected = keras.tree.flatten(function())
    with serving_graph():
        answers = keras.tree.flatten(function())
    for answer, value in zip(answers, expected, strict=True):
        assert answer.dtype == value.dtype
        np.testing.assert_allclose(tf.cast(answer, "float64"), tf.cast(value, "float64"), atol=atol)


def traced(layer, training=False):
    """The layer's graph for unknown shapes."""
    function = tf.function(
        lambda x, mask: layer(x, mask=mask, training=training), input_signature=SIGNATURE, autograph=False
    )
    return function.get_concrete_function()


def ops_of(function):
    definition = function.graph.as_graph_def()
    return {
        node.op for nodes in [definition.node, *(f.node_def for f in definition.library.function)] for node in nodes
    }


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("options", [{}, {"zero_output_for_mask": True}, {"go_backwards": True}], ids=str)
@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("mask", [MASK, None], ids=["masked", "whole"])
def test_the_same_values(name, options, sequences, mask):
    layer = built(LAYERS[name](return_sequences=sequences, return_state=True, **options))
    assert_same(lambda: layer(X, mask=mask))


@pytest.mark.parametrize("name", LAYERS)
def test_both_directions_from_given_states(name):
    layer = built(keras.layers.Bidirectional(LAYERS[name](return_sequences=True)))
    states = [tf.random.stateless_normal((len(LENGTHS), UNITS), (n, 0)) for n in range(4 if "lstm" in name else 2)]
    assert_same(lambda: layer(X, mask=MASK, initial_state=states))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype, atol", [("mixed_float16", 4e-3), ("mixed_bfloat16", 3e-2), ("float64", 1e-12)])
def test_other_precisions_from_given_states(name, dtype, atol):
    layer = built(keras.layers.Bidirectional(LAYERS[name](return_sequences=True, dtype=dtype), dtype=dtype))
    states = [tf.random.stateless_normal((len(LENGTHS), UNITS), (n, 0)) for n in range(4 if "lstm" in name else 2)]
    assert_same(lambda: layer(X, mask=MASK, initial_state=states), atol)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_a_graph_of_unknown_shapes(name):
    layer = built(LAYERS[name](return_sequences=True))
    with serving_graph():
        serving = traced(layer)
    assert serving.structured_outputs.shape.as_list() == [None, None, UNITS]
    for time in (1, 4, 9):
        np.testing.assert_allclose(
            serving(X[:, :time], MASK[:, :time]), layer(X[:, :time], mask=MASK[:, :time]), atol=1e-6
        )
    assert ("BlockLSTMV2" in ops_of(serving)) == (name == "lstm")
    assert bool(ops_of(serving) & {"While", "StatelessWhile"}) == (name == "gru")


def test_training_and_xla_keep_their_loop():
    layer = built(LSTM(UNITS, return_sequences=True))
    with serving_graph():
        assert "BlockLSTMV2" not in ops_of(traced(layer, training=True))
        with fixed_shapes():
            assert "BlockLSTMV2" not in ops_of(traced(layer))
