"""Positions, n-gram hashes, pooling and attention against numbers worked out by hand or by Keras."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.errors import ConfigError
from nlp_suite.layers.ngrams import ngram_ids
from nlp_suite.layers.positions import rotate, sinusoidal, token_positions
from nlp_suite.layers.self_attention import SelfAttention
from nlp_suite.layers.sequence_pooling import SequencePooling
from nlp_suite.layers.word_dropout import WordDropout


def numpy(x):
    return ops.convert_to_numpy(x)


def test_ngrams_of_a_row_depend_on_their_words_only():
    ids = numpy(ngram_ids(np.array([[5, 6, 7, 0, 0], [9, 5, 6, 7, 0]], "int32"), 2, 1000))
    assert (ids[0, :2] == ids[1, 1:3]).all() and ids[0, 0] != ids[0, 1]
    assert (ids[0, 2:] == 0).all() and (ids[1, 3:] == 0).all(), "no n-gram reaches into the padding"
    assert (
        numpy(ngram_ids(np.array([[5, 6]], "int32"), 2, 1000))[0, 0]
        != numpy(ngram_ids(np.array([[6, 5]], "int32"), 2, 1000))[0, 0]
    )


def test_ngram_buckets_are_used_evenly_and_never_overflow():
    random = np.random.default_rng(0)
    ids = numpy(ngram_ids(random.integers(1, 60_000, (100, 500)).astype("int32"), 3, 2**20))
    assert ids.min() >= 0 and ids.max() < 2**20
    counts = np.bincount(ids[ids > 0] % 64, minlength=64)
    assert np.abs(counts - counts.mean()).max() < 5 * counts.mean() ** 0.5, "as even as chance"


def test_word_dropout_makes_tokens_unknown_in_training_only():
    layer, tokens = WordDropout(0.5), np.tile(np.array([[5, 6, 7, 8, 0]], "int32"), (500, 1))
    assert (numpy(layer(tokens, training=False)) == tokens).all() and (numpy(layer(tokens)) == tokens).all()
    dropped = numpy(layer(tokens, training=True))
    assert (dropped[:, 4] == 0).all() and set(np.unique(dropped)) == {0, 1, 5, 6, 7, 8}
    assert 0.45 < (dropped[:, :4] == 1).mean() < 0.55
    assert not (numpy(layer(tokens, training=True)) == dropped).all()


def test_sinusoidal_is_the_formula():
    vector = numpy(sinusoidal(np.array([[0, 3]], "int32"), 4))
    np.testing.assert_allclose(vector[0, 0], [0, 0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(vector[0, 1], [np.sin(3), np.sin(0.03), np.cos(3), np.cos(0.03)], rtol=1e-5)


def test_rotary_products_depend_on_the_distance_only():
    random = np.random.default_rng(0)
    q, k = random.normal(size=(2, 1, 1, 1, 8)).astype("float32")

    def product(i, j):
        return float(np.sum(numpy(rotate(q, np.array([[i]]))) * numpy(rotate(k, np.array([[j]])))))

    assert product(5, 2) == pytest.approx(product(9, 6), abs=1e-5)
    assert product(5, 2) != pytest.approx(product(5, 4), abs=1e-3)


@pytest.mark.parametrize("dtype, allowed", [("bfloat16", 0.03), ("float16", 0.004)])
def test_rotary_is_precise_in_half_precision_at_any_position(dtype, allowed):
    x = np.random.default_rng(0).normal(size=(1, 1, 1, 64)).astype("float32")
    half = ops.cast(rotate(ops.cast(x, dtype), np.array([[399]])), "float32")
    assert np.abs(numpy(half) - numpy(rotate(x, np.array([[399]])))).max() < allowed


def test_pooling_by_hand():
    x = np.array([[[1.0, -4.0], [3.0, -2.0], [99.0, 99.0]]], "float32")
    mask = np.array([[True, True, False]])

    def pool(*kinds, **settings):
        return numpy(SequencePooling(kinds, **settings)(x, mask=mask))[0].tolist()

    assert pool("first") == [1, -4] and pool("mean") == [2, -3] and pool("max") == [3, -2] and pool("last") == [3, -2]
    assert pool("last", bidirectional=True) == [3, -4]
    assert pool("max", "mean") == [3, -2, 2, -3]
    low, high = pool("attention")
    assert 1 <= low <= 3 and -4 <= high <= -2
    with pytest.raises(ConfigError, match="last, mean, max, attention"):
        SequencePooling(["median"])


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_is_keras_multi_head_attention(causal):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 5, 8)).astype("float32")
    mask = np.array([[True] * 5, [True, True, True, False, False]])
    ours = SelfAttention(heads=2, causal=causal)
    positions = token_positions(mask)
    ours(x, mask=mask, positions=positions)
    theirs = keras.layers.MultiHeadAttention(2, 4)
    theirs(x, x)
    kernel, bias = map(numpy, (ours.fused.kernel, ours.fused.bias))
    out, out_bias = map(numpy, (ours.projection.kernel, ours.projection.bias))
    projections = [(k.reshape(8, 2, 4), b.reshape(2, 4)) for k, b in zip(np.split(kernel, 3, 1), np.split(bias, 3))]
    theirs.set_weights(
        [w for pair in (projections[0], projections[1], projections[2]) for w in pair]
        + [out.reshape(2, 4, 8), out_bias]
    )
    expected = numpy(theirs(x, x, attention_mask=mask[:, None, :], use_causal_mask=causal))
    actual = numpy(ours(x, mask=mask, positions=positions))
    np.testing.assert_allclose(actual[mask], expected[mask], atol=1e-5)
