"""Codes, and what exceptions become."""

import pytest
import tensorflow as tf

from nlp_suite.serving.status import HTTP_STATUS, Code, ServingError, as_serving_error, truncated


def test_every_code_has_an_http_status_and_tensorflows_number():
    assert set(HTTP_STATUS) == set(Code)
    for code in Code:
        assert code == (0 if code == Code.OK else getattr(tf.errors, code.name))


@pytest.mark.parametrize(
    "code, http", [("INVALID_ARGUMENT", 400), ("NOT_FOUND", 404), ("CANCELLED", 499), ("UNIMPLEMENTED", 501)]
)
def test_http_statuses(code, http):
    assert HTTP_STATUS[Code[code]] == http


@pytest.mark.parametrize(
    "message, expected",
    [
        ("short", "short"),
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, "x" * 1024 + "...TRUNCATED"),
        ("ü" * 600, "ü" * 512 + "...TRUNCATED"),
        ("x" + "ü" * 600, "x" + "ü" * 511 + "...TRUNCATED"),
        ("a\udcffb", "a?b"),
    ],
)
def test_truncated(message, expected):
    assert truncated(message) == expected


def test_tensorflows_errors_keep_code_and_message():
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.linalg.matmul(tf.ones([1, 4]), tf.ones([3, 1]))
    error = as_serving_error(caught.value)
    assert error.code == Code.INVALID_ARGUMENT
    assert error.message == str(error) == without_function(caught.value.message)
    assert error.message.startswith("Matrix size-incompatible: In[0]: [1,4], In[1]: [3,1]")


def without_function(text):
    return text[text.index("}} ") + 3 :]


@pytest.mark.parametrize(
    "text, shown",
    [
        ("Matrix\n\t [[{{node a/MatMul}}]]", "Matrix"),
        ("Matrix\n\t [[{{function_node __inference_f_9}}{{node MatMul}}]]\n\t [[{{node b}}]]", "Matrix"),
        ("{{function_node __wrapped__X_device_/job:localhost}} Matrix [Op:X]", "Matrix [Op:X]"),
        (
            "2 root error(s) found.\n  (0) INVALID_ARGUMENT: first, of\ntwo lines\n\t [[{{node a}}]]\n\t [[{{node c}}]]\n"
            "  (1) INVALID_ARGUMENT: second\n\t [[{{node b}}]]\n0 successful operations.\n0 derived errors ignored.",
            "first, of\ntwo lines",
        ),
        ("[[1, 2]] and {{x}} stay", "[[1, 2]] and {{x}} stay"),
    ],
)
def test_nodes_of_the_graph_are_not_shown(text, shown):
    assert as_serving_error(tf.errors.InvalidArgumentError(None, None, text)).message == shown


@pytest.mark.parametrize(
    "text, shown", [("ü\U0001f600", "ü\U0001f600"), ("a\udcff\udc80b", "a\ufffd\ufffdb"), ("\ud800", "\ufffd")]
)
def test_messages_are_valid_utf8(text, shown):
    error = ServingError(Code.INTERNAL, text)
    assert error.message == str(error) == shown and error.message.encode().decode() == shown


@pytest.mark.parametrize(
    "error, code, message",
    [
        (KeyError("x"), "INTERNAL", "KeyError: 'x'"),
        (RecursionError("too deep"), "INTERNAL", "RecursionError: too deep"),
        (MemoryError(), "RESOURCE_EXHAUSTED", "MemoryError"),
        (TimeoutError("late"), "DEADLINE_EXCEEDED", "TimeoutError: late"),
    ],
)
def test_other_errors(error, code, message):
    assert (as_serving_error(error).code.name, as_serving_error(error).message) == (code, message)


def test_a_serving_error_stays_itself():
    error = ServingError(5, "gone")
    assert as_serving_error(error) is error and error.code is Code.NOT_FOUND and str(error) == "gone"
