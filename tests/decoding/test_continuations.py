"""The K best continuations in two rounds are those of one sort, in the same order, equal ones too."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.decoding.continuations import Continuations
from tests.decoding.step_functions import tensor

STABLE = keras.backend.backend() != "torch"  # its top-k takes any of equal values


def by_one_sort(log_probs, live, forbidden, end_tokens, early):
    """One sort in NumPy: values [B, K], hypotheses, tokens."""
    batch, beams = live.shape
    values = log_probs.reshape(batch, beams, -1) + live[:, :, None]
    values[:, :, list(forbidden)] = -np.inf
    for row in np.flatnonzero(early):
        values[row][:, list(end_tokens)] = -np.inf
    values = values.reshape(batch, -1)
    order = np.argsort(-values, axis=1, kind="stable")[:, :beams]
    size = log_probs.shape[1]
    return np.take_along_axis(values, order, 1), order // size, order % size


@pytest.mark.parametrize("beams", [1, 4, 9])
@pytest.mark.parametrize("size", [5, 300, 1024, 2003, 8000])
@pytest.mark.parametrize("levels", [None, 4])
def test_against_one_sort(beams, size, levels):
    """Numbers of four levels are nearly all equal, so that the order of equals shows."""
    if levels and not STABLE:
        pytest.skip("top-k on PyTorch takes any of equal values")
    rng = np.random.default_rng(size + beams)
    batch = 6
    if levels:
        log_probs = rng.integers(-levels, 0, (batch * beams, size)).astype("float32")
        live = rng.integers(-2, 1, (batch, beams)).astype("float32")
    else:
        log_probs, live = (
            rng.normal(size=shape).astype("float32") for shape in ((batch * beams, size), (batch, beams))
        )
    log_probs[:, 1] += 20  # what is forbidden would win
    log_probs[:, size - 1] += 20
    live[0, 1:] = -np.inf
    early = np.array([True, False] * 3)
    for forbidden, end_tokens in (((0, 1, size - 1), (3,)), ((), ()), ((1,), ())):
        choose = Continuations(beams, size, forbidden, end_tokens)
        before_min = tensor(early, "bool") if end_tokens else None
        chosen = choose(ops.convert_to_tensor(log_probs), ops.convert_to_tensor(live), before_min)
        values, parents, tokens = (ops.convert_to_numpy(x) for x in chosen)
        expected = by_one_sort(log_probs.copy(), live, forbidden, end_tokens, early if end_tokens else early & False)
        exists = expected[0] > -np.inf
        np.testing.assert_array_equal(values, expected[0])
        np.testing.assert_array_equal(parents[exists], expected[1][exists])
        np.testing.assert_array_equal(tokens[exists], expected[2][exists])
        assert tokens.max() < size and parents.max() < beams


def test_more_hypotheses_than_continuations():
    choose = Continuations(20, 1030, forbidden=range(5, 1030))  # five tokens are left, of one hypothesis
    live = np.full((1, 20), -np.inf, "float32")
    live[0, 0] = 0
    log_probs = tensor(np.tile(-np.arange(1030), (20, 1)), "float32")
    values, _, tokens = (ops.convert_to_numpy(x)[0] for x in choose(log_probs, ops.convert_to_tensor(live)))
    assert values[:5].tolist() == [0, -1, -2, -3, -4] and np.isinf(values[5:]).all()
    assert tokens[:5].tolist() == [0, 1, 2, 3, 4] and tokens.max() < 1030
