"""The error of the clients, and when to try again."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from nlp_suite.errors import NlpSuiteError
from nlp_suite.serving.status import Code

FIRST_DELAY, MAX_DELAY = 0.1, 3.0  # seconds between attempts; it doubles, and a random part of up to half comes off
_Answer = TypeVar("_Answer")


class ServingClientError(NlpSuiteError, RuntimeError):
    """What a server refused, or why it could not be asked.

    Attributes:
        code: a `Code`, such as `Code.NOT_FOUND`.
        message: the host, the model and the server's message.
    """

    def __init__(self, code: Code, message: str):
        super().__init__(f"{code.name}: {message}")
        self.code, self.message = code, message


class RetryableError(Exception):
    """An attempt that failed in a way that another may not."""

    def __init__(self, error: ServingClientError):
        super().__init__(str(error))
        self.error = error


def with_retries(attempt: Callable[[float], _Answer], timeout: float, retries: int) -> _Answer:
    """Calls `attempt(seconds left)` until it raises no `RetryableError`, at most `1 + retries` times.

    Waits between attempts with exponential back-off and jitter, and gives up early where the wait would pass the
    deadline.

    Raises:
        ServingClientError: that of the last attempt, or what `attempt` raised directly.
    """
    deadline, number = time.monotonic() + timeout, 0
    last: ServingClientError | None = None
    while True:
        try:
            return attempt(deadline - time.monotonic())
        except RetryableError as failure:
            wait = min(MAX_DELAY, FIRST_DELAY * 2**number) * random.uniform(0.5, 1.0)
            number, last = number + 1, failure.error
            if number > retries or time.monotonic() + wait >= deadline:
                attempts = f" (after {number} attempts)" if number > 1 else ""
                raise ServingClientError(last.code, last.message + attempts) from last
        except ServingClientError as error:
            if last is None or error.code is not Code.DEADLINE_EXCEEDED:
                raise
            raise ServingClientError(error.code, f"{error.message}; before that {last}") from error
        time.sleep(wait)
