"""Requests that mean harm: each gets the contract's error, and the server answers the next good one."""

import json
import socket
import threading
from contextlib import ExitStack

import grpc
import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.serving.endpoint import Command, http_ask, model_list
from tests.serving.hostile_requests import MODELS, Grpc, Raw, Rest, requests

CLIENTS_FAULT = {400, 404, 408, 413, 429, 501}
CODES = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED", "OUT_OF_RANGE"}
SECONDS = 3  # that a body may take


@pytest.fixture(scope="module")
def models(toys, tmp_path_factory):
    file = tmp_path_factory.mktemp("hostile") / "list"
    file.write_text(model_list({name: toys("half_plus" if name == "half" else name).parent for name in MODELS}))
    return file


@pytest.fixture
def servers(models):
    limits = ["--rest_api_max_body_bytes=4000000", f"--rest_api_timeout_in_ms={SECONDS}000", "--page=false"]
    with ExitStack() as stack:
        started = [
            stack.enter_context(Command(f"--model_config_file={models}", *limits, *more))
            for more in ([], ["--enable_batching"])
        ]
        yield [made.wait_ready() for made in started]


def put(server, request):
    """Asks, and checks that the answer is one of the contract's."""
    if isinstance(request, Rest):
        answer = http_ask(server.rest_port, request.method, request.path, request.body, request.headers, timeout=30)
        assert answer.status == 200 or answer.status in CLIENTS_FAULT, (request, answer)
        if answer.status != 200 and request.method != "HEAD":
            assert answer.headers["content-type"] == "application/json", (request, answer)
            found = json.loads(answer.body.decode("utf-8"))
            assert list(found) == ["error"] and isinstance(found["error"], str), (request, answer)
            assert "[[{{" not in found["error"], (request, found)
    elif isinstance(request, Raw):
        with socket.create_connection(("127.0.0.1", server.rest_port), timeout=30) as connection:
            try:
                connection.sendall(request.sent)
                connection.shutdown(socket.SHUT_WR)
                found = connection.recv(65536)
            except ConnectionResetError:
                found = b""
        assert not found or found.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), request
        assert b" 500 " not in found.split(b"\r\n")[0], (request, found)
    else:
        try:
            server.channel.unary_unary(f"/tensorflow.serving.{request.method}")(request.body, timeout=30)
        except grpc.RpcError as error:
            assert error.code().name in CODES, (request, error.code(), error.details())
            assert "[[{{" not in error.details(), (request, error.details())


def slow_bodies(server, number):
    """Connections that send a part of a body and then nothing; a function that waits for their answers."""
    head = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    connections = [socket.create_connection(("127.0.0.1", server.rest_port), timeout=30) for _ in range(number)]
    for connection in connections:
        connection.sendall(head)

    def answers():
        found = [connection.recv(65536) for connection in connections]
        for connection in connections:
            connection.close()
        return found

    return answers


@pytest.mark.slow
def test_hostile_requests(servers):
    number, kinds = 10_000, {Rest: 0, Raw: 0, Grpc: 0}

    @seed(5)
    @settings(max_examples=number, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(requests)
    def attack(hostile):
        for server in servers:
            put(server, hostile)
        kinds[type(hostile)] += 1

    for server in servers:  # so that no log fills its pipe
        threading.Thread(target=server.log.extend, args=(server.process.stderr,), daemon=True).start()
    before = [server.figures()[0] for server in servers]
    waiting = [slow_bodies(server, 20) for server in servers]
    attack()
    assert sum(kinds.values()) >= number and min(kinds.values()) > 0
    for server, first, answers in zip(servers, before, waiting, strict=True):
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in answers())
        memory, threads = server.figures()
        print(f"{number} hostile requests: {first:.0f} MB, then {memory:.0f} MB and {threads} threads; {kinds}")
        assert memory - first < 300 and threads < 200  # 64 threads a port, each with its malloc arena
        assert server.half("half") == 3.0
        answer = server.rest("POST", "/v1/models/half:predict", {"instances": [2.0]})
        assert answer.status == 200 and answer.json == {"predictions": [3.0]}
        assert server.process.poll() is None and "Traceback" not in "".join(server.log)
