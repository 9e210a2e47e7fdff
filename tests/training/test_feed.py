"""What `fit` is fed."""

import itertools

import numpy as np

from nlp_suite.training.feed import feed


def batch(n):
    return {"tokens": np.full((2, n + 1), n, "int32")}, np.zeros(2, "int32")


def test_batches_come_in_order_from_any_step_with_every_length():
    for (inputs, labels), n in zip(feed(batch, 3), itertools.count(3)):
        assert inputs["tokens"].shape == (2, n + 1) and (inputs["tokens"].numpy() == n).all() and labels.shape == (2,)
        if n == 6:
            break


def test_no_thread_tunes_the_dataset():
    """TensorFlow's tuner now and then overlooked that its iterator ended: the end of a training waited for a minute."""
    assert feed(batch).options().autotune.enabled is False
