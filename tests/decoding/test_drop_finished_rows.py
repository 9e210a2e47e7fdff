"""Finished rows leave the loop: the answers stay, the steps' rows get fewer."""

import keras
import numpy as np
import pytest

from nlp_suite.decoding.beam_search import beam_search
from nlp_suite.layers.loop_shapes import fixed_shapes
from tests.decoding.step_functions import END, Attending, arrays

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graphs are TensorFlow's")
MODEL = Attending()
MOST = [9, 1, 0, 7, 2, 2, 5, 1]
SIZES = [4, 1, 2, 3, 4, 2, 1, 3]


def shared_step(tokens, state, shared):
    """A `Trigram` whose tokens are dearer by what the row shares."""
    log_probs, state = MODEL.step(tokens, state)
    beams = keras.ops.shape(tokens)[0] // keras.ops.shape(shared["price"])[0]
    return log_probs - keras.ops.repeat(shared["price"], beams, axis=0), state


def search(rows=None, **options):
    """The traced search of a batch of unknown size, `rows` counting those of all steps."""
    import tensorflow as tf

    def step(tokens, state, shared):
        if rows is not None:
            rows.assign_add(tf.shape(tokens)[0])
        return shared_step(tokens, state, shared)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, 4], tf.bool),
            tf.TensorSpec([None, MODEL.size], tf.float32),
        ],
        autograph=False,
    )
    def traced(most, there, price):
        batch = tf.shape(most)[0]
        return beam_search(
            step,
            MODEL.initial_state(batch),
            tf.fill([batch, 1], 4),
            tf.ones([batch], tf.int32),
            most,
            shared={"price": price, "there": there},
            coverage=lambda state, shared: (state["received"], shared["there"]),
            limit=9,
            end_token=END,
            forbidden=(0, 1, 2),
            **{name: unknown(value) for name, value in options.items()},
        )

    def unknown(value):
        """An option a row, with as many rows as there may be: a constant's number would be known."""
        if not isinstance(value, (list, np.ndarray)):
            return value
        return tf.compat.v1.placeholder_with_default(np.array(value, "float32"), [None])

    return traced


def given(rows=slice(None)):
    there = np.arange(4) < np.array(SIZES)[:, None]
    price = np.random.default_rng(1).random((8, MODEL.size)).astype("float32")
    return [keras.ops.convert_to_tensor(x[rows]) for x in (np.array(MOST, "int32"), there, price)]


@pytest.mark.parametrize(
    "options",
    [
        {"beam_size": 1},
        {"beam_size": 1, "stop_at_end": False},
        {"beam_size": 4, "n_best": 3, "length_penalty": 0.6},
        {"beam_size": 3, "n_best": 2, "no_repeat_ngram": 2, "min_tokens": 2},
        {"beam_size": 4, "coverage_penalty": 0.5, "length_penalty": np.linspace(0, 1, 8, dtype="float32")},
        {"beam_size": 2, "coverage_penalty": [0.0, 0.5, 0.0, 1.0, 0.5, 0.2, 0.0, 2.0], "length_penalty": 1.0},
    ],
)
def test_the_answers_are_those_of_rows_that_stay_and_of_rows_alone(options):
    with fixed_shapes():
        expected = arrays(search(**options)(*given()))
    found = arrays(search(**options)(*given()))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)
    for row in range(8):
        one = {k: v[row : row + 1] if isinstance(v, (list, np.ndarray)) else v for k, v in options.items()}
        for name, value in arrays(search(**one)(*given(slice(row, row + 1)))).items():
            np.testing.assert_allclose(value[0], expected[name][row], rtol=1e-6)


def test_penalties_may_be_tensors_of_no_axes():
    import tensorflow as tf

    shape = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.float32)]

    @tf.function(input_signature=shape, autograph=False)
    def traced(most, alpha):
        batch = tf.shape(most)[0]
        start, one = tf.fill([batch, 1], 4), tf.ones([batch], tf.int32)
        rules = {"limit": 9, "beam_size": 3, "end_token": END, "length_penalty": alpha}
        return beam_search(MODEL.step, MODEL.initial_state(batch), start, one, most, **rules)

    found = arrays(traced(given()[0], 0.6))
    batch = keras.ops.ones((8,), "int32")
    rules = {"limit": 9, "beam_size": 3, "end_token": END, "length_penalty": 0.6}
    wanted = beam_search(MODEL.step, MODEL.initial_state(8), batch[:, None] * 4, batch, given()[0], **rules)
    for name, value in arrays(wanted).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)


def test_finished_rows_are_not_decoded_on():
    import tensorflow as tf

    counts = []
    for fixed in (False, True):
        rows = tf.Variable(0)
        searching = search(rows, beam_size=2, stop_at_end=False)
        if fixed:
            with fixed_shapes():
                searching(*given())
        else:
            searching(*given())
        counts.append(int(rows))
    # Left when at most four fifths are unfinished: 8 rows at step 0 (6 go on: one had none to do), and so on.
    assert counts == [2 * (8 + 5 + 3 + 3 + 3 + 2 + 2 + 1 + 1), 2 * 8 * 9]


def test_an_empty_batch_has_no_step():
    import tensorflow as tf

    rows = tf.Variable(7)
    found = arrays(search(rows, beam_size=2)(*given(slice(0, 0))))
    assert int(rows) == 7
    assert found["tokens"].shape == (0, 1, 9) and found["score"].shape == (0, 1)
