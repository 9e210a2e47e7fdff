"""Ensembles: the logarithm of the mean probability, and states that stay apart."""

import numpy as np
import pytest
from keras import ops

from nlp_suite.decoding.beam_search import beam_search
from nlp_suite.decoding.ensemble import ensemble
from nlp_suite.errors import UsageError
from tests.decoding.step_functions import END, Trigram, arrays, tensor

MODELS = [Trigram(seed=1), Trigram(seed=2), Trigram(seed=3)]


def test_mean_of_the_probabilities():
    step = ensemble([model.step for model in MODELS])
    states = [model.initial_state(2) for model in MODELS]
    texts = [[4, 5, 6], [6, 4, 4]]
    for place in range(3):
        log_probs, states = step(tensor([text[place] for text in texts]), states)
        for row, text in enumerate(texts):
            mean = np.mean([np.exp(model.log_probs(text[: place + 1])) for model in MODELS], axis=0)
            np.testing.assert_allclose(ops.convert_to_numpy(log_probs)[row], np.log(mean), atol=1e-5)


def test_beam_search_with_an_ensemble_of_one_and_of_equals():
    prompts = (tensor([[4], [6]]), tensor([1, 1]), tensor([6, 6]))
    rules = {"limit": 6, "end_token": END, "beam_size": 3, "n_best": 2}
    alone = arrays(beam_search(MODELS[0].step, MODELS[0].initial_state(2), *prompts, **rules))
    for count in (1, 3):
        states = [MODELS[0].initial_state(2) for _ in range(count)]
        answer = arrays(beam_search(ensemble([MODELS[0].step] * count), states, *prompts, **rules))
        np.testing.assert_array_equal(answer["tokens"], alone["tokens"])
        np.testing.assert_allclose(answer["score"], alone["score"], atol=1e-4)


def test_what_all_rule_out_stays_ruled_out():
    def step(tokens, state):
        return tensor([[-np.inf, 0.0, -np.inf]], "float32"), state

    def other(tokens, state):
        return tensor([[-np.inf, -np.inf, 0.0]], "float32"), state

    log_probs, _ = ensemble([step, other])(tensor([1]), [(), ()])
    np.testing.assert_allclose(np.exp(ops.convert_to_numpy(log_probs)), [[0, 0.5, 0.5]])


def test_no_step_function():
    with pytest.raises(UsageError, match="at least one"):
        ensemble([])
