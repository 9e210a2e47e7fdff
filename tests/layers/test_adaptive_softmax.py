"""AdaptiveSoftmax against the dense computation and automatic differentiation."""

import numpy as np
import pytest
from keras import backend

from nlp_suite.errors import ConfigError
from nlp_suite.layers.adaptive_softmax import AdaptiveSoftmax
from tests.layers import softmax_reference as reference
from tests.layers.softmax_reference import WIDTH, WORDS, numpy

by_name = pytest.mark.parametrize("name", [name for name in reference.SETTINGS if name.startswith("adaptive")])
on_tensorflow = pytest.mark.skipif(backend.backend() != "tensorflow", reason="about TensorFlow's graphs")


@by_name
@pytest.mark.parametrize("rows, length", [(1000, 23), (5, 23), (1, 7), (5, 1), (5, 0)])
def test_loss_and_gradients_are_the_dense_ones(name, rows, length):
    reference.check_loss(name, rows * WORDS, length)


@by_name
def test_no_token_is_dropped_where_all_are_in_one_cluster(name):
    gradients = reference.check_loss(name, 5 * WORDS, 23, np.random.default_rng(0).integers(25, WORDS, 23))
    assert np.abs(gradients["tail_1_bias"]).sum() > 1


@by_name
def test_clusters_without_a_token(name):
    gradients = reference.check_loss(name, 5 * WORDS, 23, np.random.default_rng(0).integers(0, 10, 23))
    for weight in gradients.keys() & {"tail_0_kernel", "tail_0_bias", "tail_1_kernel", "tail_1_projection"}:
        assert not gradients[weight].any(), weight


@by_name
def test_rows_of_weight_zero_do_not_matter(name):
    reference.check_weightless_rows(name)


def test_log_probs_by_hand():
    layer, _ = reference.make("adaptive")
    x = np.random.default_rng(3).normal(size=(2, 3, WIDTH)).astype("float32")
    head, *tails = (numpy(k) for k in layer.kernels)
    assert [k.shape for k in (head, *tails)] == [(12, 12), (15, 3), (25, 1)]

    def log_softmax(scores):
        return scores - np.log(np.exp(scores).sum(-1, keepdims=True))

    first = log_softmax(x @ head.T + numpy(layer.biases[0]))
    blocks = [first[..., :10]]
    for i, kernel in enumerate(tails):
        scores = x @ numpy(layer.projections[i]) @ kernel.T + numpy(layer.biases[i + 1])
        blocks.append(first[..., 10 + i : 11 + i] + log_softmax(scores))
    expected = np.concatenate(blocks, axis=-1)
    np.testing.assert_allclose(numpy(layer.log_probs(x)), expected, atol=1e-5)
    logits = numpy(layer.logits(x))
    np.testing.assert_allclose(log_softmax(logits), expected, atol=1e-5)
    np.testing.assert_allclose(logits[..., :10], (x @ head.T + numpy(layer.biases[0]))[..., :10], atol=1e-5)


@by_name
def test_probabilities_sum_to_one(name):
    layer, table = reference.make(name)
    log_probs = numpy(layer.log_probs(reference.tokens()[0], table))
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1, atol=1e-5)


@by_name
def test_mixed_precision_is_close(name):
    reference.check_mixed_precision(name)


@by_name
def test_round_trip(name, tmp_path):
    reference.check_round_trip(name, tmp_path)


@on_tensorflow
@by_name
def test_graph_with_unknown_length(name, tmp_path):
    reference.check_tensorflow_graph(name, tmp_path)


@on_tensorflow
@by_name
def test_memory_is_bounded_by_the_chunk(name):
    reference.check_memory_tensorflow(name)


@pytest.mark.parametrize("cutoffs", [[], [25, 10], [10, 10], [0, 10], [10, 50], [-3]])
def test_wrong_cutoffs_are_named(cutoffs):
    with pytest.raises(ConfigError, match=r"ascend and lie from 1 to 49 .*: got \["):
        AdaptiveSoftmax(WORDS, cutoffs)


def test_a_table_of_another_shape_is_refused():
    layer, table = reference.make("adaptive tied")
    with pytest.raises(ValueError, match=r"needs a table of shape \(50, 12\): got one of shape \(50, 11\)"):
        layer.log_probs(reference.tokens()[0], table[:, 1:])
    with pytest.raises(ConfigError, match="embedding_size"):
        AdaptiveSoftmax(WORDS, [10], tied=True)


def test_label_smoothing_is_refused():
    layer, _ = reference.make("adaptive")
    with pytest.raises(ConfigError, match=r"label_smoothing is 0.1: an adaptive softmax allows 0 only"):
        layer.loss(*reference.tokens(), label_smoothing=0.1)
