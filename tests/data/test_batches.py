"""Batches: every row once an epoch, one shape a bucket, and batch n from the seed and n alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_suite.data.batches import BucketedBatches, bucket_bounds

LENGTHS = np.random.default_rng(0).integers(1, 200, 333)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 8), st.integers(1, 6))
@settings(deadline=None, max_examples=60)
def test_every_row_once_an_epoch(lengths, batch_size, buckets):
    batches = BucketedBatches(lengths, batch_size, buckets, seed=3)
    seen = []
    for n in range(batches.steps_per_epoch):
        rows, weights, length = batches[n]
        assert rows.shape == weights.shape == (batch_size,)
        assert length in batches.bounds and all(lengths[row] <= length for row in rows)
        seen += list(rows[weights > 0])
    assert sorted(seen) == list(range(len(lengths)))
    assert len(batches.bounds) <= buckets


def test_batch_n_is_a_pure_function():
    one, other = (BucketedBatches(LENGTHS, 16, 4, seed=7) for _ in range(2))
    order = np.random.default_rng(1).permutation(3 * one.steps_per_epoch)
    for n in order:
        for a, b in zip(one[int(n)], other[int(n)]):
            np.testing.assert_array_equal(a, b)


def test_epochs_and_seeds_differ_and_evaluation_keeps_its_order():
    batches = BucketedBatches(LENGTHS, 16, 4, seed=7)
    first = batches[0][0].tolist()
    assert first != batches[batches.steps_per_epoch][0].tolist()
    assert first != BucketedBatches(LENGTHS, 16, 4, seed=8)[0][0].tolist()
    still = BucketedBatches(LENGTHS, 16, 4, seed=None)
    assert still[0][0].tolist() == still[still.steps_per_epoch][0].tolist()


def test_bounds_are_the_best_there_are():
    lengths = np.array([1, 1, 1, 5, 5, 9, 9, 9, 10])

    def cost(bounds):
        return sum(min(b for b in bounds if b >= length) for length in lengths)

    candidates = [1, 5, 9, 10]
    best = min(cost([a, b, 10]) for a in candidates for b in candidates)
    assert cost(bucket_bounds(lengths, 3)) == best
    assert bucket_bounds(lengths, 1).tolist() == [10]
    assert bucket_bounds([4, 4], 8).tolist() == [4]


def test_padding_is_what_it_says():
    batches = BucketedBatches([1, 3], 2, 1, seed=None)
    assert batches.padding == pytest.approx(1 - 4 / 6)
