"""The pictures: valid SVG that shows what the numbers say."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from nlp_suite.evaluation import plots
from nlp_suite.tasks.sentiment.report import classification_report

NAN = float("nan")


def words(svg: bytes) -> list[str]:
    """All texts of an SVG, which must be well-formed."""
    return ["".join(node.itertext()).strip() for node in ET.fromstring(svg).iter() if node.tag.endswith("}text")]


def curves(svg: bytes) -> int:
    """How many dashed or solid data lines of our two line colours there are."""
    lines = [node.get("style", "") for node in ET.fromstring(svg).iter() if node.tag.endswith("}path")]
    return sum(
        "fill: none" in s and "stroke-width: 1.8" in s and (plots.ACCENT in s or plots.SECOND in s) for s in lines
    )


def history(rounds):
    return [
        {
            "epoch": float(i),
            "step": 10.0 * (i + 1),
            "loss": 1 / (i + 1),
            "accuracy": 0.5,
            "val_loss": (i - 2) ** 2 + 1.0,
            "val_accuracy": None,
        }
        for i in range(rounds)
    ]


def test_learning_curves_show_both_splits_and_the_best_interval():
    svg = plots.learning_curves(history(5))
    shown = words(svg)
    assert {"loss", "accuracy", "training", "validation", "best", "checkpoint interval"} <= set(shown)
    assert curves(svg) == 6  # loss twice, accuracy once (its validation is missing), and each in a legend


def test_no_tick_is_an_accuracy_above_all():
    svg = plots.learning_curves([{"accuracy": accuracy} for accuracy in (0.7, 0.9, 0.999)], ("accuracy",))
    ticks = [float(word[:-1]) for word in words(svg) if word.endswith("%")]
    assert len(ticks) > 2 and max(ticks) <= 100


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{}],
        [{"loss": NAN, "val_loss": float("inf")}],
        history(1),
        [{"step": 5.0, "loss": 1.0}, {"step": 10.0, "loss": NAN}, {"step": 15.0, "loss": 0.5, "val_loss": 0.7}],
        history(400),
    ],
)
def test_learning_curves_of_gaps_and_of_nothing(rows):
    assert "loss" in words(plots.learning_curves(rows, ("loss",)))


def test_axis_is_epochs_if_they_increase_else_steps_else_intervals():
    assert plots.curve_axis(history(3)) == ("checkpoint interval", [1, 2, 3])  # Keras's count of intervals, from 0
    assert plots.curve_axis([{"epoch": 0.5}, {"epoch": 1.0}]) == ("epoch", [0.5, 1.0])
    assert plots.curve_axis([{"epoch": 1, "step": 10}, {"epoch": 1, "step": 20}]) == ("step", [10, 20])
    assert plots.curve_axis([{"epoch": NAN}, {"epoch": 1}]) == ("checkpoint interval", [1, 2])


def test_best_interval_is_the_given_one_else_the_best_by_validation():
    rows = history(5)
    assert plots.best_interval(rows) == 2  # lowest val_loss
    assert plots.best_interval(rows, {"round": 4}) == 3
    assert plots.best_interval(rows, {"step": 10}) == 0
    assert plots.best_interval(rows, {"round": None}) == 2
    assert plots.best_interval([{**row, "val_accuracy": -row["epoch"]} for row in rows]) == 0  # highest val_accuracy
    perplexities = [{**row, "val_perplexity": 100 - i} for i, row in enumerate(rows)]
    assert plots.best_interval(perplexities) == 4  # lowest val_perplexity
    assert plots.best_interval(perplexities, {"metric": "val_loss"}) == 2
    assert plots.best_interval(perplexities, {"metric": "val_perplexity", "value": 96.0}) == 4
    assert plots.best_interval(perplexities, {"metric": "accuracy"}) == 0  # all equal: the first
    assert plots.best_interval([{"loss": 1.0}]) is None
    assert plots.best_interval([]) is None


@pytest.mark.parametrize(
    "values, name, ticks",
    [
        ([1500.0, 300.0, 90.0], "perplexity (log scale)", {"100", "200", "500", "1k"}),
        ([2e6, 3e4, 200.0], "perplexity (log scale)", {"1k", "10k", "100k", "1M"}),
        ([6.1, 5.2, 4.9], "perplexity", {"4.8", "5.2", "5.6"}),
        ([0.0, 50.0], "perplexity", {"0"}),  # no perplexity, but nothing to fail for
        ([NAN, float("inf"), None], "perplexity", set()),
    ],
)
def test_the_axis_of_perplexity_is_logarithmic_where_values_lie_far_apart(values, name, ticks):
    shown = words(plots.learning_curves([{"val_perplexity": v} for v in values], ("perplexity",)))
    assert name in shown and ticks <= set(shown), shown


@pytest.mark.parametrize("classes", [2, 6, 7, 20])
def test_confusion_matrix_shows_every_class_and_count(classes):
    matrix = (np.arange(classes * classes).reshape(classes, classes) + 1).tolist()
    labels = [f"c{i}" for i in range(classes)]
    shown = words(plots.confusion_matrix({"labels": labels, "confusion_matrix": matrix}))
    assert all(shown.count(label) == 2 for label in labels)  # one row, one column
    assert {str(value) for row in matrix for value in row} <= set(shown)
    if classes == 2:
        assert {"33.3%", "66.7%", "42.9%", "57.1%"} <= set(shown)


def test_labels_may_hold_markup_formulas_and_any_script():
    labels = ["<b>&amp;</b>", "$x^2$ costs $5", "très\nbien", "良い", "a name that is far too long for an axis"]
    shown = words(plots.confusion_matrix({"labels": labels, "confusion_matrix": np.eye(5, dtype=int).tolist()}))
    assert {"<b>&amp;</b>", "$x^2$ costs $5", "très bien", "良い", "a name that i…"} <= set(shown)


def test_reliability_and_roc():
    report = classification_report(
        ["no", "yes"], np.array([0, 1] * 30), np.array([[0.8, 0.2], [0.3, 0.7]] * 20 + [[0.4, 0.6]] * 20)
    )
    shown = words(plots.reliability(report))
    assert {"confidence", "accuracy", "answers", "this model"} <= set(shown)
    assert shown.count("20") >= 3  # answers in each of the three bins
    assert {"false positive rate", "true positive rate"} <= set(words(plots.roc(report)))


def test_pictures_are_the_same_each_time_and_leave_the_global_settings_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    assert plots.learning_curves(history(3)) == plots.learning_curves(history(3))
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "value, text", [(0, "0"), (999, "999"), (1000, "1k"), (1234, "1.2k"), (25000, "25k"), (1.3e6, "1.3M")]
)
def test_compact(value, text):
    assert plots.compact(value) == text


def test_number_takes_only_finite_numbers():
    assert [plots.number(v) for v in (1, "2.5", None, "", NAN, float("-inf"))] == [1.0, 2.5, None, None, None, None]
