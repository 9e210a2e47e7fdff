"""Memory of large requests is given back once in a while, whatever happens to the thread that does it."""

import threading

import pytest

from nlp_suite.serving import memory


@pytest.fixture
def released(monkeypatch):
    """What was given back: an event, which is set by the thread; it waits for nothing."""
    done, release = threading.Event(), memory._release

    def noted():
        release()
        done.set()

    monkeypatch.setattr(memory, "_DELAY", 0)
    monkeypatch.setattr(memory, "_release", noted)
    return done


def test_after_a_large_request_only(released, monkeypatch):
    memory.release_soon(memory.LARGE_BYTES - 1)
    assert not memory._pending.locked() and not released.is_set()
    memory.release_soon(memory.LARGE_BYTES)
    assert released.wait(10) and not memory._pending.locked()


def test_a_system_without_threads_fails_no_request_and_is_asked_again(released, monkeypatch):
    def no_more(self):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Timer, "start", no_more)
        memory.release_soon(memory.LARGE_BYTES)
    memory.release_soon(memory.LARGE_BYTES)
    assert released.wait(10)
