"""The filter of pairs: each reason by itself, each pair counted once, the rest kept in order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_suite.data.kinds.pairs.filter import pair_filter

NONE = {"empty source": 0, "empty target": 0, "source too long": 0, "target too long": 0, "ratio too high": 0}


@pytest.mark.parametrize(
    "lengths, reason",
    [
        ((8, 8), None),
        ((2, 8), None),
        ((1, 8), "empty source"),
        ((8, 1), "empty target"),
        ((1, 1), "empty source"),
        ((9, 8), "source too long"),
        ((8, 9), "target too long"),
        ((1, 900), "empty source"),
        ((900, 900), "source too long"),
        ((2, 900), "target too long"),
        ((8, 2), None),
    ],
)
def test_every_reason(lengths, reason):
    rows, counts = pair_filter([lengths], 8, 4.0)
    assert counts == {**NONE, **({reason: 1} if reason else {})}
    assert rows.tolist() == ([] if reason else [0])


def test_ratio():
    rows, counts = pair_filter([[9, 2], [8, 2], [2, 9], [2, 8]], 50, 4.0)
    assert rows.tolist() == [1, 3] and counts == {**NONE, "ratio too high": 2}


def test_any_ratio_and_no_pairs():
    assert pair_filter([[2, 100]], 100, None) == (np.array([0]), NONE)
    rows, counts = pair_filter(np.zeros((0, 2), "int32"), 100, 2.0)
    assert len(rows) == 0 and counts == NONE


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30))), st.integers(1, 30), st.floats(1, 9) | st.none())
def test_what_is_kept_is_allowed_and_what_is_not_kept_is_counted_once(lengths, most, ratio):
    rows, counts = pair_filter(np.array(lengths, "int32").reshape(-1, 2), most, ratio)
    fits = [
        i
        for i, (s, t) in enumerate(lengths)
        if 1 < s <= most and 1 < t <= most and (ratio is None or max(s, t) <= ratio * min(s, t))
    ]
    assert rows.tolist() == fits and sum(counts.values()) == len(lengths) - len(fits)
