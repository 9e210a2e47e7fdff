"""Measures and easy methods against figures that were computed by hand."""

import numpy as np
import pytest

from nlp_suite.tasks.forecasting import baseline, measure


class Series:
    """A store of one series, of which the last steps are predicted."""

    def __init__(self, values, begin):
        self.values = np.array(values, float)
        self.begins = np.array([begin])

    def __len__(self):
        return 1

    def series(self, row):
        return self.values


def test_figures_by_hand():
    store = Series([1, 3, 2, 5, 10, np.nan, 8], 4)
    test = measure.Backtest(store, np.array([0]), np.array([4]), np.array([[10, np.nan, 8.0]]), np.array([2.0]))
    found = measure.figures(test, np.array([[7.0, 99, 9]]))
    assert (
        found["mae"] == 2
        and found["mse"] == 5
        and found["rmse"] == 5**0.5
        and found["mase"] == 1
        and found["bias"] == -1
    )
    assert found["smape"] == pytest.approx((200 * 3 / 17 + 200 / 17) / 2)
    assert measure.seasonal_scale(np.array([1.0, 3, 2, 5]), 2) == 1.5 and np.isnan(
        measure.seasonal_scale(np.ones(9), 2)
    )


def test_interval_figures_by_hand():
    quantiles = np.array([[[1.0, 2, 4], [1, 2, 3], [1, 2, 3]]])
    found = measure.interval_figures(np.array([[3.0, 4, np.nan]]), quantiles, [0.1, 0.5, 0.9])
    losses = [[0.1 * 2 + 0.1 * 3, 0.5 * 1 + 0.5 * 2, 0.1 * 1 + 0.9 * 1]]
    assert found["wql"] == pytest.approx(2 * np.mean(losses) / 7) and found["crps"] == pytest.approx(np.mean(losses))
    assert found["coverage"] == [{"low": 0.1, "high": 0.9, "nominal": 0.8, "share": 0.5}]
    assert [row["share"] for row in found["below"]] == [0, 0, 0.5]


def test_baselines_by_hand():
    history = baseline.filled(np.array([np.nan, 1.0, np.nan, 4.0]))
    assert history.tolist() == [1, 1, 1, 4]
    assert baseline.naive(history, 2).tolist() == [4, 4] and baseline.drift(history, 2).tolist() == [5, 6]
    assert baseline.seasonal_naive(np.arange(5.0), 4, 3).tolist() == [2, 3, 4, 2]
    assert baseline.seasonal_naive(np.arange(2.0), 2, 3).tolist() == [1, 1]
    assert baseline.mean_of_last(np.arange(5.0), 2, 2).tolist() == [3.5, 3.5]
