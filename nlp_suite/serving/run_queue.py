"""Which graphs run when: so many at once, large requests in slices, and requests that had to wait together."""

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from nlp_suite.serving.caller import Caller
from nlp_suite.serving.limits import array_bytes, row_bytes
from nlp_suite.serving.status import Code, ServingError

SLICE_BYTES = 2**20  # of the inputs of a slice: tokenising a text takes about thirty times its bytes
Arrays = dict[str, np.ndarray]
Run = Callable[[Arrays, float | None], Arrays]  # inputs and seconds → outputs, by alias


@dataclass(eq=False)
class _Request:
    """A request, or a slice of one.

    Attributes:
        run: runs its graph.
        feeds: its inputs by alias.
        caller: who waits for it.
        key: requests of one key may run together, as rows of one batch; None: with no other.
        rows: its rows, where it has a key.
        ready: set when it may run, or has been answered.
        together: the requests that it runs, itself the first; empty until it may run.
        answers: outputs by alias, when another request has run it.
        error: why it has none.
    """

    run: Run
    feeds: Arrays
    caller: Caller
    key: Hashable | None
    rows: int
    ready: threading.Event = field(default_factory=threading.Event)
    together: list["_Request"] = field(default_factory=list)
    answers: Arrays | None = None
    error: Exception | None = None


class RunQueue:
    """Runs graphs for many threads; first come, first served.

    More runs at once than there are cores would only take turns on them, so the rest waits. Requests of the same
    signature that wait are answered by one run: nobody waits for a batch to fill, and one request alone runs as it would
    without this.

    Args:
        slots: how many graphs run at once; default: one a core.
        max_rows: maximum rows of a run that has several requests, and of a slice.
        together: whether requests that wait may run together.

    Example:
        >>> RunQueue().run(lambda feeds, seconds: {"y": feeds["x"] + 1}, {"x": np.zeros(2)}, Caller())
        {'y': array([1., 1.])}
    """

    def __init__(self, slots: int = 0, max_rows: int = 64, *, together: bool = True):
        self.max_rows, self.together = max_rows, together
        self._free = slots or os.cpu_count() or 1
        self._lock = threading.Lock()
        self._waiting: deque[_Request] = deque()

    def run(self, run: Run, feeds: Arrays, caller: Caller, *, key: Hashable | None = None, rows: int = 1) -> Arrays:
        """Runs a graph when there is a slot for it.

        Args:
            run: the graph; it must answer row by row where there is a key.
            feeds: its inputs.
            caller: who waits.
            key: requests of the same key run together: the same graph, outputs, and types and shapes of a row.
            rows: of the inputs.

        Raises:
            ServingError: CANCELLED where the client has gone before its turn, DEADLINE_EXCEEDED where its time was up.
            Exception: what `run` raises.
        """
        request = _Request(run, feeds, caller, key if self.together else None, rows)
        seconds = caller.seconds_left()
        with self._lock:
            if self._free:
                self._free -= 1
                request.together = [request]
            else:
                self._waiting.append(request)
        if not request.together and not request.ready.wait(seconds):
            self._give_up(request)
        if not request.together:
            if request.error is not None:
                raise request.error
            assert request.answers is not None
            return request.answers
        try:
            return _answer(request.together)
        finally:
            self._pass_on()

    def _give_up(self, request: _Request) -> None:
        """Takes a request out whose time is up, unless it may run now, or another request runs it."""
        with self._lock:
            if request in self._waiting:
                self._waiting.remove(request)
            elif request.together or request.ready.is_set():
                return  # it has a slot, which the run gives back, or its answer
        request.caller.seconds_left()
        raise ServingError(Code.DEADLINE_EXCEEDED, "the request was not answered before its deadline")

    def _pass_on(self) -> None:
        """Gives a slot that is free now to the request that has waited longest, with those that can run with it."""
        with self._lock:
            while self._waiting and self._waiting[0].caller.has_left():
                gone = self._waiting.popleft()
                gone.error = ServingError(Code.CANCELLED, "the client has gone")
                gone.ready.set()
            if not self._waiting:
                self._free += 1
                return
            first = self._waiting.popleft()
            first.together = [first, *self._companions(first)]
        first.ready.set()

    def _companions(self, first: _Request) -> list[_Request]:
        """Takes those out that can run with a request, in their order."""
        if first.key is None:
            return []
        rows, companions = first.rows, []
        for request in self._waiting:
            if request.key == first.key and rows + request.rows <= self.max_rows and not request.caller.has_left():
                companions.append(request)
                rows += request.rows
        for request in companions:
            self._waiting.remove(request)
        return companions


