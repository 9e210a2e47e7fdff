"""Parts of a batch draw the numbers that the whole batch draws."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.layers.batch_share import share
from nlp_suite.layers.carried_state import CarriedState
from nlp_suite.layers.dropout import dropout
from nlp_suite.layers.word_dropout import WordDropout
from tests.backend_processes import run_on

FLOATS = np.random.default_rng(0).normal(size=(6, 5, 3)).astype("float32")
TOKENS = np.random.default_rng(0).integers(4, 40, (6, 7)).astype("int32")


@pytest.mark.parametrize(
    "make, x",
    [
        (lambda: keras.layers.Dropout(0.4, seed=1), FLOATS),
        (lambda: keras.layers.Dropout(0.4, noise_shape=(None, 5, 1), seed=1), FLOATS),
        (lambda: keras.layers.SpatialDropout1D(0.4, seed=1), FLOATS),
        (lambda: lambda x, training: dropout(keras.layers.Dropout(0.4, seed=1), x, training), FLOATS),
        (lambda: WordDropout(0.4, seed=1), TOKENS),
    ],
    ids=["elements", "noise shape", "spatial", "bytes", "words"],
)
def test_parts_drop_what_the_whole_drops(make, x):
    whole, parts = ops.convert_to_numpy(make()(x, training=True)), []
    for n in range(3):
        with share(n, 3):
            parts.append(ops.convert_to_numpy(make()(x[2 * n : 2 * n + 2], training=True)))
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len({part.tobytes() for part in parts}) == 3 and (whole != x).any()
    np.testing.assert_array_equal(ops.convert_to_numpy(make()(x, training=True)), whole)  # Keras is as it was


def test_a_part_reads_and_writes_its_rows_of_a_carried_state():
    state, reset = CarriedState(), np.array([False, True])
    state.allocate([ops.zeros((6, 3))])
    state.write([FLOATS[:, 0]])
    with share(1, 3):
        (read,) = state.read(reset)
        state.write([read + 1])
    (after,) = state.read(np.zeros(6, bool))
    expected = FLOATS[:, 0].copy()
    expected[2], expected[3] = expected[2] + 1, 1
    np.testing.assert_array_equal(ops.convert_to_numpy(after), expected)


@pytest.mark.slow
def test_devices_of_jax_gather_no_rows(monkeypatch):
    """Or each would compute the whole batch."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    found = json.loads(run_on("jax", "-m", "tests.layers.gathered_rows").splitlines()[-1])
    assert found == {"SimpleRNN": [], "LSTM": [], "GRU": [], "softmax": []}
