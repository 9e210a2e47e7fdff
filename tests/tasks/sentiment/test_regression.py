"""Regression: numbers of a file, a loss that knows no unit, metrics and report against NumPy."""

import keras
import numpy as np
import pytest

from nlp_suite.backbones.bag import BagBackbone
from nlp_suite.config import load_experiment
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.prepare import prepare
from nlp_suite.errors import ConfigError, DataError, RunError
from nlp_suite.tasks.sentiment.problems.regression.measure import regression_report, spearman
from nlp_suite.tasks.sentiment.problems.regression.metrics import UnexplainedVariance
from nlp_suite.tasks.sentiment.problems.regression.network import RegressionModel

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.normal(size=80)
ANSWERS = TRUTH + RANDOM.normal(size=80) * 0.3


@pytest.mark.parametrize("value", [3, 3.0, "3", " 3.0 ", "3e0"])
def test_a_number_is_read(value):
    assert corpus_kind("rated").field_value("label", value, "stars") == 3.0


@pytest.mark.parametrize(
    "value", ["", "three", "3,5", "1_000", "nan", "inf", float("nan"), True, None, [3], 10**400, "1e40"]
)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(DataError, match="'stars' must be a number for a regression"):
        corpus_kind("rated").field_value("label", value, "stars")


def test_a_decimal_comma_is_named():
    with pytest.raises(DataError, match="decimals are written with a point"):
        corpus_kind("rated").field_value("label", "3,5", "stars")


def experiment_of(tmp_path, numbers):
    (tmp_path / "train.tsv").write_text("label\ttext\n" + "".join(f"{n}\ttext {i}\n" for i, n in enumerate(numbers)))
    source = {"name": "files", "train": str(tmp_path / "train.tsv")}
    return load_experiment(
        {
            "task": {"name": "sentiment", "problem": "regression"},
            "data": {"source": source, "cache": str(tmp_path / "cache")},
            "text": {"tokenizer": {"name": "word", "min_count": 1}},
        }
    )


def test_numbers_are_stored_as_they_are_and_described_by_the_training_split(tmp_path):
    prepared = prepare(experiment_of(tmp_path, 2024.1 + np.arange(40) / 7))
    labels, facts = np.array(prepared.stores["train"].labels), prepared.assets.facts
    assert labels.dtype == "float64" and len(labels) == 36 and not prepared.labels
    assert facts == {
        "mean": labels.mean(), "deviation": labels.std(), "lowest": labels.min(), "highest": labels.max()
    }  # fmt: skip
    assert prepared.statistics["validation"]["labels"]["max"] == prepared.stores["validation"].labels.max()


def test_equal_numbers_are_refused(tmp_path):
    with pytest.raises(DataError, match="needs different numbers in the training split; all its 36 rows have 5"):
        prepare(experiment_of(tmp_path, [5] * 40))


def test_the_loss_knows_no_unit_and_answers_are_in_it():
    """Numbers in dollars or in cents: the same loss and the same gradient, answers a hundred times as large."""
    tokens, truth = RANDOM.integers(1, 20, (8, 5)), RANDOM.normal(size=(8, 1)).astype("float32")
    logs, answers = [], []
    for unit in (1, 100):
        keras.utils.set_random_seed(1)
        model = RegressionModel(BagBackbone(20, embedding_size=4, ngrams=1), mean=3.0 * unit, deviation=2.0 * unit)
        model.build((None, None))
        model.compile("sgd", keras.losses.MeanSquaredError(), weighted_metrics=[keras.metrics.MeanAbsoluteError("mae")])
        targets, weights = (3 + 2 * truth) * unit, np.r_[np.ones(6), np.zeros(2)].astype("float32")
        logs.append(model.train_on_batch(tokens, targets, weights, return_dict=True))
        answers.append(keras.ops.convert_to_numpy(model(tokens)))
        expected = np.abs(answers[-1] - targets)[:6].mean()
        after = model.test_on_batch(tokens, targets, weights, return_dict=True)
        assert after["mae"] == pytest.approx(expected, rel=1e-4)
        assert after["loss"] == pytest.approx(np.square((answers[-1] - targets) / (2 * unit))[:6].sum() / 8, rel=1e-4)
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-5)
    np.testing.assert_allclose(answers[0] * 100, answers[1], rtol=1e-4)


@pytest.mark.parametrize("offset", [0, 2000])
def test_unexplained_variance_over_batches_far_from_0(offset):
    metric = UnexplainedVariance()
    truth, answers = (TRUTH + offset).astype("float32"), (ANSWERS + offset).astype("float32")
    for part in np.split(np.arange(80), [1, 30, 64]):
        metric.update_state(
            np.r_[truth[part], 7][:, None], np.r_[answers[part], -9][:, None], np.r_[np.ones(len(part)), 0]
        )
    assert float(metric.result()) == pytest.approx(np.square(TRUTH - ANSWERS).sum() / 80 / TRUTH.var(), rel=1e-3)
    metric.reset_state()
    metric.update_state(np.ones((4, 1)), np.full((4, 1), 3.0))
    assert float(metric.result()) == 4.0


def test_the_report():
    report = regression_report(TRUTH, ANSWERS)
    assert report["mae"] == pytest.approx(np.abs(TRUTH - ANSWERS).mean())
    assert report["rmse"] == pytest.approx(np.sqrt(np.square(TRUTH - ANSWERS).mean()))
    assert report["r2"] == pytest.approx(1 - np.square(TRUTH - ANSWERS).mean() / TRUTH.var())
    assert sum(row["count"] for row in report["ranges"]) == len(report["points"]) == 80
    assert abs(report["mistakes"][0]["value"] - report["mistakes"][0]["predicted"]) == np.abs(TRUTH - ANSWERS).max()
    useless = regression_report(TRUTH, np.zeros(80))
    assert useless["spearman"] is None
    same = regression_report(np.full(3, 2.0), np.array([2.0, 2.0, 3.0]))
    assert same["r2"] is None and [row["count"] for row in same["ranges"]] == [3]
    with pytest.raises(DataError, match="no examples"):
        regression_report(np.zeros(0), np.zeros(0))
    with pytest.raises(RunError, match="no number"):
        regression_report(TRUTH, ANSWERS * np.nan)


def test_spearman_is_scipys():
    from scipy.stats import spearmanr

    with_ties = np.round(TRUTH)
    assert spearman(with_ties, ANSWERS) == pytest.approx(spearmanr(with_ties, ANSWERS).statistic)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"data": {"labels": ["1", "2"]}}, "does not use data.labels"),
        ({"training": {"class_weights": "balanced"}}, "does not use training.class_weights"),
        ({"training": {"monitor": "val_accuracy"}}, "unknown metric 'val_accuracy'"),
        ({"task": {"label_smoothing": 0.1}}, "label_smoothing is for labels"),
        ({"backbone": {"name": "bag", "naive_bayes": True}}, "naive_bayes counts words by labels"),
    ],
)
def test_what_speaks_of_labels_is_refused(tmp_path, values, message):
    from nlp_suite.training.checks import check_training

    task = {"name": "sentiment", "problem": "regression", **values.get("task", {})}
    with pytest.raises(ConfigError, match=message):
        check_training(load_experiment({**values, "task": task}), tmp_path / "run")