def _answer(requests: list[_Request]) -> Arrays:
    """Runs requests, tells all but the first what they are answered, and returns the answer of the first."""
    first, *others = requests
    if not others:
        return first.run(first.feeds, first.caller.seconds_left())
    try:
        _answer_together(requests)
    except Exception:  # because of one of them: alone, each gets its own error
        for request in requests:
            _answer_alone(request)
            request.ready.set()  # it need not wait for those after it
    finally:
        for request in others:
            if request.answers is None and request.error is None:
                request.error = ServingError(Code.INTERNAL, "the run that the request was part of was ended")
            request.ready.set()
    if first.error is not None:
        raise first.error
    assert first.answers is not None
    return first.answers


def _answer_together(requests: list[_Request]) -> None:
    times = [request.caller.seconds_left() for request in requests]
    longest = None if None in times else max(time for time in times if time is not None)
    feeds = {alias: np.concatenate([request.feeds[alias] for request in requests]) for alias in requests[0].feeds}
    answers = requests[0].run(feeds, longest)
    start = 0
    for request in requests:
        request.answers = {alias: array[start : start + request.rows] for alias, array in answers.items()}
        start += request.rows


def _answer_alone(request: _Request) -> None:
    try:
        request.answers = request.run(request.feeds, request.caller.seconds_left())
    except Exception as error:
        request.error = error


def slices(feeds: Arrays, rows: int, max_rows: int, max_bytes: int = SLICE_BYTES) -> list[slice]:
    """Cuts inputs into runs of rows, each of at most `max_rows` rows and, unless it is a single row, `max_bytes` bytes.

    Example:
        >>> slices({"x": np.zeros([5, 2])}, 5, 2)
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    if rows <= max_rows and sum(map(array_bytes, feeds.values())) <= max_bytes:
        return [slice(0, rows)]
    sizes = np.zeros(rows)
    for array in feeds.values():
        sizes += row_bytes(array)
    cut, start, size = [], 0, 0.0
    for row in range(rows):
        if row > start and (row - start == max_rows or size + sizes[row] > max_bytes):
            cut.append(slice(start, row))
            start, size = row, 0.0
        size += sizes[row]
    return [*cut, slice(start, rows)]


def in_slices(run: Callable[[Arrays], Arrays], feeds: Arrays, parts: Sequence[slice], caller: Caller) -> Arrays:
    """Runs a large request a slice at a time, and no more of it when the client has gone.

    Slices whose answers have different widths are filled with zeros or empty strings, as the signatures of this suite do
    with shorter rows. A graph that does not answer row by row runs once with all rows.

    Args:
        run: inputs → outputs, by alias.
        feeds: the inputs; all have the same number of rows.
        parts: the slices, of all rows.
        caller: who waits.

    Raises:
        ServingError: the client has gone, or its time is up.
        Exception: what `run` raises.
    """
    answers: list[Arrays] = []
    for part in parts:
        caller.seconds_left()
        answer = run({alias: array[part] for alias, array in feeds.items()})
        if any(not array.ndim or len(array) != part.stop - part.start for array in answer.values()):
            return run(feeds)
        answers.append(answer)
    return {alias: _concatenated([answer[alias] for answer in answers]) for alias in answers[0]}


def _concatenated(arrays: list[np.ndarray]) -> np.ndarray:
    widest = np.max([array.shape[1:] for array in arrays], axis=0)
    empty = b"" if arrays[0].dtype == object else 0

    def widened(array: np.ndarray) -> np.ndarray:
        missing = [(0, 0), *((0, int(most) - size) for most, size in zip(widest, array.shape[1:]))]
        return np.pad(array, missing, constant_values=empty) if any(after for _, after in missing) else array

    return np.concatenate([widened(array) for array in arrays])
