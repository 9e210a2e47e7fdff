"""Standard error of native code, which writes whatever log level Python sets."""

import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_depth = 0  # contexts that are open, in all threads: the first redirects, the last restores
_restore: Callable[[], None] | None = None


@contextmanager
def suppress_native_log() -> Iterator[None]:
    """Within the context, what native code writes to standard error is dropped; Python's own output goes through.

    It redirects a file descriptor of the process, so all threads are affected. Contexts may be nested and overlap.
    """
    global _depth, _restore
    with _lock:
        if _depth == 0:
            _restore = _redirect()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _restore:
                _restore()


def _redirect() -> Callable[[], None] | None:
    """Sends descriptor 2 to nowhere, and Python's standard error to where it went; returns what undoes both."""
    try:
        original, for_python = os.dup(2), os.dup(2)
    except OSError:  # there is no standard error
        return None
    python_stderr = sys.stderr
    encoding = getattr(python_stderr, "encoding", None)
    stream = os.fdopen(for_python, "w", 1, encoding, "backslashreplace", closefd=False)
    weakref.finalize(stream, os.close, for_python)  # a log handler that is made meanwhile may keep it
    if _writes_to_descriptor_2(python_stderr):
        sys.stderr = stream
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)

    def restore() -> None:
        os.dup2(original, 2)
        os.close(original)
        os.close(sink)
        if sys.stderr is stream:
            sys.stderr = python_stderr
        stream.flush()

    return restore


def _writes_to_descriptor_2(stream: object) -> bool:
    try:
        return stream.fileno() == 2  # type: ignore[attr-defined,no-any-return]
    except (OSError, ValueError, AttributeError):
        return False
