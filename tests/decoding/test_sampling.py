"""The choice of one token against NumPy written from the definitions."""

import numpy as np
import pytest
from keras import ops

from nlp_suite.decoding.noise import gumbel
from nlp_suite.decoding.sampling import Options, choose
from nlp_suite.errors import RequestError
from tests.decoding.step_functions import tensor


def log_softmax(logits):
    return (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype("float32")


def pick(log_probs, options, step=0, seen=None, forbidden=()):
    rows = len(log_probs)
    seen = np.full((rows, 1), 5) if seen is None else seen
    step = np.broadcast_to(step, (rows,))
    chosen = choose(ops.convert_to_tensor(log_probs), options, tensor(step), tensor(seen), forbidden)
    return ops.convert_to_numpy(chosen)


def transformers_penalty(logits, penalty, seen):
    """The RepetitionPenaltyLogitsProcessor of Transformers: of one row's logits, those of the tokens seen."""
    scores = logits.copy()
    tokens = sorted({token for token in seen if token >= 0})
    scores[tokens] = np.where(scores[tokens] < 0, scores[tokens] * penalty, scores[tokens] / penalty)
    return scores


def oracle(logits, temperature, top_k, top_p, penalty, seed, step, seen, forbidden):
    """One row by the definitions: the penalty, temperature, the k best, the smallest set that reaches p, Gumbel-max."""
    scores = transformers_penalty(logits.astype("float64"), penalty, seen)
    scores[list(forbidden)] = -np.inf
    if temperature == 0:
        return int(np.argmax(scores))
    scores /= temperature
    ranking = np.argsort(-scores, kind="stable")
    if top_k:
        ranking = ranking[:top_k]
    if top_p < 1:
        probabilities = np.exp(scores[ranking] - scores[ranking[0]])
        probabilities /= probabilities.sum()
        ranking = ranking[: 1 + int((np.cumsum(probabilities)[:-1] < top_p).sum())]
    noise = ops.convert_to_numpy(gumbel(tensor([seed]), int(step), len(scores)))[0]
    return int(max(ranking, key=lambda token: scores[token] + noise[token]))


@pytest.mark.parametrize("size", [12, 300])
def test_against_the_definitions(size):
    """Rows of all kinds in one batch: greedy, all tokens, few and many of top-k, nuclei, both, penalties."""
    rng = np.random.default_rng(size)
    rows = 240
    logits = rng.normal(size=(rows, size)) * rng.uniform(0.2, 4, size=(rows, 1)) + rng.uniform(-9, 9, size=(rows, 1))
    logits = logits.astype("float32")
    options = {
        "temperature": rng.choice([0.0, 0.5, 1.0, 2.0], rows),
        "top_k": rng.choice([0, 1, 5, 40, 100, 299, 1000], rows),
        "top_p": rng.choice([0.0, 0.1, 0.5, 0.9, 0.99, 1.0], rows),
        "repetition_penalty": rng.choice([0.7, 1.0, 1.5, 50.0], rows),
        "seed": rng.integers(-(2**31), 2**31, rows),
    }
    step, seen = rng.integers(0, 50, rows), rng.integers(0, size, (rows, 6))
    seen[rng.random((rows, 6)) < 0.3] = -1
    chosen = pick(logits, Options.broadcast(rows, **options), step, seen, (0, 2))
    for row in range(rows):
        values = [options[name][row] for name in ("temperature", "top_k", "top_p", "repetition_penalty", "seed")]
        assert chosen[row] == oracle(logits[row], *values, step[row], seen[row], (0, 2)), (row, values)


def test_a_row_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(1)
    rows = 24
    log_probs = log_softmax(rng.normal(size=(rows, 90)))
    options = {
        "temperature": rng.choice([0.0, 0.7, 1.3], rows),
        "top_k": rng.choice([0, 3, 70], rows),
        "top_p": rng.choice([0.4, 0.95, 1.0], rows),
        "seed": np.arange(rows),
    }
    together = pick(log_probs, Options.broadcast(rows, **options))
    for row in range(rows):
        alone = Options.broadcast(1, **{name: values[row].item() for name, values in options.items()})
        assert pick(log_probs[row : row + 1], alone) == together[row]


def test_greedy_takes_the_first_of_equals_and_ignores_the_seed():
    log_probs = np.log(np.array([[0.1, 0.4, 0.4, 0.1]] * 3, "float32"))
    assert pick(log_probs, Options.broadcast(3, temperature=0.0, seed=[1, 2, 3])).tolist() == [1, 1, 1]


def test_top_k_of_one_is_greedy():
    log_probs = log_softmax(np.random.default_rng(2).normal(size=(50, 200)))
    chosen = pick(log_probs, Options.broadcast(50, top_k=1, seed=np.arange(50)))
    np.testing.assert_array_equal(chosen, log_probs.argmax(1))


def test_nucleus_of_equal_tokens_is_the_smallest_set():
    rows = 400
    chosen = pick(
        np.full((rows, 10), np.log(0.1), "float32"), Options.broadcast(rows, top_p=0.45, seed=np.arange(rows))
    )
    assert set(chosen.tolist()) == {0, 1, 2, 3, 4}


def test_top_k_above_the_vocabulary_is_all():
    log_probs = log_softmax(np.random.default_rng(3).normal(size=(40, 9)))
    with_k = pick(log_probs, Options.broadcast(40, top_k=10_000, seed=np.arange(40)))
    np.testing.assert_array_equal(with_k, pick(log_probs, Options.broadcast(40, seed=np.arange(40))))


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, [0.4, 0.3, 0.2, 0.07, 0.03]),
        ({"temperature": 0.5}, np.array([0.4, 0.3, 0.2, 0.07, 0.03]) ** 2),
        ({"top_k": 2}, [0.4, 0.3, 0, 0, 0]),
        ({"top_p": 0.75}, [0.4, 0.3, 0.2, 0, 0]),
        ({"top_k": 4, "top_p": 0.7}, [0.4, 0.3, 0, 0, 0]),  # 0.7 of 0.97
    ],
)
def test_frequencies(options, expected):
    rows = 20_000
    log_probs = np.tile(np.log(np.array([0.4, 0.3, 0.2, 0.07, 0.03], "float32")), (rows, 1))
    counts = np.bincount(pick(log_probs, Options.broadcast(rows, seed=np.arange(rows), **options), step=3), minlength=5)
    expected = np.array(expected) / np.sum(expected) * rows
    assert not counts[expected == 0].any()
    some = expected > 0
    assert ((counts[some] - expected[some]) ** 2 / expected[some]).sum() < 20  # chi-square, at most 4 degrees


