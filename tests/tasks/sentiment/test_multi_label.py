"""Multi-label classification: its corpus kind, metric, thresholds and report, against hand-made and scikit-learn's numbers."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from nlp_suite.config import load_experiment
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.prepare import prepare
from nlp_suite.errors import ConfigError, DataError
from nlp_suite.task import Assets
from nlp_suite.tasks.sentiment.problems.multi_label import MultiLabelTask
from nlp_suite.tasks.sentiment.problems.multi_label.measure import multi_label_report
from nlp_suite.tasks.sentiment.problems.multi_label.metrics import MultiLabelF1
from nlp_suite.tasks.sentiment.problems.multi_label.predictor import sigmoid
from nlp_suite.tasks.sentiment.problems.multi_label.thresholds import best_threshold, choose_thresholds, thresholds_of

RANDOM = np.random.default_rng(0)
TRUTH = (RANDOM.random((60, 4)) < [0.5, 0.3, 0.1, 0]).astype("uint8")  # the last label never occurs
LOGITS = (RANDOM.normal(size=(60, 4)) + TRUTH).astype("float32")
LABELS = list("abcd")


@pytest.mark.parametrize(
    "value, separator, labels",
    [
        ("a, b,a", ",", ["a", "b"]),
        ("a, b", "|", ["a, b"]),
        ("", ",", []),
        ("  ", ",", []),
        (None, ",", []),
        (float("nan"), ",", []),
        (["a", 1, 1.0], ",", ["a", "1"]),
        ([], ",", []),
        (3, ",", ["3"]),
    ],
)
def test_labels_of_a_cell_or_a_list(value, separator, labels):
    kind = corpus_kind("multi_labelled")
    kind.label_separator = separator
    assert kind.field_value("label", value, "label") == labels


@pytest.mark.parametrize("labels, separator", [(("a", "b"), ", "), (("a, b", "c"), " | "), (("a,", "b|"), "; ")])
def test_what_stands_between_answered_labels_is_in_none_of_them(labels, separator):
    kind = corpus_kind("multi_labelled")
    kind.label_separator = separator.strip()
    answer = {"labels": list(labels), "probabilities": dict.fromkeys(labels, 0.9)}
    cell = MultiLabelTask.answer_columns(labels, False)["labels"](answer)
    assert cell == separator.join(labels) and kind.field_value("label", cell, "labels") == list(labels)


@pytest.mark.parametrize("value", ["a,,b", ["a", ""], ["a", None], [["a"]], {"a": 1}, [float("nan")]])
def test_what_is_no_label_is_refused(value):
    with pytest.raises(DataError, match="'label' must be a string or number|the label is empty"):
        corpus_kind("multi_labelled").field_value("label", value, "label")


def test_from_a_table_to_a_store(tmp_path):
    rows = [
        "text\ttopics",
        *(f"word{i} film\t{'a|b' if i % 2 else 'b'}" for i in range(30)),
        "odd film\trare",
        "none\t",
    ]
    (tmp_path / "train.tsv").write_text("\n".join(rows) + "\n")
    source = {"name": "files", "train": str(tmp_path / "train.tsv"), "label_column": "topics", "label_separator": "|"}
    values = {
        "task": {"name": "sentiment", "problem": "multi_label"},
        "data": {"source": source, "cache": str(tmp_path / "cache")},
        "text": {"tokenizer": {"name": "word", "min_count": 1}},
    }
    prepared = prepare(load_experiment(values))
    store, held_out = prepared.stores["train"], prepared.stores["validation"]
    assert prepared.labels == ["a", "b", "rare"] and store.labels.shape == (len(store), 3)
    assert len(store) + len(held_out) == 32 and store.labels[:, 2].sum() == 1, "a label's only text stays in training"
    counts = [prepared.statistics[split]["labels"] for split in ("train", "validation")]
    assert {label: sum(part[label] for part in counts) for label in prepared.labels} == {"a": 15, "b": 30, "rare": 1}
    with pytest.raises(DataError, match="label_separator is for tasks that take several labels"):
        prepare(load_experiment({**values, "task": "sentiment"}))


def test_f1_is_scikit_learns():
    for average in ("micro", "macro"):
        metric = MultiLabelF1(4, average)
        for part in np.split(np.arange(60), [20, 21]):
            metric.update_state(TRUTH[part], LOGITS[part])
        answered = LOGITS > 0
        assert float(metric.result()) == pytest.approx(
            f1_score(TRUTH, answered, average=average, zero_division=0), rel=1e-5
        )
        before = float(metric.result())
        metric.update_state(TRUTH[:9], -LOGITS[:9], np.zeros(9))
        assert float(metric.result()) == before


def test_the_best_threshold_is_that_of_all_tried():
    scores = sigmoid(LOGITS[:, 0]).round(1)  # with ties
    chosen = best_threshold(TRUTH[:, 0], scores)
    best = max(f1_score(TRUTH[:, 0], scores >= t) for t in np.arange(0.05, 1, 0.1))
    assert f1_score(TRUTH[:, 0], scores >= chosen) == pytest.approx(best) and chosen not in scores
    assert best_threshold(np.zeros(5), np.arange(5.0)) == 0.5


def test_thresholds_of_rare_labels_are_shared_and_settings_win():
    chosen = choose_thresholds(TRUTH, sigmoid(LOGITS))
    common = best_threshold(TRUTH.ravel(), sigmoid(LOGITS).ravel())
    assert chosen[3] == common and chosen[0] == best_threshold(TRUTH[:, 0], sigmoid(LOGITS)[:, 0]) != common
    fitted = Assets(labels=LABELS, fitted={"thresholds": dict(zip(LABELS, chosen))})
    assert thresholds_of("validation", fitted).tolist() == chosen.tolist()
    assert thresholds_of("validation", Assets(labels=LABELS)).tolist() == [0.5] * 4
    assert thresholds_of(0.7, fitted).tolist() == [0.7] * 4
    assert thresholds_of({"b": 0.9}, fitted).tolist() == [0.5, 0.9, 0.5, 0.5]


def test_the_report_against_scikit_learn():
    probabilities, thresholds = sigmoid(LOGITS), np.array([0.4, 0.5, 0.6, 0.5])
    report = multi_label_report(LABELS, TRUTH, probabilities, thresholds)
    chosen = probabilities >= thresholds
    for average in ("micro", "macro"):
        scores = precision_recall_fscore_support(TRUTH, chosen, average=average, zero_division=0)[:3]
        assert [report[average][key] for key in ("precision", "recall", "f1")] == pytest.approx(scores)
    low, high = report["micro_f1_interval"]
    assert low < report["micro"]["f1"] < high and report["labels"] == LABELS
    assert report["exact_match"] == pytest.approx((chosen == TRUTH).all(axis=1).mean())
    assert report["per_class"]["d"]["support"] == 0 and report["per_class"]["a"]["threshold"] == 0.4
    worst = report["mistakes"][0]
    assert len(set(worst["labels"]) ^ set(worst["predicted"])) == (chosen != TRUTH).sum(axis=1).max()


@pytest.mark.parametrize(
    "task, message",
    [
        ({"thresholds": 1.5}, "thresholds"),
        ({"thresholds": {"a": 0}}, "thresholds"),
        ({"problem": "single_label", "thresholds": 0.5}, "thresholds are for problem: multi_label"),
        ({"problem": "multilabel"}, "problem: Input should be .*'multi_label'"),
    ],
)
def test_settings_that_cannot_be_are_refused(task, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment({"task": {"name": "sentiment", "problem": "multi_label", **task}})


def test_class_weights_are_refused():
    with pytest.raises(ConfigError, match="does not use training.class_weights"):
        load_experiment(
            {"task": {"name": "sentiment", "problem": "multi_label"}, "training": {"class_weights": "balanced"}}
        )
