"""FullSoftmax against the dense computation and automatic differentiation; both softmaxes on JAX and PyTorch."""

import numpy as np
import pytest
from keras import backend

from nlp_suite.errors import ConfigError
from nlp_suite.layers.full_softmax import FullSoftmax
from tests.backend_processes import run_tests_on
from tests.layers import softmax_reference as reference
from tests.layers.softmax_reference import WIDTH, WORDS, numpy

by_name = pytest.mark.parametrize("name", [name for name in reference.SETTINGS if name.startswith("full")])
on_tensorflow = pytest.mark.skipif(backend.backend() != "tensorflow", reason="about TensorFlow's graphs")


@by_name
@pytest.mark.parametrize("rows, length", [(1000, 23), (5, 23), (1, 7), (23, 23), (5, 1), (5, 0)])
def test_loss_and_gradients_are_the_dense_ones(name, rows, length):
    reference.check_loss(name, rows * WORDS, length)


@by_name
@pytest.mark.parametrize("rows, length", [(1000, 23), (5, 23), (5, 0)])
def test_smoothed_loss_and_gradients_are_the_dense_ones(name, rows, length):
    reference.check_loss(name, rows * WORDS, length, label_smoothing=0.3)


def test_smoothing_out_of_range_is_refused():
    layer, _ = reference.make("full")
    for wrong in (-0.1, 1.0):
        with pytest.raises(ConfigError, match=f"label_smoothing is {wrong}; allowed"):
            layer.loss(*reference.tokens(), label_smoothing=wrong)


@by_name
@pytest.mark.parametrize("rows, length", [(1000, 23), (5, 23), (5, 0)])
def test_best_words_come_with_the_nll(name, rows, length):
    layer, table = reference.make(name, chunk_elements=rows * WORDS)
    x, t, _ = reference.tokens(length)
    nll, best = layer.nll(x, t, table, best=True)
    np.testing.assert_array_equal(numpy(nll), numpy(layer.nll(x, t, table)))
    np.testing.assert_array_equal(numpy(best), numpy(layer.log_probs(x, table)).argmax(axis=1))


def test_a_chunk_holds_a_token_at_least():
    reference.check_loss("full", 1)


@by_name
def test_rows_of_weight_zero_do_not_matter(name):
    reference.check_weightless_rows(name)


def test_a_sure_token_has_no_negative_loss_in_mixed_precision():
    layer = FullSoftmax(WORDS, dtype="mixed_bfloat16")
    layer.build((None, WIDTH))
    random = np.random.default_rng(4)
    layer.kernel.assign(random.normal(size=(WORDS, WIDTH)).astype("float32") * 8)
    x = random.normal(size=(200, WIDTH)).astype("float32") * 8
    surest = numpy(layer.log_probs(x)).argmax(axis=1).astype("int32")
    _, nll = layer.loss(x, surest, np.ones(200, "float32"))
    assert numpy(layer.nll(x, surest)).min() >= -1e-5 and numpy(nll).min() >= -1e-5


def test_log_probs_by_hand():
    layer, _ = reference.make("full")
    x = tokens = np.random.default_rng(3).normal(size=(2, 3, WIDTH)).astype("float32")
    scores = tokens @ numpy(layer.kernel).T + numpy(layer.bias)
    expected = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    np.testing.assert_allclose(numpy(layer.log_probs(x)), expected, atol=1e-5)
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-5)
    np.testing.assert_allclose(numpy(layer.logits(x)), scores, atol=1e-5)


def test_large_logits_stay_finite():
    layer, _ = reference.make("full")
    x = np.full((2, WIDTH), 1e4, "float32")
    total, nll = layer.loss(x, np.array([0, 1], "int32"), np.ones(2, "float32"))
    assert np.isfinite(numpy(total)) and (numpy(nll) >= 0).all()


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


def test_wrong_tables_are_refused():
    with pytest.raises(ConfigError, match="embedding_size"):
        FullSoftmax(WORDS, tied=True)
    tied, table = reference.make("full tied")
    x, t, w = reference.tokens()
    with pytest.raises(ValueError, match=r"needs a table of shape \(50, 12\): got None"):
        tied.loss(x, t, w)
    with pytest.raises(ValueError, match=r"got one of shape \(49, 12\)"):
        tied.nll(x, t, table[:-1])
    with pytest.raises(ValueError, match="takes no table"):
        reference.make("full")[0].log_probs(x, table)


@pytest.mark.slow
@pytest.mark.parametrize("other", ["jax", "torch"])
def test_on_backend(other):
    files = ["tests/layers/test_full_softmax.py", "tests/layers/test_adaptive_softmax.py"]
    run_tests_on(other, files, "not 1-7 and not 5-1 and not 23-23")  # JAX compiles every size anew
