"""Steps of self-attention beyond the cache's length: a window that slides."""

import numpy as np
import pytest
from keras import ops

from nlp_suite.layers.self_attention import SelfAttention

WINDOW, STEPS, FEATURES = 4, 11, 8


@pytest.mark.parametrize("rotary", [True, False])
def test_a_step_sees_the_newest_tokens_of_the_cache_and_no_older_one(rotary):
    layer = SelfAttention(heads=2, causal=True, rotary=rotary)
    layer.build((None, None, FEATURES))
    x = np.random.default_rng(0).normal(size=(3, STEPS, FEATURES)).astype("float32")
    state = layer.initial_state(3, WINDOW)
    start = np.array([0, 2, 5], "int32")  # rows begin at different steps; positions count from a row's start
    for t in range(STEPS):
        fresh = (start == t)[:, None, None, None]
        state = {key: ops.where(fresh, ops.zeros_like(cache), cache) for key, cache in state.items()}
        position = np.maximum(t - start, 0).astype("int32")
        got, state = layer.step(ops.convert_to_tensor(x[:, t]), state, ops.convert_to_tensor(position))
        for row in range(3):
            if t < start[row]:
                continue
            first = max(start[row], t - WINDOW + 1)
            seen = x[row : row + 1, first : t + 1]
            positions = np.arange(seen.shape[1], dtype="int32")[None]  # rotary products know distances only
            at_once = layer(seen, mask=np.ones(seen.shape[:2], bool), positions=positions)
            np.testing.assert_allclose(ops.convert_to_numpy(got)[row], ops.convert_to_numpy(at_once)[0, -1], atol=2e-6)
