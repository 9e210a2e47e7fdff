"""Memory that large requests took, given back to the system."""

import contextlib
import ctypes
import threading

LARGE_BYTES = 4 * 2**20  # of a request; smaller ones leave too little to search for
_DELAY = 0.5  # seconds, in which the request's own objects are freed
_pending = threading.Lock()


def release_soon(request_bytes: int) -> None:
    """Gives free memory back to the system shortly after a large request; with glibc it stays in the process otherwise."""
    if request_bytes >= LARGE_BYTES and _pending.acquire(blocking=False):
        timer = threading.Timer(_DELAY, _release)
        timer.daemon = True
        try:
            timer.start()
        except RuntimeError:  # the system has no more threads: the request is answered all the same
            _pending.release()


def _release() -> None:
    _pending.release()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
