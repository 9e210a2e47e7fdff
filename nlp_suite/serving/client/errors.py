"""The one error of the clients, and when to try again."""

import random
import time

from nlp_suite.errors import NlpSuiteError
from nlp_suite.serving.status import Code

FIRST_DELAY, LONGEST_DELAY = 0.1, 3.0  # seconds between attempts; it doubles, and a random part of up to half comes off


class ServingClientError(NlpSuiteError, RuntimeError):
    """What a server refused, or why it could not be asked.

    Attributes:
        code: a `Code`, such as `Code.NOT_FOUND`.
        message: the host, the model and the server's own message.
    """

    def __init__(self, code: Code, message: str):
        super().__init__(f"{code.name}: {message}")
        self.code, self.message = code, message


class Again(Exception):
    """An attempt that failed in a way that another may mend."""

    def __init__(self, error: ServingClientError):
        super().__init__(str(error))
        self.error = error


def with_retries(attempt, timeout: float, retries: int):
    """Calls `attempt(seconds left)` until it raises no `Again`, at most `1 + retries` times.

    Waits between attempts with exponential back-off and jitter, and gives up early where the wait would pass the
    deadline.

    Raises:
        ServingClientError: that of the last attempt, or what `attempt` raised itself.
    """
    deadline, number, last = time.monotonic() + timeout, 0, None
    while True:
        try:
            return attempt(deadline - time.monotonic())
        except Again as again:
            wait = min(LONGEST_DELAY, FIRST_DELAY * 2**number) * random.uniform(0.5, 1.0)
            number, last = number + 1, again.error
            if number > retries or time.monotonic() + wait >= deadline:
                attempts = f" (after {number} attempts)" if number > 1 else ""
                raise ServingClientError(last.code, last.message + attempts) from last
        except ServingClientError as error:
            if last is None or error.code is not Code.DEADLINE_EXCEEDED:
                raise
            raise ServingClientError(error.code, f"{error.message}; before that {last}") from error
        time.sleep(wait)
