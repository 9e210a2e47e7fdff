"""More connections than there are file descriptors: they are refused at once, the log says so once, and all goes on."""

import errno
import logging
import os
import resource
import socket
import threading
import time

import pytest

from nlp_suite.serving import descriptors
from nlp_suite.serving.descriptors import ConnectionLimit, OverloadLog, raise_limit
from tests.serving.endpoint import Command, Endpoint
from tests.serving.fake_servables import until

GOOD = ("POST", "/v1/models/m:predict", {"instances": [2.0]})


@pytest.fixture
def model(toys):
    return {"model_name": "m", "model_base_path": str(toys("half_plus").parent)}


@pytest.fixture
def few(monkeypatch):
    """Three connections a port."""
    limit = ConnectionLimit(per_port=3)
    monkeypatch.setattr(ConnectionLimit, "of_this_process", lambda ports: limit)
    return limit


def held(port, number):
    return [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(number)]


def until_closed(connection):
    found = b""
    while more := connection.recv(4096):
        found += more
    return found


def rest_status(made):
    """The status of an answer; that of a refusal where the connection is closed before it can be read."""
    try:
        return made.rest(*GOOD).status
    except (BrokenPipeError, ConnectionResetError):  # too many are being refused to wait for what each sends
        return 503


def grpc_code(made):
    """How a call ends on a connection of its own."""
    from nlp_suite.serving.client import GrpcClient, ServingClientError

    with GrpcClient(f"127.0.0.1:{made.port}", retries=0, timeout=20) as client:
        try:
            client.status("m")
        except ServingClientError as error:
            return error.code.name
        return "OK"


def test_one_too_many_over_rest(model, few):
    with Endpoint(**model) as made:
        connections = held(made.rest_port, 3)
        until(lambda: few.rest == 3)
        answer = made.rest(*GOOD)
        assert answer.status == 503 and "as many connections as it can hold" in answer.json["error"]
        assert answer.headers["retry-after"] == "1" and answer.headers["connection"] == "close"
        (silent,) = held(made.rest_port, 1)  # that asks nothing
        assert until_closed(silent).startswith(b"HTTP/1.1 503 ")
        few.waiting = few.kept_free  # no descriptor to wait with
        (silent,) = held(made.rest_port, 1)
        assert until_closed(silent).startswith(b"HTTP/1.1 503 ")
        few.waiting = 0
        connections[0].sendall(b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\n\r\n")  # who is there goes on being answered
        assert connections[0].recv(4096).startswith(b"HTTP/1.1 200 ")
        assert made.half("m") == 3.0
        for connection in connections:
            connection.close()
        until(lambda: few.rest == 0)
        assert made.rest(*GOOD).status == 200 and few.refused == 3


def test_one_too_many_over_grpc(model, few):
    with Endpoint(**model, rest_api_port=0) as made:
        connections = held(made.port, 3)
        until(lambda: grpc_code(made) == "UNAVAILABLE")
        for connection in connections:
            connection.close()
        until(lambda: grpc_code(made) == "OK")


def test_the_log_says_it_once(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "nlp_suite")
    limit, opened = ConnectionLimit(per_port=10), [5]
    monkeypatch.setattr(descriptors, "open_descriptors", lambda: opened[0])
    log = OverloadLog(limit, grpc=True)

    def said(rest=0, grpc=0, refused=0):
        caplog.clear()
        limit.rest, limit.refused, opened[0] = rest, limit.refused + refused, 5 + rest + grpc
        log.look()
        return [record.levelname for record in caplog.records]

    assert said(rest=9, grpc=9) == []
    assert said(rest=10) == ["ERROR"] and said(rest=10) == said(rest=9) == []
    assert said(rest=8) == ["INFO"] and said(rest=8) == []
    assert said(grpc=10) == ["ERROR"] and said(grpc=2) == ["INFO"]
    assert said(refused=1) == ["ERROR"] and said() == ["INFO"]  # in a moment between two looks
    assert OverloadLog(limit, grpc=False)._grpc_connections() == 0


def test_descriptors_that_something_else_took(model, few, monkeypatch, caplog):
    """The system refuses to accept; asyncio tries again in a second."""
    errors = [OSError(errno.EMFILE, "Too many open files"), KeyError("x")]
    accept = socket.socket.accept

    def fails(self):
        if errors:
            raise errors.pop(0)
        return accept(self)

    with Endpoint(**model) as made:
        monkeypatch.setattr(socket.socket, "accept", fails)
        assert made.rest(*GOOD).status == 200
        assert few.refused == 1 and "Too many" not in caplog.text and "KeyError" in caplog.text


def test_what_follows_from_the_limit_of_the_system(monkeypatch):
    soft = [0]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (soft[0], resource.RLIM_INFINITY))
    monkeypatch.setattr(descriptors, "open_descriptors", lambda: 50)

    def limit(number, ports):
        soft[0] = number
        return ConnectionLimit.of_this_process(ports)

    assert limit(1024, 2) == ConnectionLimit((1024 - 50 - 256) // 2, 256) and limit(1024, 2).accepted_at_once == 128
    assert limit(1024, 1).per_port == 718 and limit(60, 2).per_port == 1
    assert limit(2**20, 2).kept_free == 4096 and limit(2**20, 2).accepted_at_once == 2048
    assert limit(resource.RLIM_INFINITY, 2) == ConnectionLimit()


def test_the_limit_is_raised_as_far_as_the_system_allows(monkeypatch):
    given, unlimited = [], resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: given.append(pair))
    for limits in [(1024, 4096), (1024, 2**30), (1024, unlimited), (4096, 4096), (unlimited, unlimited)]:
        monkeypatch.setattr(resource, "getrlimit", lambda kind, limits=limits: limits)
        raise_limit()
    assert given == [(4096, 4096), (2**20, 2**30), (2**20, unlimited)]


@pytest.mark.slow
def test_descriptors_run_out_and_come_back(model):
    """A process that may open 200 files, and 300 connections to each port."""
    with Command(*(f"--{name}={value}" for name, value in model.items())) as made:
        resource.prlimit(made.process.pid, resource.RLIMIT_NOFILE, (200, 200))
        made.wait_ready()
        threading.Thread(target=made.log.extend, args=(made.process.stderr,), daemon=True).start()
        for port, ask in [(made.rest_port, lambda: rest_status(made)), (made.port, lambda: grpc_code(made))]:
            connections = held(port, 300)
            until(lambda ask=ask: ask() in (503, "UNAVAILABLE"))
            start = time.monotonic()
            assert [ask() for _ in range(5)] in ([503] * 5, ["UNAVAILABLE"] * 5)
            assert time.monotonic() - start < 10  # where each of them waited for its time-out before
            assert len(os.listdir(f"/proc/{made.process.pid}/fd")) < 200 - 25  # some are left for models
            until(lambda: "more are refused" in made.log[-1])
            for connection in connections:
                connection.close()
            until(lambda ask=ask: ask() in (200, "OK"))
            until(lambda: "accepted again" in made.log[-1])
        assert made.half("m") == 3.0
        log = "".join(made.log)
        assert log.count("out of file descriptors") == log.count("accepted again") == 2 and "Traceback" not in log
