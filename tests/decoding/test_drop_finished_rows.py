"""Finished rows leave the loop: the answers stay the same, the steps have fewer rows."""

import keras
import numpy as np
import pytest

from nlp_suite.decoding.beam_search import beam_search
from nlp_suite.layers.loop_shapes import fixed_shapes
from tests.decoding.step_functions import END, Attending, arrays

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graphs are TensorFlow's")
MODEL = Attending()
MAX_TOKENS = [9, 1, 0, 7, 2, 2, 5, 1]
SOURCE_LENGTHS = [4, 1, 2, 3, 4, 2, 1, 3]


def shared_step(tokens, state, shared):
    """A `Trigram` whose tokens are dearer by what the row shares."""
    log_probs, state = MODEL.step(tokens, state)
    beams = keras.ops.shape(tokens)[0] // keras.ops.shape(shared["price"])[0]
    return log_probs - keras.ops.repeat(shared["price"], beams, axis=0), state


def traced_search(rows=None, **options):
    """The traced search of a batch of unknown size; `rows` counts those of all steps.

    Options that differ from row to row, lists here, are further inputs, in their order.
    """
    import tensorflow as tf

    per_row = [name for name, value in options.items() if isinstance(value, list)]
    fixed = {name: value for name, value in options.items() if name not in per_row}

    def step(tokens, state, shared):
        if rows is not None:
            rows.assign_add(tf.shape(tokens)[0])
        return shared_step(tokens, state, shared)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, 4], tf.bool),
            tf.TensorSpec([None, MODEL.size], tf.float32),
            *([tf.TensorSpec([None], tf.float32)] * len(per_row)),
        ],
        autograph=False,
    )
    def traced(max_tokens, source_mask, price, *row_options):
        batch = tf.shape(max_tokens)[0]
        return beam_search(
            step,
            MODEL.initial_state(batch),
            tf.fill([batch, 1], 4),
            tf.ones([batch], tf.int32),
            max_tokens,
            shared={"price": price, "source_mask": source_mask},
            coverage=lambda state, shared: (state["received"], shared["source_mask"]),
            limit=9,
            end_token=END,
            forbidden=(0, 1, 2),
            **fixed,
            **dict(zip(per_row, row_options, strict=True)),
        )

    return traced


def inputs(rows=slice(None), **options):
    source_mask = np.arange(4) < np.array(SOURCE_LENGTHS)[:, None]
    price = np.random.default_rng(1).random((8, MODEL.size)).astype("float32")
    per_row = [np.array(value, "float32") for value in options.values() if isinstance(value, list)]
    return [keras.ops.convert_to_tensor(x[rows]) for x in (np.array(MAX_TOKENS, "int32"), source_mask, price, *per_row)]


@pytest.mark.parametrize(
    "options",
    [
        {"beam_size": 1},
        {"beam_size": 1, "stop_at_end": False},
        {"beam_size": 4, "n_best": 3, "length_penalty": 0.6},
        {"beam_size": 3, "n_best": 2, "no_repeat_ngram": 2, "min_tokens": 2},
        {"beam_size": 4, "coverage_penalty": 0.5, "length_penalty": np.linspace(0, 1, 8).tolist()},
        {"beam_size": 2, "coverage_penalty": [0.0, 0.5, 0.0, 1.0, 0.5, 0.2, 0.0, 2.0], "length_penalty": 1.0},
    ],
)
def test_the_answers_are_those_of_rows_that_stay_and_of_rows_alone(options):
    with fixed_shapes():
        expected = arrays(traced_search(**options)(*inputs(**options)))
    search = traced_search(**options)
    for name, value in arrays(search(*inputs(**options))).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6)
    for row in range(8):
        for name, value in arrays(search(*inputs(slice(row, row + 1), **options))).items():
            np.testing.assert_allclose(value[0], expected[name][row], rtol=1e-6)


def test_penalties_may_be_tensors_of_no_axes():
    import tensorflow as tf

    shape = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.float32)]

    @tf.function(input_signature=shape, autograph=False)
    def traced(max_tokens, length_penalty):
        batch = tf.shape(max_tokens)[0]
        start, one = tf.fill([batch, 1], 4), tf.ones([batch], tf.int32)
        rules = {"limit": 9, "beam_size": 3, "end_token": END, "length_penalty": length_penalty}
        return beam_search(MODEL.step, MODEL.initial_state(batch), start, one, max_tokens, **rules)

    answer = arrays(traced(inputs()[0], 0.6))
    batch = keras.ops.ones((8,), "int32")
    rules = {"limit": 9, "beam_size": 3, "end_token": END, "length_penalty": 0.6}
    expected = beam_search(MODEL.step, MODEL.initial_state(8), batch[:, None] * 4, batch, inputs()[0], **rules)
    for name, value in arrays(expected).items():
        np.testing.assert_allclose(answer[name], value, rtol=1e-6)


def test_finished_rows_are_not_decoded_on():
    import tensorflow as tf

    counts = []
    for fixed in (False, True):
        rows = tf.Variable(0)
        search = traced_search(rows, beam_size=2, stop_at_end=False)
        if fixed:
            with fixed_shapes():
                search(*inputs())
        else:
            search(*inputs())
        counts.append(int(rows))
    # Left when at most four fifths are unfinished: 8 rows at step 0 (6 are unfinished: one had none to do), and so on.
    assert counts == [2 * (8 + 5 + 3 + 3 + 3 + 2 + 2 + 1 + 1), 2 * 8 * 9]


def test_an_empty_batch_has_no_step():
    import tensorflow as tf

    rows = tf.Variable(7)
    answer = arrays(traced_search(rows, beam_size=2)(*inputs(slice(0, 0))))
    assert int(rows) == 7
    assert answer["tokens"].shape == (0, 1, 9) and answer["score"].shape == (0, 1)
