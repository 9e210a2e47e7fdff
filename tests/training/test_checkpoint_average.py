"""Checkpoint averaging: the right checkpoint intervals are kept, their mean is the run's model, also after an interruption."""

import numpy as np
import pytest
from rich.console import Console

from nlp_suite.errors import RunError, UsageError
from nlp_suite.training.checkpoint_average import average, kept_intervals, ranked
from nlp_suite.training.run import Run
from nlp_suite.training.train import train
from tests.training.test_train import Killed, stop_after

QUIET = Console(quiet=True)


@pytest.fixture
def averaging(small):
    def make(of):
        return small(training={"epochs": 5, "average_checkpoints": 3, "average_of": of})

    return make


def mean_of(run, intervals):
    model = run.model("last")
    loaded = []
    for number in intervals:
        model.load_weights(run.directory / "checkpoints" / f"round-{number:05d}.weights.h5")
        loaded.append(model.get_weights())
    return [np.mean(np.asarray(arrays, "float64"), axis=0) for arrays in zip(*loaded)]


def test_the_last_intervals_are_averaged_and_that_is_the_model(averaging, tmp_path):
    run = train(averaging("last"), tmp_path / "run", console=QUIET)
    assert kept_intervals(run.record) == [3, 4, 5]
    for mean, weight in zip(mean_of(run, [3, 4, 5]), run.model().get_weights(), strict=True):
        np.testing.assert_allclose(weight, mean, rtol=1e-6, atol=1e-7)
    assert any((a != b).any() for a, b in zip(run.model().get_weights(), run.model("best").get_weights()))


def test_the_best_intervals_are_those_of_the_monitored_metric(averaging, tmp_path):
    run = train(averaging("best"), tmp_path / "run", console=QUIET)
    values = [row[run.experiment.training.monitor] for row in run.history]
    assert kept_intervals(run.record) == sorted(ranked(values, "max")[:3])


@pytest.mark.slow
def test_an_interrupted_run_averages_the_same_intervals(averaging, tmp_path, monkeypatch):
    whole = train(averaging("best"), tmp_path / "whole", console=QUIET)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stop_after(patch, 2)
        train(averaging("best"), tmp_path / "run", console=QUIET)
    run = train(averaging("best"), tmp_path / "run", console=QUIET)
    for one, other in zip(whole.model().get_weights(), run.model().get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_intervals_can_be_averaged_afterwards(averaging, tmp_path):
    run = train(averaging("last"), tmp_path / "run", console=QUIET)
    assert average(Run(run.directory), last=2) == [4, 5]
    for mean, weight in zip(mean_of(run, [4, 5]), run.model().get_weights(), strict=True):
        np.testing.assert_allclose(weight, mean, rtol=1e-6, atol=1e-7)
    with pytest.raises(
        RunError,
        match=r"keeps the weights of checkpoint intervals 3, 4, 5, not of checkpoint intervals 1, 2; .*average_checkpoints",
    ):
        average(Run(run.directory), last=5)
    with pytest.raises(UsageError, match="one of --last N and --best N"):
        average(Run(run.directory), last=2, best=2)
    for option, number in (("last", 0), ("best", -1), ("last", 6), ("best", 6)):
        with pytest.raises(RunError, match=f"--{option} {number}: .* has 5 checkpoint intervals; allowed: 1 to 5"):
            average(Run(run.directory), **{option: number})


def test_of_equal_values_the_later_interval_is_better_and_nan_is_the_worst():
    assert ranked([0.5, 0.7, 0.7, float("nan")], "max") == [3, 2, 1, 4]
    assert ranked([0.5, 0.7, 0.7, float("nan")], "min") == [1, 3, 2, 4]
