"""Short requests run in their own thread; long ones, and those whose time is nearly up, where they can be ended."""

from types import SimpleNamespace

import numpy as np
import pytest

from nlp_suite.serving.caller import Caller
from nlp_suite.serving.own_thread import SHORT, RowTimes
from nlp_suite.serving.servable import Servable, SessionSettings


def test_what_is_not_known_is_not_short():
    assert not RowTimes().is_short("a", 1, None)


def test_the_fastest_row_counts_and_slower_ones_are_followed():
    times = RowTimes()
    times.add("a", 4, 0.8e-3)
    times.add("a", 1, 0.5)  # other work got in between
    assert times.is_short("a", 4, None)
    assert not times.is_short("a", 5, None) and not times.is_short("b", 1, None)
    for _ in range(1000):
        times.add("a", 1, 2 * SHORT)
    assert not times.is_short("a", 1, None)


def test_a_deadline_must_leave_room():
    times = RowTimes()
    times.add("a", 1, 0.2e-3)
    assert times.is_short("a", 1, 1.0) and not times.is_short("a", 1, 0.1)


def test_no_rows():
    times = RowTimes()
    times.add("a", 0, 0.1e-3)
    assert times.is_short("a", 0, None)
    assert not times.is_short("a", 1, None)  # which says nothing of a row


@pytest.fixture
def runs(toys):
    """A function that loads a toy model, asks it often, and gives the options of one more run with a caller's deadline."""
    loaded = []

    def make(model, timeout_ms, **settings):
        servable = Servable(model, 1, toys(model, **settings), SessionSettings())
        loaded.append((servable, native := servable._native))
        given = []

        def run(session, options, *rest):
            given.append(options)
            return native.TF_SessionRun_wrapper(session, options, *rest)

        servable._native = SimpleNamespace(**vars(native) | {"TF_SessionRun_wrapper": run})
        for limit in [None] * 50 + [timeout_ms]:
            caller = Caller(limit)
            answer = servable.run("serving_default", {"x": np.ones(1, "float32")}, ["y"], caller)
        assert answer["y"].shape == (1,)
        return given, servable._own_thread

    yield make
    for servable, native in loaded:
        servable._native = native
        servable.close()


def test_a_short_request_runs_in_its_own_thread(runs):
    options, own_thread = runs("of_text_ops", 60_000)
    assert options[0] is None and options[-1] is own_thread


def test_one_that_could_pass_its_deadline_can_be_ended(runs, monkeypatch):
    monkeypatch.setattr("nlp_suite.serving.own_thread._SPARE", 10**12)
    options, own_thread = runs("of_text_ops", 60_000)
    assert options[-2] is own_thread and options[-1] not in (own_thread, None)


def test_a_long_request_never_does(runs):
    options, own_thread = runs("slow", 60_000, loops=30)
    assert own_thread not in options
