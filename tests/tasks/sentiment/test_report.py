"""The numbers against values worked out by hand and against scikit-learn."""

import json
import math
import warnings

import numpy as np
import pytest
from sklearn import metrics

from nlp_suite.tasks.sentiment.measure import never_answered_remark
from nlp_suite.tasks.sentiment.report import ROC_POINTS, classification_report


def random_answers(classes, count, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), truth] += 1
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return [f"class {i}" for i in range(classes)], truth.astype(np.int32), probabilities.astype(np.float32)


def test_by_hand():
    probabilities = [[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.55, 0.45]]
    report = classification_report(["no", "yes"], [0, 1, 1, 0, 0], probabilities, ["a", "b", "c", "d", "e"], mistakes=1)
    assert report["examples"] == 5
    assert report["accuracy"] == 3 / 5
    assert report["confusion_matrix"] == [[2, 1], [1, 1]]
    assert report["per_class"]["no"] == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "support": 3})
    assert report["per_class"]["yes"] == pytest.approx({"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2})
    assert report["macro"] == pytest.approx({"precision": 7 / 12, "recall": 7 / 12, "f1": 7 / 12})
    expected = -sum(math.log(p) for p in (0.9, 0.3, 0.8, 0.4, 0.55)) / 5
    assert report["cross_entropy"] == pytest.approx(expected)
    assert report["roc_auc"] == pytest.approx(4 / 6)  # pairs in order: 0.3 and 0.8 against 0.1, 0.6, 0.45
    assert report["mistakes"] == [
        {"index": 1, "text": "b", "label": "yes", "predicted": "no", "probability": pytest.approx(0.7)}
    ]


def test_wilson_interval_of_a_known_case():
    report = classification_report(["a", "b"], [0] * 10, [[0.9, 0.1]] * 8 + [[0.1, 0.9]] * 2)
    assert report["accuracy_interval"] == pytest.approx([0.4901625, 0.9433178], abs=1e-6)  # 8 of 10


def test_calibration_error_of_a_constructed_case():
    """Four answers at 0.62, half of them right; six at 0.97, all right; one at 1.0, wrong; five bins."""
    confident = [0.62] * 4 + [0.97] * 6 + [1.0]
    right = [1, 1, 0, 0] + [1] * 6 + [0]
    probabilities = np.array([[c, 1 - c] for c in confident])
    report = classification_report(["a", "b"], 1 - np.array(right), probabilities, bins=5)
    assert [row["count"] for row in report["reliability"]] == [0, 0, 0, 4, 7]
    assert report["reliability"][0] == {
        "low": 0.0,
        "high": pytest.approx(0.2),
        "confidence": None,
        "accuracy": None,
        "count": 0,
    }
    last = report["reliability"][4]
    assert (last["confidence"], last["accuracy"]) == pytest.approx(((6 * 0.97 + 1) / 7, 6 / 7))
    assert report["ece"] == pytest.approx((4 * abs(0.5 - 0.62) + 7 * abs(6 - 6.82) / 7) / 11)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    report = classification_report(["a", "b"], [0, 0], [[0.5, 0.5], [0.75, 0.25]], bins=4)
    assert [row["count"] for row in report["reliability"]] == [0, 1, 1, 0]


@pytest.mark.parametrize("classes", [2, 3, 20])
def test_against_scikit_learn(classes):
    labels, truth, probabilities = random_answers(classes, 700)
    report = classification_report(labels, truth, probabilities)
    predicted = probabilities.argmax(axis=1)
    theirs = metrics.classification_report(truth, predicted, target_names=labels, output_dict=True)
    for label in labels:
        ours = report["per_class"][label]
        assert (ours["precision"], ours["recall"], ours["f1"]) == pytest.approx(
            tuple(theirs[label][key] for key in ("precision", "recall", "f1-score"))
        )
    assert report["macro"]["f1"] == pytest.approx(theirs["macro avg"]["f1-score"])
    assert report["accuracy"] == pytest.approx(theirs["accuracy"])
    expected = metrics.log_loss(truth, probabilities / probabilities.sum(axis=1, keepdims=True, dtype=np.float64))
    assert report["cross_entropy"] == pytest.approx(expected, rel=1e-5)
    assert sum(row["count"] for row in report["reliability"]) == 700
    if classes == 2:
        assert report["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth, probabilities[:, 1]))
    else:
        assert report["roc_auc"] is None and report["roc"] is None


def test_few_points_of_the_roc_curve_keep_its_area():
    labels, truth, probabilities = random_answers(2, 5000)
    report = classification_report(labels, truth, probabilities)
    points = np.array(report["roc"]["points"])
    assert len(points) <= ROC_POINTS
    assert points[0].tolist() == [0, 0] and points[-1].tolist() == [1, 1]
    assert np.trapezoid(points[:, 1], points[:, 0]) == pytest.approx(report["roc_auc"], abs=1e-3)


def test_classes_that_do_not_occur_neither_warn_nor_change_the_averages():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = classification_report(["a", "b", "never"], [0, 0, 0], [[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [1, 0, 0]])
        binary = classification_report(["a", "b"], [1, 1], [[0.4, 0.6], [0.1, 0.9]])
    assert report["per_class"]["never"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert report["macro"]["f1"] == pytest.approx(metrics.f1_score([0, 0, 0], [0, 1, 0], average="macro"))
    assert binary["accuracy"] == 1 and binary["roc_auc"] is None and binary["roc"] is None


def test_one_row_and_a_probability_of_zero():
    report = classification_report(["a", "b"], [1], np.array([[1.0, 0.0]], np.float32), ["x"])
    assert report["cross_entropy"] == pytest.approx(-math.log(np.finfo(np.float32).eps))
    assert report["ece"] == 1.0
    json.dumps(report, allow_nan=False)


def test_the_most_confident_mistakes_come_first_and_only_their_texts_are_read():
    class Texts:
        def __init__(self):
            self.read = []

        def __len__(self):
            return 4

        def __getitem__(self, i):
            self.read.append(i)
            return f"text {i}"

    texts = Texts()
    probabilities = [[0.6, 0.4], [0.9, 0.1], [0.99, 0.01], [0.8, 0.2]]
    report = classification_report(["a", "b"], np.array([1, 1, 0, 1], np.int64), probabilities, texts, mistakes=2)
    assert [mistake["text"] for mistake in report["mistakes"]] == ["text 1", "text 3"]
    assert texts.read == [1, 3]


@pytest.mark.parametrize(
    "labels, truth, probabilities, texts, message",
    [
        (["a", "b"], [], np.zeros((0, 2)), None, "no examples"),
        (["a", "a"], [0], [[1, 0]], None, "differ"),
        (["a", "b"], [0, 1], [[1, 0]], None, r"\[N, 2\]"),
        (["a", "b"], [2], [[1, 0]], None, "from 0 to 1"),
        (["a", "b"], [0.5], [[1, 0]], None, "class indices"),
        (["a", "b"], [0, 0], [[1, 0], [3.0, -2.0]], None, "row 1|add up"),
        (["a", "b"], [0, 0], [[1, 0], [np.nan, 1]], None, "row 1"),
        (["a", "b"], [0], [[1, 0]], ["x", "y"], "2 texts for 1"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(labels, truth, probabilities, texts, message):
    with pytest.raises(ValueError, match=message):
        classification_report(labels, np.array(truth), probabilities, texts)


def test_classes_that_are_never_answered_are_named():
    """Of four classes "c" is no answer and occurs; "d" is no answer either, and does not occur."""
    probabilities = [[0.9, 0.1, 0, 0], [0.2, 0.8, 0, 0], [0.6, 0, 0.4, 0]]
    report = classification_report(list("abcd"), [0, 1, 2], probabilities)
    assert report["never_answered"] == ["c"]
    remark = never_answered_remark(report["never_answered"], report["labels"])
    assert "never answered" in remark and "texts of them: c (1 of 4 labels)" in remark and "class_weights" in remark
    assert never_answered_remark([], list("abcd")) is None
    many = never_answered_remark([f"label {i}" for i in range(50)], [""] * 60)
    assert "label 9, … (50 of 60 labels)" in many and "label 10" not in many
