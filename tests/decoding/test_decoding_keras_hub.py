"""KerasHub's samplers as oracles, where they do the same."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.decoding.beam_search import beam_search
from nlp_suite.decoding.generate import generate
from nlp_suite.decoding.sampling import Options, choose
from tests.decoding.step_functions import END, arrays, tensor

pytestmark = [
    pytest.mark.slow,  # importing KerasHub takes longer than all other tests of decoding
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="as installed, KerasHub needs TensorFlow"),
]
SIZE, LENGTH = 30, 10
LOGITS = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype("float32") * 2
LOG_PROBS = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
STARTS = [4, 9, 17]


def step(tokens, state):
    return ops.take(ops.convert_to_tensor(LOG_PROBS), tokens, axis=0), state


def hub(sampler):
    """Tokens that a KerasHub sampler generates after each of STARTS, [3, LENGTH]."""
    prompt = tensor([[start] + [0] * LENGTH for start in STARTS])

    def next(prompt, cache, index):
        return ops.take(ops.convert_to_tensor(LOGITS), ops.take(prompt, index - 1, axis=1), axis=0), None, cache

    return ops.convert_to_numpy(sampler(next, prompt, index=1, mask=tensor([[1] + [0] * LENGTH] * 3, "bool")))[:, 1:]


def arguments():
    return step, (), tensor([[start] for start in STARTS]), tensor([1] * 3), tensor([LENGTH] * 3)


def test_greedy():
    import keras_hub

    answer = generate(
        *arguments(), Options.broadcast(3, temperature=0.0), limit=LENGTH, end_token=END, stop_at_end=False
    )
    np.testing.assert_array_equal(arrays(answer)["tokens"], hub(keras_hub.samplers.GreedySampler()))


@pytest.mark.parametrize("beam_size", [1, 3, 8])
def test_beam(beam_size):
    import keras_hub

    answer = beam_search(*arguments(), beam_size=beam_size, limit=LENGTH, end_token=END, stop_at_end=False)
    np.testing.assert_array_equal(
        arrays(answer)["tokens"][:, 0], hub(keras_hub.samplers.BeamSampler(num_beams=beam_size))
    )


@pytest.mark.parametrize("kind, options", [("TopK", {"top_k": 4}), ("TopP", {"top_p": 0.8})])
def test_distribution(kind, options):
    """Two samples of 20,000 of each: chi-square of their difference."""
    import keras_hub

    rows = 20_000
    log_probs = ops.convert_to_tensor(np.tile(LOG_PROBS[5], (rows, 1)))
    ours = choose(
        log_probs, Options.broadcast(rows, seed=np.arange(rows), **options), tensor([0] * rows), tensor([[5]] * rows)
    )
    arguments = {"k": 4} if kind == "TopK" else {"p": 0.8}
    sampler = getattr(keras_hub.samplers, f"{kind}Sampler")(seed=1, **arguments)
    theirs = sampler.get_next_token(ops.exp(log_probs))
    one, other = (np.bincount(ops.convert_to_numpy(tokens), minlength=SIZE) for tokens in (ours, theirs))
    some = one + other > 0
    np.testing.assert_array_equal(one > 0, other > 0)
    assert ((one - other)[some] ** 2 / (one + other)[some]).sum() < 3 * some.sum() + 12
