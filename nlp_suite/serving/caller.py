"""Who waits for an answer: until when, and whether still."""

import time
from collections.abc import Callable

from nlp_suite.serving.status import Code, ServingError


def _stays() -> bool:
    return False


class Caller:
    """The client of one request.

    Args:
        timeout_ms: milliseconds that it waits from now; None: without limit.
        has_left: tells whether it has gone.

    Example:
        >>> 0 < Caller(timeout_ms=1000).seconds_left() <= 1
        True
    """

    def __init__(self, timeout_ms: float | None = None, has_left: Callable[[], bool] = _stays):
        self._deadline = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000
        self.has_left = has_left

    def seconds_left(self) -> float | None:
        """The time until its deadline, at least a millisecond; None where it has none.

        Raises:
            ServingError: CANCELLED where it has gone, DEADLINE_EXCEEDED where its time is up.
        """
        if self.has_left():
            raise ServingError(Code.CANCELLED, "the client has gone")
        if self._deadline is None:
            return None
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise ServingError(Code.DEADLINE_EXCEEDED, "the request was not answered before its deadline")
        return max(seconds, 1e-3)
