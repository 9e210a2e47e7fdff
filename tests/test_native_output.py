"""What native code writes to standard error can be dropped."""

import logging
import os
import sys

from nlp_suite.native_output import suppress_native_log


def test_native_lines_are_dropped_and_those_of_python_are_not(capfd):
    with suppress_native_log():
        os.write(2, b"native\n")
        print("python", file=sys.stderr)
        handler = logging.StreamHandler()  # as TensorFlow makes one when it is imported
    os.write(2, b"native again\n")
    handler.emit(logging.makeLogRecord({"msg": "logged later"}))
    assert capfd.readouterr().err == "python\nnative again\nlogged later\n"


def test_a_process_without_standard_error_goes_on():
    original = os.dup(2)
    os.close(2)
    try:
        with suppress_native_log():
            pass
    finally:
        os.dup2(original, 2)
        os.close(original)
