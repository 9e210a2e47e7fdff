"""The answer of a classifier by thresholds and abstention, its most probable labels, and their columns."""

import pytest

from nlp_suite.errors import RequestError
from nlp_suite.predictor import AnswerOptions
from nlp_suite.tasks.sentiment import SentimentTask

LABELS = ["no", "yes", "maybe"]


def answer(no, yes, maybe):
    probabilities = {"no": no, "yes": yes, "maybe": maybe}
    best = max(probabilities, key=probabilities.get)
    return {"label": best, "probability": probabilities[best], "probabilities": probabilities, "truncated": False}


def chosen(given, **options):
    made = SentimentTask.chosen(LABELS, AnswerOptions(**options))(given)
    assert made["probabilities"] == given["probabilities"] and made["truncated"] is False
    return made["label"], made["probability"]


@pytest.mark.parametrize(
    "probabilities, thresholds, expected",
    [
        ((0.2, 0.5, 0.3), {"yes": 0.8}, "maybe"),  # not reached: the most probable of the others
        ((0.1, 0.8, 0.1), {"yes": 0.8}, "yes"),  # reached exactly
        ((0.7, 0.1, 0.2), {"maybe": 0.2}, "maybe"),  # below the half is a threshold, too
        ((0.5, 0.2, 0.3), {"no": 0.4, "maybe": 0.3}, "no"),  # both reached: the more probable
        ((0.5, 0.2, 0.3), {"no": 0.6, "yes": 0.6, "maybe": 0.6}, None),
        ((0.5, 0.2, 0.3), {"no": 0.6, "yes": 0.0, "maybe": 0.6}, "yes"),
    ],
)
def test_thresholds(probabilities, thresholds, expected):
    given = answer(*probabilities)
    best = max(probabilities) if expected is None else given["probabilities"][expected]
    assert chosen(given, thresholds=thresholds) == (expected, best)


def test_abstention():
    given = answer(0.2, 0.5, 0.3)
    assert chosen(given, abstain_below=0.5) == ("yes", 0.5)
    assert chosen(given, abstain_below=0.51) == (None, 0.5)
    assert chosen(given, thresholds={"yes": 0.6}, abstain_below=0.4) == (None, 0.3), "of the label that is chosen"


def test_the_most_probable_labels():
    options = AnswerOptions(top_k=2)
    made = SentimentTask.chosen(LABELS, options)(answer(0.2, 0.5, 0.3))
    assert made["top"] == [{"label": "yes", "probability": 0.5}, {"label": "maybe", "probability": 0.3}]
    columns = SentimentTask.answer_columns(LABELS, False, options)
    values = {name: cell(made) for name, cell in columns.items()}
    ranked = {"label_1": "yes", "probability_1": 0.5, "label_2": "maybe", "probability_2": 0.3}
    assert values == {"label": "yes", "probability": 0.5, **ranked}
    shown = {name: cell(made) for name, cell in SentimentTask.answer_columns(LABELS, True, options).items()}
    assert shown == {"label": "yes", "1.": "yes 0.5000", "2.": "maybe 0.3000"}


def test_columns_of_all_labels():
    given = answer(0.2, 0.5, 0.3000000001)
    values = {name: cell(given) for name, cell in SentimentTask.answer_columns(LABELS, False).items()}
    assert values == {"label": "yes", "probability": 0.5, "no": 0.2, "yes": 0.5, "maybe": 0.3}
    nothing = {**given, "label": None}
    assert SentimentTask.answer_columns(LABELS, True)["label"](nothing) == "(none)"
    named = SentimentTask.answer_columns(["label", "x"], False)
    assert list(named) == ["label", "probability", "p(label)", "x"], "a label may be called as another column"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"thresholds": {"yess": 0.5}}, "unknown label 'yess': did you mean 'yes'"),
        ({"thresholds": {"yes": 1.01}}, "the threshold of 'yes' is 1.01; allowed: a probability, from 0 to 1"),
        ({"thresholds": {"yes": float("nan")}}, "from 0 to 1"),
        ({"abstain_below": -0.1}, "abstain_below is -0.1; allowed"),
        ({"top_k": 0}, "top_k is 0; allowed: whole numbers from 1"),
        ({"top_k": 4}, "top_k is 4; allowed: from 1 to 3"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(RequestError, match=message):
        SentimentTask.chosen(LABELS, AnswerOptions(**options))
