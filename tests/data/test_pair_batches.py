"""Batches of pairs: every row once an epoch, one shape a bucket, batch n from seed and n alone, little padding."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_suite.data.batches import bucket_bounds
from nlp_suite.data.kinds.pairs.batches import PairBatches, pair_arrays
from nlp_suite.data.kinds.pairs.bounds import nearest_shape, pair_bounds
from nlp_suite.data.prepare import prepare
from nlp_suite.text.text_layer import END, START

RANDOM = np.random.default_rng(0)
SOURCES = RANDOM.integers(2, 40, 700)
LENGTHS = np.stack([SOURCES, np.maximum(2, SOURCES + RANDOM.integers(-6, 7, 700))], axis=1)
ALL = np.arange(len(LENGTHS))


def make(lengths=LENGTHS, rows=ALL, tokens=300, batch_size=16, buckets=12, seed=3):
    return PairBatches(lengths, rows, tokens=tokens, batch_size=batch_size, buckets=buckets, seed=seed)


def epoch(batches, number=0):
    return [batches[number * batches.steps_per_epoch + n] for n in range(batches.steps_per_epoch)]


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=60),
    st.integers(1, 80) | st.none(),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(0, 5) | st.none(),
    st.data(),
)
@settings(deadline=None, max_examples=100)
def test_every_row_once_an_epoch_in_one_shape_a_bucket(lengths, tokens, batch_size, buckets, seed, data):
    chosen = sorted(data.draw(st.sets(st.sampled_from(range(len(lengths))), min_size=1)))
    batches = make(lengths, chosen, tokens, batch_size, buckets, seed)
    for number in (0, 1):
        seen, shapes = [], set()
        for rows, weights, source, target in epoch(batches, number):
            assert rows.shape == weights.shape and weights.dtype == np.float32 and set(weights) <= {0, 1}
            assert all(lengths[row][0] <= source and lengths[row][1] <= target for row in rows)
            assert len(rows) <= (max(1, tokens // max(source, target)) if tokens else batch_size)
            shapes.add((len(rows), source, target))
            seen += rows[weights > 0].tolist()
        assert sorted(seen) == chosen
        assert len({shape[1:] for shape in shapes}) == len(shapes) <= len(batches.bounds) <= buckets


def test_batch_n_is_a_pure_function():
    one, other = make(seed=7), make(seed=7)
    for n in np.random.default_rng(1).permutation(3 * one.steps_per_epoch):
        for a, b in zip(one[int(n)], other[int(n)], strict=True):
            np.testing.assert_array_equal(a, b)


def test_epochs_and_seeds_differ_and_evaluation_keeps_its_order():
    batches = make(seed=7)
    assert batches[0][0].tolist() != batches[batches.steps_per_epoch][0].tolist()
    assert batches[0][0].tolist() != make(seed=8)[0][0].tolist()
    still = make(seed=None)
    assert [rows.tolist() for rows, *_ in epoch(still)] == [rows.tolist() for rows, *_ in epoch(still, 1)]
    for _, group in itertools.groupby(epoch(still), key=lambda batch: batch[2:]):
        rows = [row for rows, weights, *_ in group for row in rows[weights > 0]]
        assert rows == sorted(rows)


def test_batches_hold_the_tokens_that_are_asked_for():
    batches = make(tokens=300)
    full = [len(rows) * max(s, t) for rows, _, s, t in epoch(batches)]
    assert max(full) <= 300 and np.mean(full) > 200
    assert all(len(rows) <= 16 for rows, *_ in epoch(make(tokens=None)))
    assert {len(rows) for rows, *_ in epoch(make(tokens=1))} == {1}, "a pair that is longer is a batch by itself"


def test_hardly_any_row_only_fills_up():
    lengths = np.full((201, 2), 10)
    batches = make(lengths, np.arange(201), tokens=1000)
    assert [len(rows) for rows, *_ in epoch(batches)] == [67, 67, 67], "not 100, 100 and 1"
    assert batches.padding == {"source": 0, "target": 0, "both": 0}


def test_padding_counts_every_place_without_a_token():
    for batches in (make(), make(tokens=None), make(rows=ALL[::3])):
        places, held = np.zeros(2), np.zeros(2)
        for rows, weights, *shape in epoch(batches):
            places += len(rows) * np.array(shape)
            held += LENGTHS[rows[weights > 0]].sum(axis=0)
        expected = {"source": 1 - held[0] / places[0], "target": 1 - held[1] / places[1]}
        assert batches.padding == pytest.approx({**expected, "both": 1 - held.sum() / places.sum()})


def test_no_rows():
    with pytest.raises(ValueError, match="no pairs"):
        make(rows=[])


def places(lengths, bounds):
    return int(bounds[nearest_shape(lengths, bounds)].sum())


def test_bounds_are_nearly_the_best_there_are():
    random = np.random.default_rng(5)
    best = found = 0
    for _ in range(20):
        lengths = random.integers(1, 5, (12, 2))
        corners = itertools.product(np.unique(lengths[:, 0]), np.unique(lengths[:, 1]))
        options = [np.array(option) for option in itertools.combinations(sorted(corners, key=sum), 3)]
        best += min(places(lengths, option) for option in options if (nearest_shape(lengths, option) >= 0).all())
        bounds = pair_bounds(lengths, 3)
        assert len(bounds) <= 3 and (np.diff(bounds.sum(axis=1)) >= 0).all()
        found += places(lengths, bounds)
    assert best <= found <= 1.03 * best


@pytest.mark.parametrize("lengths, buckets, expected", [([[4, 7]] * 9, 8, [[4, 7]]), ([[1, 9], [9, 1]], 1, [[9, 9]])])
def test_bounds_of_simple_cases(lengths, buckets, expected):
    assert pair_bounds(lengths, buckets).tolist() == expected


def test_bounds_are_no_wider_than_their_pairs_and_cover_very_long_ones():
    lengths = np.concatenate([LENGTHS, LENGTHS * 20 + 7, [[5_000, 3]]])
    bounds = pair_bounds(lengths, 24)
    nearest = nearest_shape(lengths, bounds)
    assert (nearest >= 0).all() and len(bounds) <= 24
    for number, bound in enumerate(bounds):
        assert lengths[nearest == number].max(axis=0).tolist() == bound.tolist()


def test_two_dimensions_waste_less_than_one():
    random = np.random.default_rng(2)
    source = random.poisson(8, 3000) + 2
    lengths = np.stack([source, np.maximum(2, source + random.integers(-2, 3, 3000))], axis=1)
    longer = lengths.max(axis=1)
    bounds = bucket_bounds(longer, 24)
    waste_of_one = 2 * bounds[np.searchsorted(bounds, longer)].sum() - lengths.sum()
    assert places(lengths, pair_bounds(lengths, 24)) - lengths.sum() < 0.6 * waste_of_one


def test_arrays(pairs):
    sentences = [("a b c", "x y"), ("a", "x y z w"), ("b", "")]
    store = prepare(pairs(sentences, validation=sentences)).stores["train"]
    arrays = pair_arrays(store, np.array([1, 0, 2, 0]), np.array([1, 0.5, 1, 0], "float32"), 4, 6)
    target = [store.target.tokens(row).tolist() for row in range(3)]
    assert arrays["source"].tolist() == store.source.padded([1, 0, 2, 0], 4).tolist()
    assert arrays["targets"].tolist() == [
        [*target[1], 0],
        [*target[0], 0, 0, 0],
        [END, 0, 0, 0, 0, 0],
        [*target[0], 0, 0, 0],
    ]
    assert arrays["target_in"].tolist() == [
        [START, *target[1][:-1], 0],
        [START, *target[0][:-1], 0, 0, 0],
        [START, 0, 0, 0, 0, 0],
        [START, *target[0][:-1], 0, 0, 0],
    ]
    assert arrays["weights"].tolist() == [[1] * 5 + [0], [0.5] * 3 + [0] * 3, [1] + [0] * 5, [0] * 6]
    dtypes = {name: array.dtype.name for name, array in arrays.items()}
    assert dtypes == {"source": "int32", "target_in": "int32", "targets": "int32", "weights": "float32"}
