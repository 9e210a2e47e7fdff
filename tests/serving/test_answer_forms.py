"""How answers look on a terminal: every registered form, and which of them is taken."""

import pytest

from nlp_suite.serving.client.forms import FORMS, AnswerForm, answer_lines

VALUES = {  # of every output that a form shows
    "label": "positive",
    "probability": 0.987,
    "classes": ["negative", "positive"],
    "scores": [0.125, 0.875],
    "translation": "Hallo",
    "score": -0.5,
    "text": " goes on.",
    "log_prob": -3.25,
    "value": 4.25,
    "labels": ["negative", "positive"],
    "probabilities": [0.125, 0.875],
    "chosen": [False, True],
    "forecast": [1.5, 2.25],
}


@pytest.mark.parametrize("name", FORMS.names())
def test_every_form_shows_the_answers_that_it_fits(name):
    form = FORMS.get(name)
    row = {output: VALUES[output] for output in form.outputs}
    assert form.fits(row.keys()) and answer_lines("a text", row) == form.lines("a text", row)
    assert not form.fits(set(sorted(row)[1:])) and FORMS.help()[name]


@pytest.mark.parametrize(
    "row, lines",
    [
        ({"label": "pos", "probability": 0.5, "probabilities": [0.5, 0.5]}, "pos  0.5000  a text"),
        ({"classes": ["a", "b"], "scores": [0.25, 0.75]}, "b 0.7500  a 0.2500  a text"),
        ({"classes": ["a"], "scores": [1.0], "more": 2}, "a text\n  classes  a\n  scores   1.0000\n  more     2"),
        ({"x": [[0.5, 1.0], [2.0]], "names": ["a"]}, "a text\n  x      0.5000 1.0000 2.0000\n  names  a"),
        ({"forecast": [1.5], "quantiles": [[1.0, 1.5, 2.125]]}, "a text\n    1  1.5  (1 to 2.125)"),
        ({"forecast": [1.5], "quantiles": [[1.5]]}, "a text\n    1  1.5"),
        ({}, "a text"),
    ],
)
def test_which_form_is_taken(row, lines):
    assert answer_lines("a\n text", row) == lines


def test_a_long_text_is_cut():
    assert answer_lines("x" * 100, {}) == "x" * 59 + "…"


def test_a_form_that_shows_more_is_preferred():
    with FORMS.temporary():

        @FORMS.register(name="verbose")
        class Verbose(AnswerForm):
            outputs = frozenset({"label", "probability", "reason"})

            @staticmethod
            def lines(text, row):
                return row["reason"]

        assert answer_lines("a text", {"label": "pos", "probability": 0.5, "reason": "because"}) == "because"
        assert answer_lines("a text", {"label": "pos", "probability": 0.5}) == "pos  0.5000  a text"