def test_forbidden_tokens_are_never_chosen():
    log_probs = np.log(np.array([[0.6, 0.3, 0.06, 0.04]] * 500, "float32"))
    options = Options.broadcast(500, temperature=np.arange(500) % 3, seed=np.arange(500), top_p=0.95)
    chosen = pick(log_probs, options, forbidden=[0, 1])
    assert set(chosen[::3].tolist()) == {2} and set(chosen.tolist()) == {2, 3}


def test_penalty_counts_a_token_once_and_skips_what_is_not_there():
    log_probs = np.log(np.array([[0.4, 0.35, 0.25]] * 2, "float32"))
    options = Options.broadcast(2, temperature=0.0, repetition_penalty=1.1)
    assert pick(log_probs, options, seen=[[0, 0, 0, -1], [1, -1, -1, -1]]).tolist() == [0, 0]
    assert pick(
        log_probs, Options.broadcast(2, temperature=0.0, repetition_penalty=1.3), seen=[[0, 0], [1, -1]]
    ).tolist() == [
        1,
        0,
    ]


def test_values_out_of_range_in_a_graph_have_a_meaning():
    log_probs = log_softmax(np.random.default_rng(4).normal(size=(5, 80)))
    options = Options(
        tensor([np.nan, -1.0, np.inf, 1e-30, 1.0], "float32"),
        tensor([0, -3, -3, 0, 70]),
        tensor([np.nan, 0.5, 7.0, 1.0, -2.0], "float32"),
        tensor([1.0] * 5, "float32"),
        tensor([1] * 5),
    )
    chosen = pick(log_probs, options, forbidden=[0])
    best = log_probs[:, 1:].argmax(1) + 1
    np.testing.assert_array_equal(chosen[[0, 1, 3, 4]], best[[0, 1, 3, 4]])
    assert 1 <= chosen[2] < 80


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("temperature", -0.5, "temperature is -0.5; allowed: finite numbers, 0"),
        ("temperature", float("nan"), "temperature is nan"),
        ("top_k", -1, "top_k is -1; allowed: whole numbers, 0"),
        ("top_k", 2.5, "whole numbers"),
        ("top_p", 1.2, "top_p is 1.2; allowed: finite numbers, 0 to 1"),
        ("repetition_penalty", 0, "above 0"),
        ("seed", 2**31, "an integer of 32 bits"),
        ("seed", "x", "seed is 'x'"),
        ("seed", [1, 2, 3], "each of the 2 rows"),
    ],
)
def test_errors_name_what_was_given(name, value, message):
    with pytest.raises(RequestError, match=message):
        Options.broadcast(2, **{name: value})
