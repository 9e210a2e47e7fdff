"""Standard error of native code, which writes whatever log level Python sets."""

import os
import sys
import weakref
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def suppress_native_log() -> Iterator[None]:
    """Within the context, what native code writes to standard error is dropped; Python's own output goes through.

    It redirects a file descriptor of the process, so all threads are affected.
    """
    try:
        original, for_python = os.dup(2), os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    python_stderr = sys.stderr
    sys.stderr = os.fdopen(for_python, "w", buffering=1, closefd=False)
    weakref.finalize(sys.stderr, os.close, for_python)  # a log handler that is made meanwhile may keep it
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(sink)
        sys.stderr.flush()
        sys.stderr = python_stderr
