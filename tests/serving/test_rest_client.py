"""What only the REST client has, the addresses of both, and servers that are none."""

import socket
import threading
import time

import pytest

from nlp_suite.serving.client import GrpcClient, RestClient, ServingClientError
from nlp_suite.serving.status import Code
from tests.serving.fake_servers import FakeGrpc, FakeRest


@pytest.fixture
def rest():
    made = FakeRest()
    yield made
    made.close()


def test_a_connection_is_kept_and_made_again_when_the_server_dropped_it(rest):
    opened = []
    accept = rest.server.get_request
    rest.server.get_request = lambda: opened.append(1) or accept()
    with RestClient(rest.target) as client:
        for _ in range(5):
            client.status("sentiment")
        assert len(opened) == 1
        rest.hang_up = True
        for _ in range(3):
            client.status("sentiment")
            time.sleep(0.05)
        assert len(rest.asked) == 8 and len(opened) == 3


def test_answers_that_are_none(rest):
    for answer, code, message in (
        ((502, b"<html>bad gateway</html>"), Code.UNKNOWN, "HTTP 502 <html>bad gateway"),
        ((200, b"<html>hello</html>"), Code.INTERNAL, "an answer that cannot be read"),
        ((200, b'{"other": 1}'), Code.INTERNAL, "an answer that cannot be read: KeyError"),
        ((200, b"[" * 100_000), Code.INTERNAL, "an answer that cannot be read"),
    ):
        rest.reply = lambda path, body, answer=answer: answer
        with RestClient(rest.target) as client, pytest.raises(ServingClientError) as caught:
            client.status("sentiment")
        assert caught.value.code is code and message in str(caught.value)


def test_addresses():
    assert RestClient("localhost:8501").target == "http://localhost:8501"
    assert RestClient("https://models.example.org/prefix/").target == "https://models.example.org/prefix"
    assert GrpcClient("grpc://localhost:8500").target == "localhost:8500"
    with pytest.raises(ValueError, match="ftp://x"):
        RestClient("ftp://x")
    assert GrpcClient("unix:/run/socket").target == "unix:/run/socket"
    for address in ("localhost:99999", "localhost:0", "localhost:http", "[::1]:65536"):
        port = address.rsplit(":", 1)[1]
        for make in (GrpcClient, RestClient):
            with pytest.raises(ValueError, match=rf"localhost.*port '{port}'; allowed are 1 to 65535|'\[::1\]:65536'"):
                make(address)


@pytest.mark.parametrize("timeout", [-1, 0, float("nan"), float("inf")])
def test_a_timeout_that_cannot_be(timeout):
    for make in (GrpcClient, RestClient):
        with pytest.raises(ValueError, match=f"timeout {timeout}: seconds above 0 are expected"):
            make("localhost:1", timeout=timeout)


def test_a_grpc_port_asked_over_rest_is_recognised():
    server = FakeGrpc()
    try:
        with RestClient(server.target) as client, pytest.raises(ServingClientError) as caught:
            client.status("sentiment")
    finally:
        server.close()
    assert f"this looks like a gRPC port; ask it as grpc://{server.target}" in str(caught.value)


def test_what_is_no_http_is_quoted_so_that_it_can_be_read():
    def answer():
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"\x1b[31mred\0\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        threading.Thread(target=answer, daemon=True).start()
        with RestClient(f"127.0.0.1:{port}", retries=0) as client, pytest.raises(ServingClientError) as caught:
            client.status("sentiment")
    assert str(caught.value).endswith(r"no HTTP in the answer, which begins '\x1b[31mred\x00\n'")
