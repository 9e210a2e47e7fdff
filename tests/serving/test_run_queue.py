"""Which runs wait for which, and what runs together: with graphs that are Python functions."""

import threading

import numpy as np
import pytest

from nlp_suite.serving.caller import Caller
from nlp_suite.serving.flags import Options
from nlp_suite.serving.run_queue import RunQueue, in_slices, slices
from nlp_suite.serving.server import _session_settings
from nlp_suite.serving.status import Code, ServingError


class Graph:
    """y = 10 x, refusing negative numbers; every run waits for `gate`, and its rows are listed in `runs`."""

    def __init__(self):
        self.gate, self.runs, self.seconds = threading.Event(), [], []
        self.most, self._now, self._lock = 0, 0, threading.Lock()

    def __call__(self, feeds, seconds):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.runs.append(feeds["x"].tolist())
            self.seconds.append(seconds)
        assert self.gate.wait(30)
        with self._lock:
            self._now -= 1
        if (feeds["x"] < 0).any():
            raise ValueError(f"negative: {feeds['x'].min()}")
        return {"y": feeds["x"] * 10}


@pytest.fixture
def asked():
    """A function that asks in a thread and gives it; its `answer` is there at the end. Later ones come later."""
    threads = []

    def ask(queue, graph, *values, caller=None, key="k"):
        def run():
            try:
                feeds = {"x": np.array(values)}
                thread.answer = queue.run(graph, feeds, caller or Caller(), key=key, rows=len(values))["y"].tolist()
            except Exception as error:
                thread.answer = error

        before = len(queue._waiting), len(graph.runs)
        thread = threading.Thread(target=run)
        threads.append(thread)
        thread.start()
        while (len(queue._waiting), len(graph.runs)) == before and thread.is_alive():
            thread.join(0.001)
        return thread

    yield ask
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def answers(graph, *threads):
    graph.gate.set()
    for thread in threads:
        thread.join(30)
    return [thread.answer for thread in threads]


def test_no_more_than_the_slots_run_at_once_in_the_order_of_arrival(asked):
    queue, graph = RunQueue(2), Graph()
    threads = [asked(queue, graph, number, key=None) for number in range(6)]
    assert graph.runs == [[0], [1]]
    assert answers(graph, *threads) == [[10 * number] for number in range(6)]
    assert graph.most == 2 and sorted(graph.runs[2:]) == [[2], [3], [4], [5]] and graph.runs[2] in ([2], [3])


def test_what_waits_runs_together_if_it_may(asked):
    queue, graph = RunQueue(1, max_rows=4), Graph()
    threads = [asked(queue, graph, 0)]
    threads += [asked(queue, graph, 1, 2), asked(queue, graph, 3, key="other"), asked(queue, graph, 4)]
    threads += [asked(queue, graph, 5, 6), asked(queue, graph, 7), asked(queue, graph, 8, key=None)]
    assert answers(graph, *threads) == [[0], [10, 20], [30], [40], [50, 60], [70], [80]]
    assert graph.runs == [[0], [1, 2, 4, 7], [3], [5, 6], [8]]
    assert queue._free == 1


def test_nothing_runs_together_where_that_is_off(asked):
    queue, graph = RunQueue(1, together=False), Graph()
    threads = [asked(queue, graph, number) for number in range(3)]
    assert answers(graph, *threads) == [[0], [10], [20]] and graph.runs == [[0], [1], [2]]


@pytest.mark.parametrize(
    "flags, together",
    [({}, True), ({"run_waiting_requests_together": False}, False), ({"enable_batching": True}, False)],
)
def test_the_flags_that_switch_it_off(flags, together):
    """With batching only those requests come here that their batch failed with: they must run alone."""
    assert _session_settings(Options(**flags)).queue.together is together


def test_each_gets_its_own_error(asked):
    queue, graph = RunQueue(1), Graph()
    threads = [asked(queue, graph, number) for number in (0, 1, -2, 3, -4)]
    good, one, two, three, four = answers(graph, *threads)
    assert (good, one, three) == ([0], [10], [30])
    assert str(two) == "negative: -2" and str(four) == "negative: -4"
    assert queue._free == 1


