"""Stratified splits: sizes, shares, both sides, repeatable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_suite.data.splits import stratified_split
from nlp_suite.errors import DataError


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=200), st.floats(0.01, 0.99), st.integers(0, 5))
def test_every_class_stands_on_both_sides_and_sizes_are_right(labels, fraction, seed):
    sizes = {label: labels.count(label) for label in set(labels)}
    if max(sizes.values()) < 2:
        with pytest.raises(DataError, match="no label has two"):
            stratified_split(labels, fraction, seed)
        return
    kept, held_out = stratified_split(labels, fraction, seed)
    assert kept.dtype == held_out.dtype == np.int64
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    assert list(kept) == sorted(kept) and list(held_out) == sorted(held_out)
    forced = 0
    for label, size in sizes.items():
        part = sum(labels[i] == label for i in held_out)
        assert (1 <= part <= size - 1) if size >= 2 else part == 0
        forced += size * fraction < 1 or size - size * fraction < 1
        assert abs(part - size * fraction) <= 1 + len(sizes)  # one for rounding, the rest from other classes' limits
    assert abs(len(held_out) - fraction * len(labels)) <= 0.5 + forced


def test_exact_shares_without_small_classes():
    labels = ["pos"] * 600 + ["neg"] * 300 + ["mid"] * 100
    kept, held_out = stratified_split(labels, 0.2, seed=3)
    assert [sum(labels[i] == name for i in held_out) for name in ("pos", "neg", "mid")] == [120, 60, 20]
    again = stratified_split(np.array(labels), 0.2, seed=3)
    assert np.array_equal(again[0], kept) and np.array_equal(again[1], held_out)
    assert not np.array_equal(stratified_split(labels, 0.2, seed=4)[1], held_out)


def test_the_choice_within_a_class_is_uniform():
    counts = np.zeros(20)
    for seed in range(2000):
        counts[stratified_split([0, 1] * 10, 0.3, seed)[1]] += 1
    assert np.all(np.abs(counts / 2000 - 0.3) < 0.05)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        stratified_split([0, 0, 1, 1], fraction, 0)
