"""What native code writes to standard error can be dropped."""

import logging
import os
import sys

import pytest

from nlp_suite.native_output import suppress_native_log


def test_native_lines_are_dropped_and_those_of_python_are_not(capfd):
    with suppress_native_log():
        os.write(2, b"native\n")
        print("python", file=sys.stderr)
        handler = logging.StreamHandler()  # as TensorFlow makes one when it is imported
    os.write(2, b"native again\n")
    handler.emit(logging.makeLogRecord({"msg": "logged later"}))
    assert capfd.readouterr().err == "python\nnative again\nlogged later\n"


def test_contexts_may_be_nested_and_overlap(capfd):
    first, second = suppress_native_log(), suppress_native_log()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    os.write(2, b"native\n")
    print("python", file=sys.stderr)
    second.__exit__(None, None, None)
    os.write(2, b"native again\n")
    print("python again", file=sys.stderr)
    assert sorted(capfd.readouterr().err.split("\n")) == ["", "native again", "python", "python again"]


def test_an_error_within_restores_standard_error(capfd):
    with pytest.raises(KeyError), suppress_native_log():
        raise KeyError
    os.write(2, b"native\n")
    assert capfd.readouterr().err == "native\n"


def test_a_process_without_standard_error_goes_on():
    original = os.dup(2)
    os.close(2)
    try:
        with suppress_native_log():
            pass
    finally:
        os.dup2(original, 2)
        os.close(original)
