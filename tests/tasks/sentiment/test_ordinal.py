"""Ordinal classification: the ordered head against its equation, its numbers against scikit-learn, the order of labels."""

import keras
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from nlp_suite.config import load_experiment
from nlp_suite.data.prepare import prepare
from nlp_suite.errors import DataError
from nlp_suite.tasks.sentiment.baseline import baselines
from nlp_suite.tasks.sentiment.problems.ordinal.measure import OrdinalView, ordinal_numbers
from nlp_suite.tasks.sentiment.problems.ordinal.metrics import MeanDistance
from nlp_suite.tasks.sentiment.problems.ordinal.network import OrderedLogits

RANDOM = np.random.default_rng(0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_log_probabilities_are_those_of_the_cumulative_link(classes):
    layer = OrderedLogits(classes)
    layer.build((None, 6))
    layer.set_shares(RANDOM.integers(1, 9, classes))
    features = RANDOM.normal(size=(20, 6)).astype("float32")
    score = features.astype("float64") @ keras.ops.convert_to_numpy(layer.weigh.kernel)  # [B, 1]
    gaps = np.log1p(np.exp(keras.ops.convert_to_numpy(layer.gaps))) if classes > 2 else np.zeros(0)
    thresholds = keras.ops.convert_to_numpy(layer.first)[0] + np.r_[0, np.cumsum(gaps)]
    at_most = np.hstack([np.zeros((20, 1)), sigmoid(thresholds - score), np.ones((20, 1))])
    answer = np.exp(keras.ops.convert_to_numpy(layer(features)))
    np.testing.assert_allclose(answer, np.diff(at_most, axis=1), atol=1e-5)


def test_probabilities_begin_as_the_shares_of_the_classes():
    layer = OrderedLogits(4)
    layer.build((None, 2))
    layer.set_shares([10, 30, 40, 20])
    answer = np.exp(keras.ops.convert_to_numpy(layer(np.zeros((1, 2), "float32"))))
    np.testing.assert_allclose(answer, [[0.1, 0.3, 0.4, 0.2]], atol=1e-5)


def test_far_texts_lose_no_digits():
    layer = OrderedLogits(5)
    layer.build((None, 1))
    layer.weigh.kernel.assign([[1.0]])
    answer = keras.ops.convert_to_numpy(layer(np.array([[-200.0], [200.0]], "float32")))
    assert np.isfinite(answer).all() and answer[0].argmax() == 0 and answer[1].argmax() == 4


def test_numbers_against_scikit_learn():
    truth = RANDOM.integers(0, 5, 200)
    answers = np.clip(truth + RANDOM.integers(-1, 3, 200), 0, 4)
    confusion = np.zeros((5, 5), int)
    np.add.at(confusion, (truth, answers), 1)
    numbers = ordinal_numbers(confusion.tolist())
    assert numbers["quadratic_kappa"] == pytest.approx(cohen_kappa_score(truth, answers, weights="quadratic"))
    assert numbers["mae"] == pytest.approx(np.abs(truth - answers).mean())
    assert numbers["within_one"] == pytest.approx((np.abs(truth - answers) <= 1).mean())
    metric = MeanDistance()
    logits = np.eye(5)[answers].astype("float32")
    metric.update_state(truth[:150], logits[:150], np.ones(150))
    metric.update_state(truth[100:], logits[100:], np.r_[np.zeros(50), np.ones(50)])
    assert float(metric.result()) == pytest.approx(numbers["mae"])


def experiment_of(tmp_path, names, **data):
    rows = [f"{names[i % len(names)]}\ttext number {i}" for i in range(60)]
    (tmp_path / "train.tsv").write_text("label\ttext\n" + "\n".join(rows) + "\n")
    source = {"name": "files", "train": str(tmp_path / "train.tsv")}
    return load_experiment(
        {
            "task": {"name": "sentiment", "problem": "ordinal"},
            "data": {"source": source, "cache": str(tmp_path / "cache"), **data},
            "text": {"tokenizer": {"name": "word", "min_count": 1}},
        }
    )


def test_labels_are_in_the_order_of_their_numbers(tmp_path):
    assert prepare(experiment_of(tmp_path, ["10", "-1", "2.5", "9"])).labels == ["-1", "2.5", "9", "10"]


def test_words_need_an_order(tmp_path):
    with pytest.raises(
        DataError, match="which label is above which cannot be told from bad, good: .* give data.labels"
    ):
        prepare(experiment_of(tmp_path, ["good", "bad"]))
    assert prepare(experiment_of(tmp_path, ["good", "bad"], labels=["bad", "good"])).labels == ["bad", "good"]


def test_the_distance_of_the_easy_methods_is_a_figure(tmp_path):
    prepared = prepare(experiment_of(tmp_path, ["1", "2", "3", "3", "5"], validation=0.4))
    store = prepared.stores["validation"]
    truth = np.array(store.labels)
    found = baselines(prepared.labels, prepared.stores["train"], store, truth, ordered=True)["majority"]
    frequent = np.bincount(prepared.stores["train"].labels).argmax()
    assert found["mae"] == pytest.approx(np.abs(truth - frequent).mean()) and found["mae"] > 0
    assert found["lead"]["mean distance"]["value"] == pytest.approx(found["mae"]), "the answers are all right"
    assert OrdinalView().compared({})["mean distance"](found) == f"{found['mae']:.4f}"
