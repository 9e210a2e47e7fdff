"""The connections between the processes of a training: they meet, wait for one another, and end together."""

import re
import socket
import threading
import time

import pytest

from nlp_suite.errors import TrainingError, UsageError
from nlp_suite.training.launch import Launch
from nlp_suite.training.peers import Peers


def address():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return f"localhost:{probe.getsockname()[1]}"


def meet(processes, seconds=5.0, launches=None, place=None):
    """The connections of processes that are threads here, or what each raised; and the exit codes that they would have had."""
    place, found, ended = place or address(), {}, []

    def join(launch):
        try:
            found[launch.process] = Peers(launch, seconds, ended.append)
        except TrainingError as error:
            found[launch.process] = error

    launches = launches or [(processes, p) for p in range(processes)]
    threads = [threading.Thread(target=join, args=(Launch(n, p, place, "test"),)) for n, p in launches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, ended


def in_threads(*functions):
    results = [None] * len(functions)

    def call(i):
        try:
            results[i] = functions[i]()
        except TrainingError as error:
            results[i] = error

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return results


def test_processes_wait_for_one_another_and_say_goodbye():
    peers, ended = meet(3)
    values = in_threads(*(lambda p=p: peers[p].gather("here", [p]) for p in range(3)))
    assert values == [[[0], [1], [2]]] * 3
    for p in (1, 2, 0):
        peers[p].leave()
    time.sleep(0.1)
    assert ended == []


def test_a_dead_process_ends_those_that_compute_and_those_that_wait(capsys):
    peers, ended = meet(3)
    peers[1]._closing = True  # it has no time to notice

    def kill():
        time.sleep(0.1)
        peers[1]._close()  # as the system does

    results = in_threads(lambda: peers[0].gather("save"), kill)
    assert "process 1 of 3 died" in str(results[0]) and "with another number of processes" in str(results[0])
    until = time.monotonic() + 5
    while not ended and time.monotonic() < until:
        time.sleep(0.01)
    assert ended == [1]  # process 2, which was told by process 0
    assert "error: process 1 of 3 died" in capsys.readouterr().err
    with pytest.raises(TrainingError, match="process 1 of 3 died"):
        peers[0].settle(RuntimeError("Gloo: connection closed by peer"))


def test_why_a_process_fails_is_told_to_the_others():
    peers, _ = meet(2)
    results = in_threads(lambda: peers[0].gather("save"), lambda: peers[1].leave("the disk is full"))
    assert str(results[0]) == "process 1 of 2: the disk is full"


def test_who_does_not_come_is_named():
    found, _ = meet(3, 0.5, [(3, 0), (3, 2)])
    assert "process 0 waited 0 s at" in str(found[0]) and "process 1 did not come" in str(found[0])
    assert "set NLP_SUITE_START_SECONDS" in str(found[0])
    found, _ = meet(2, 0.3, [(2, 1)])
    assert "process 1 waited 0 s for the coordinator localhost:" in str(found[1]) and "refused" in str(found[1])
    found, _ = meet(2, 1.0, [(2, 0), (4, 1)])
    assert "process 1 was started as one of 4 processes, process 0 as one of 2" in str(found[0])
    assert str(found[1]) == str(found[0])


def test_who_has_come_is_told_who_has_not():
    place, found = address(), {}

    def join(process, seconds):
        try:
            Peers(Launch(3, process, place, "test"), seconds)
        except TrainingError as error:
            found[process] = str(error)

    in_threads(lambda: join(0, 0.3), lambda: join(2, 20.0))
    assert found[2] == found[0] and "process 1 did not come" in found[2]


@pytest.mark.parametrize(
    "answer, message",
    [
        (
            None,
            "process 1 waited 0 s for the coordinator .*, which took the connection and said nothing: start process 0 there",
        ),
        (b"", "process 0 of 2 died before all processes had come; the same command goes on"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "where something else answered"),
        (b"12\n", "where something else answered"),
    ],
)
def test_a_coordinator_that_does_not_answer_is_named(answer, message):
    """It hangs, it is killed while it waits for a third one, or it is no process of a training."""
    with socket.create_server(("localhost", 0)) as server:
        place, kept = f"localhost:{server.getsockname()[1]}", []

        def answers():
            kept.append(server.accept()[0])
            if answer is not None:
                kept[0].recv(1000)
                kept[0].sendall(answer)
                kept[0].close()

        thread = threading.Thread(target=answers)
        thread.start()
        found, _ = meet(2, 0.3 if answer is None else 20.0, [(2, 1)], place)
        thread.join()
        kept[0].close()
    assert re.search(message, str(found[1]))


def test_a_process_waits_for_less_than_a_minute_or_as_long_as_it_is_told(monkeypatch):
    """One whose counterpart was killed before they met cannot know it: it must end by itself."""
    monkeypatch.delenv("NLP_SUITE_START_SECONDS", raising=False)
    waited = iter([0.0, 1.0, 44.0, 46.0, 61.0])
    monkeypatch.setattr("nlp_suite.training.peers.time.monotonic", lambda: next(waited))
    monkeypatch.setattr("nlp_suite.training.peers.time.sleep", lambda seconds: None)
    with pytest.raises(TrainingError, match="process 1 waited 45 s for the coordinator"):
        Peers(Launch(2, 1, address()))
    assert next(waited) == 61
    monkeypatch.setenv("NLP_SUITE_START_SECONDS", "soon")
    with pytest.raises(UsageError, match="NLP_SUITE_START_SECONDS is 'soon'; allowed: a number of seconds above 0"):
        Peers(Launch(2, 1, "localhost:1"))


def test_a_process_that_dies_while_it_waits_may_come_again():
    place, came = address(), threading.Event()
    found = [None] * 3

    def join(process):
        found[process] = Peers(Launch(3, process, place, "test"), 20.0)

    def die_and_come_again():
        host, port = place.split(":")
        while True:
            try:
                connection = socket.create_connection((host, int(port)))
                break
            except OSError:
                time.sleep(0.01)
        connection.sendall(b'{"process": 1, "processes": 3}\n')
        connection.close()
        came.set()
        time.sleep(0.3)  # the last one comes first
        join(1)

    def last():
        came.wait(20)
        join(2)

    in_threads(lambda: join(0), die_and_come_again, last)
    values = in_threads(*(lambda p=p: found[p].gather("here", p) for p in range(3)))
    assert values == [[0, 1, 2]] * 3
    for peers in found:
        peers.leave()
