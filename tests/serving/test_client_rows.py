"""Rows of signatures that take more than a text, as the command line reads them."""

import pytest

from nlp_suite.errors import RequestError
from nlp_suite.serving.client.answers import Signature, TensorSpec
from nlp_suite.serving.client.rows import read_row

SERIES = Signature({name: TensorSpec("float32", None) for name in ("values", "mask", "length")}, {}, "predict")
SALES = Signature({**SERIES.inputs, "future": TensorSpec("float32", None)}, {}, "predict")


@pytest.mark.parametrize(
    "line", ["112 118 ? 129", "112, 118, null, 129", "[112, 118, null, 129]", '{"values": [112, 118, null, 129]}']
)
def test_mask_and_length_of_a_history_follow_from_its_values(line):
    assert read_row(line, SERIES) == {"values": [112, 118, 0, 129], "mask": [1, 1, 0, 1], "length": 4}


def test_what_is_given_is_taken():
    given = {"values": [1.0, 2.0], "mask": [1, 0], "length": 1}
    assert read_row('{"values": [1.0, 2.0], "mask": [1, 0], "length": 1}', SERIES) == given
    assert read_row("5", SERIES)["values"] == [5]
    assert read_row('{"values": [1], "future": [[2], [3]]}', SALES)["future"] == [[2], [3]]


@pytest.mark.parametrize(
    "line, signature, message",
    [
        ("? ?", SERIES, "'\\? \\?' has no value: a forecast needs one or more"),
        ('{"values": [1, 2, 3], "mask": [1, 0]}', SERIES, "mask has 2 numbers, and values has 3"),
        ("one two", SERIES, "'one two' is no series: give numbers with a decimal point"),
        ("1 2", SALES, "'1 2' is no row: give a JSON object with future, length, mask, values"),
        ("[1, 2]", SALES, "is no row"),
        ('{"values": [1]}', SALES, "lacks future"),
        ('{"value": [1]}', SERIES, "unknown input 'value'"),
    ],
)
def test_other_lines_are_refused(line, signature, message):
    with pytest.raises(RequestError, match=message):
        read_row(line, signature)