def test_who_is_run_alone_does_not_wait_for_those_after_it(asked):
    last = threading.Event()

    class SlowAlone(Graph):
        def __call__(self, feeds, seconds):
            answer = super().__call__(feeds, seconds)
            return answer if feeds["x"].tolist() != [3] or last.wait(30) else None

    queue, graph = RunQueue(1), SlowAlone()
    _, one, two, three = (asked(queue, graph, number) for number in (0, 1, -2, 3))
    graph.gate.set()
    two.join(30)
    assert str(two.answer) == "negative: -2" and three.is_alive()
    last.set()
    assert answers(graph, one, three) == [[10], [30]]


def test_who_has_left_is_not_run(asked):
    queue, graph, left = RunQueue(1), Graph(), set()
    threads = [asked(queue, graph, 0)]
    threads += [asked(queue, graph, n, caller=Caller(has_left=lambda n=n: n in left)) for n in (1, 2, 3)]
    left |= {1, 3}
    first, one, two, three = answers(graph, *threads)
    assert (first, two) == ([0], [20]) and graph.runs == [[0], [2]]
    assert one.code == three.code == Code.CANCELLED and queue._free == 1


def test_a_deadline_ends_the_wait_and_is_passed_on(asked):
    queue, graph = RunQueue(1), Graph()
    running, waiting = asked(queue, graph, 0, caller=Caller(60_000)), asked(queue, graph, 1, caller=Caller(20))
    waiting.join(30)
    assert waiting.answer.code == Code.DEADLINE_EXCEEDED and not queue._waiting
    assert answers(graph, running) == [[0]] and 50 < graph.seconds[0] <= 60
    with pytest.raises(ServingError, match="before its deadline"):
        Caller(-1).seconds_left()


def test_together_the_longest_deadline_counts(asked):
    queue, graph = RunQueue(1), Graph()
    threads = [asked(queue, graph, 0)]
    threads += [asked(queue, graph, 1, caller=Caller(30_000)), asked(queue, graph, 2, caller=Caller(60_000))]
    assert answers(graph, *threads) == [[0], [10], [20]] and graph.runs == [[0], [1, 2]] and graph.seconds[1] > 30


def test_slices_have_so_many_rows_and_bytes():
    texts = np.array([b"x" * size for size in (10, 10, 10, 500, 10, 10)], object)
    assert slices({"x": texts}, 6, 4) == [slice(0, 4), slice(4, 6)]
    assert slices({"x": texts, "n": np.zeros(6)}, 6, 4, max_bytes=100) == [
        slice(0, 2),
        slice(2, 3),
        slice(3, 4),
        slice(4, 6),
    ]
    assert slices({"x": np.zeros([3, 0, 2])}, 3, 4) == [slice(0, 3)]
    assert slices({"x": np.full([2, 0], b"", object)}, 2, 4) == [slice(0, 2)]


def test_slices_are_put_together_again():
    def run(feeds):
        width = feeds["n"].max()
        words = np.array([[b"w"] * n + [b""] * (width - n) for n in feeds["n"]], object)
        return {"words": words, "n": feeds["n"], "square": np.ones([len(feeds["n"]), width, width])}

    lengths = {"n": np.array([1, 3, 2, 2, 5])}
    whole, cut = run(lengths), in_slices(run, lengths, slices(lengths, 5, 2), Caller())
    assert cut["words"].tolist() == whole["words"].tolist() and cut["n"].tolist() == whole["n"].tolist()
    assert cut["square"].shape == whole["square"].shape and cut["square"][0].sum() == 9  # 3 of its slice


def test_a_graph_that_does_not_answer_row_by_row_gets_all_rows():
    rows = {"x": np.arange(5)}
    assert in_slices(lambda feeds: {"y": feeds["x"][:1]}, rows, slices(rows, 5, 2), Caller())["y"].tolist() == [0]
    assert in_slices(lambda feeds: {"y": feeds["x"].sum()}, rows, slices(rows, 5, 2), Caller())["y"] == 10


def test_no_slice_is_run_for_who_has_left():
    seen = []

    def run(feeds):
        seen.append(len(feeds["x"]))
        return feeds

    rows = {"x": np.arange(10)}
    with pytest.raises(ServingError, match="the client has gone"):
        in_slices(run, rows, slices(rows, 10, 2), Caller(has_left=lambda: len(seen) == 2))
    assert seen == [2, 2]
