"""The REST port's edges: sizes, times, encodings, other origins, metrics, and what is no request at all."""

import asyncio
import contextlib
import gzip
import socket
import time

import pytest

from nlp_suite.serving.flags import Options
from nlp_suite.serving.rest.app import RestApp
from nlp_suite.serving.rest.protocol import MAX_HEAD_BYTES
from nlp_suite.serving.status import ServingError
from tests.serving.endpoint import Endpoint, http_ask, model_list, raw

GOOD = {"instances": [2.0]}
PREDICT = "/v1/models/default:predict"


@pytest.fixture(scope="module")
def half(toys):
    """The folder of a model."""
    return str(toys("half_plus").parent)


@pytest.fixture(scope="module")
def endpoint(toys, half, tmp_path_factory):
    """Small limits: a second a request, a megabyte a body."""
    file = tmp_path_factory.mktemp("rest") / "models.config"
    file.write_text(model_list({"default": half, "slow": toys("slow", loops=10**7).parent}))
    with Endpoint(
        model_config_file=str(file),
        rest_api_timeout_in_ms=1000,
        rest_api_max_body_bytes=2**20,
        rest_api_enable_cors_support=True,
    ) as made:
        yield made


@pytest.fixture(autouse=True)
def still_answers(endpoint):
    yield
    answer = endpoint.rest("POST", PREDICT, GOOD)
    assert answer.status == 200 and answer.json == {"predictions": [3.0]}


# ---------------------------------------------------------------------------------------------------- sizes and times


def test_a_request_that_the_ending_server_gives_up_is_dropped(monkeypatch):
    """uvicorn cancels its task after the seconds of draining; the thread that works on it must hear of that."""
    app, callers, dropped = RestApp(None, Options(rest_api_port=1)), [], []

    def work(*arguments):
        callers.append(arguments[-1])
        end = time.monotonic() + 10
        while not callers[0].has_left() and time.monotonic() < end:
            time.sleep(0.001)
        dropped.append(callers[0].has_left())

    async def give_up():
        messages = [{"type": "http.request", "body": b"{}"}]
        scope = {"raw_path": PREDICT.encode(), "method": "POST", "headers": [(b"host", b"x")], "http_version": "1.1"}

        async def receive():
            return messages.pop() if messages else await asyncio.Event().wait()

        task = asyncio.ensure_future(app._respond(scope, receive))
        while not callers:
            await asyncio.sleep(0.001)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    monkeypatch.setattr(app, "_answer", work)
    asyncio.run(give_up())
    app._threads.shutdown()
    assert dropped == [True]


def test_a_large_body_is_413(endpoint):
    answer = endpoint.rest("POST", PREDICT, b" " * (2**20 + 1))
    assert answer.status == 413 and answer.json == {"error": "the request's body has more than 1,048,576 bytes"}
    assert answer.headers["connection"] == "close"


def test_a_large_body_of_unknown_length_is_413(endpoint):
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    found = raw(
        endpoint,
        b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        *[chunk] * 40,
    )
    assert found.startswith(b"HTTP/1.1 413 ")


def test_a_body_of_the_largest_size_is_read(endpoint):
    body = b'{"instances": [2.0]' + b" " * (2**20 - 20) + b"}"
    assert endpoint.rest("POST", PREDICT, body).json == {"predictions": [3.0]}


def test_a_gzip_bomb_is_413(endpoint):
    bomb = gzip.compress(b" " * 2**28, mtime=0)
    assert len(bomb) < 2**20
    answer = endpoint.rest("POST", PREDICT, bomb, {"Content-Encoding": "gzip"})
    assert answer.status == 413 and "more than 1,048,576 bytes" in answer.json["error"]


@pytest.mark.parametrize(
    "encoding, body, error",
    [
        ("gzip", b"no gzip", "the body is not valid gzip"),
        ("gzip", gzip.compress(b'{"instances": [2.0]}', mtime=0)[:-9], "the body is not valid gzip"),
        ("gzip", gzip.compress(b"x", mtime=0)[:-8] + b"\0" * 8, "the body is not valid gzip"),
        ("br", b"x", "Content-Encoding 'br' is not supported (allowed: gzip)"),
    ],
)
def test_encodings_that_cannot_be_read_are_400(endpoint, encoding, body, error):
    answer = endpoint.rest("POST", PREDICT, body, {"Content-Encoding": encoding})
    assert answer.status == 400 and error in answer.json["error"]


def test_a_slow_body_is_408(endpoint):
    start = time.monotonic()
    found = raw(
        endpoint, b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n", b"{", pause=0.1
    )
    assert found.startswith(b"HTTP/1.1 408 ") and b"did not arrive within 1 s" in found
    assert b"connection: close" in found and 0.9 < time.monotonic() - start < 5


def test_without_a_time_limit_requests_are_answered(half):
    """As in the stock server, where 0 is no limit."""
    with Endpoint(model_name="m", model_base_path=half, port=0, rest_api_timeout_in_ms=0) as made:
        assert made.rest("POST", "/v1/models/m:predict", GOOD).json == {"predictions": [3.0]}
        head = b"POST /v1/models/m:predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 20\r\n\r\n"
        assert b" 200 " in raw(made, head, b'{"instances":', b" [2.0]}", pause=0.2)


def test_a_slow_head_ends_the_connection(endpoint, monkeypatch):
    monkeypatch.setattr(endpoint.server._http.config, "timeout_keep_alive", 0.4)
    start = time.monotonic()
    assert raw(endpoint, b"POST /v1/models/default:predict HTTP/1.1\r\n", *[b"X: y\r\n"] * 3, pause=0.1) == b""
    assert raw(endpoint) == b""  # nor may it say nothing
    assert time.monotonic() - start < 10


def test_an_endless_head_is_400(endpoint):
    line = b"X-Much: " + b"y" * 1000 + b"\r\n"
    found = raw(endpoint, b"GET /v1/models/default HTTP/1.1\r\n", *[line] * (MAX_HEAD_BYTES // 1000 + 1))
    assert found.startswith(b"HTTP/1.1 400 ") and b"head has more than 65536 bytes" in found


@pytest.mark.parametrize("kind", ["many trailers", "one trailer without end", "a chunk's line without end"])
def test_what_is_no_body_has_a_limit_after_the_head_too(endpoint, kind):
    begin = b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    begin += b'14\r\n{"instances": [2.0]}\r\n' + {"many": b"0\r\n", "one": b"0\r\nx: ", "a": b"1;x="}[kind.split()[0]]
    part = b"x: 1234\r\n" * 1000 if "many" in kind else b"x" * 9000
    found = raw(endpoint, begin, *[part] * 200)
    assert found.startswith(b"HTTP/1.1 400 ") and b"no body has more than 65536 bytes" in found


def test_trailers_are_read_and_not_taken_for_headers(endpoint):
    chunks = b'14\r\n{"instances": [2.0]}\r\n0\r\nContent-Encoding: gzip\r\nX: y\r\n\r\n'
    head = b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    last = b"GET /v1/models/default HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    found = raw(endpoint, b"POST " + PREDICT.encode() + head + chunks, last)
    assert found.count(b"HTTP/1.1 200 ") == 2 and b'"predictions": [3.0' in found


def test_trailers_have_a_limit_where_the_answer_came_before_them(endpoint):
    begin = b"POST /elsewhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    with socket.create_connection(("127.0.0.1", endpoint.rest_port), timeout=30) as connection:
        connection.sendall(begin)
        assert connection.recv(65536).startswith(b"HTTP/1.1 404 ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(3000):
                connection.sendall(b"x: 1234\r\n" * 1000)


def test_a_connection_that_says_nothing_of_use_is_closed(endpoint, monkeypatch):
    """What follows a message after which the client will close: nobody reads it."""
    monkeypatch.setattr(endpoint.server._http.config, "timeout_keep_alive", 0.4)
    chunks = b'14\r\n{"instances": [2.0]}\r\n0\r\nConnection: close\r\n\r\n'
    head = b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = raw(endpoint, b"POST " + PREDICT.encode() + head + chunks, b"nothing", pause=0.2, timeout=15)
    assert found.count(b"HTTP/1.1 200 ") == 1  # and then it was closed


def test_small_chunks_are_a_body(endpoint):
    body = b'{"instances": [2.0]' + b" " * 30_000 + b"}"  # 180,000 bytes of lines about chunks
    head = b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    sent = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    assert b'"predictions": [3.0' in raw(endpoint, b"POST " + PREDICT.encode() + head, sent)


def test_a_request_that_takes_too_long_is_504(endpoint):
    start = time.monotonic()
    answer = endpoint.rest("POST", "/v1/models/slow:predict", {"instances": [1.0]})
    assert answer.status == 504 and answer.json["error"].startswith("Timed out") and time.monotonic() - start < 10


def test_many_requests_on_one_connection(endpoint):
    request = b'POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{"instances": [2.0]}' % PREDICT.encode()
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert raw(endpoint, request, request + request, last).count(b'"predictions": [3.0') == 4


# ---------------------------------------------------------------------------------------------------- no request


@pytest.mark.parametrize(
    "sent", [b"\0\xff\n\n", b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n"]
)
def test_what_is_no_http_is_400(endpoint, sent):
    assert raw(endpoint, sent).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_leaves_does_no_harm(endpoint):
    with socket.create_connection(("127.0.0.1", endpoint.rest_port)) as connection:
        connection.sendall(b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")


def test_an_upgrade_is_answered_as_a_plain_request(endpoint):
    headers = b"Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Key: eA==\r\n"
    assert raw(endpoint, b"GET /v1/models/default HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n").startswith(
        b"HTTP/1.1 200 "
    )


@pytest.mark.parametrize("path", ["/", "/v2/models/default", "/v1", "/favicon.ico", "/../v1/models/default"])
def test_other_paths_are_404_in_html(endpoint, path):
    answer = endpoint.rest("GET", path)
    assert answer.status == 404 and answer.headers["content-type"].startswith("text/html")


def test_the_query_is_not_looked_at(endpoint):
    assert endpoint.rest("POST", f"{PREDICT}?pretty=1&x=:classify", GOOD).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "PATCH"])
def test_other_methods_are_400(endpoint, method):
    assert endpoint.rest(method, PREDICT, GOOD).status == 400


def test_json_is_looked_at_before_the_model(endpoint):
    for verb in ("predict", "classify", "regress"):
        answer = endpoint.rest("POST", f"/v1/models/absent:{verb}", b"{")
        assert answer.status == 400 and "JSON Parse error" in answer.json["error"]
        answer = endpoint.rest("POST", f"/v1/models/absent:{verb}", {"instances": [1], "examples": [{}]})
        assert answer.status == 404 and answer.json == {"error": "Servable not found for request: Latest(absent)"}


# ---------------------------------------------------------------------------------------------------- other origins


def test_pages_of_other_origins_may_ask(endpoint):
    headers = endpoint.rest("POST", PREDICT, GOOD, {"Origin": "https://example.org"}).headers
    assert headers["access-control-allow-origin"] == "*"
    asked = endpoint.rest("OPTIONS", PREDICT, None, {"Origin": "https://example.org"})
    assert asked.status == 200 and asked.headers["access-control-allow-methods"] == "POST, GET"
    assert asked.headers["access-control-allow-headers"] == "Content-Type"
    assert endpoint.rest("OPTIONS", PREDICT).status == 400


def test_they_may_not_unless_the_flag_says_so(half):
    with Endpoint(model_name="m", model_base_path=half, port=0) as other:
        answer = other.rest("GET", "/v1/models/m", None, {"Origin": "https://example.org"})
        assert answer.status == 200 and "access-control-allow-origin" not in answer.headers
        assert other.rest("OPTIONS", "/v1/models/m", None, {"Origin": "https://example.org"}).status == 400


# ---------------------------------------------------------------------------------------------------- metrics


@pytest.mark.parametrize(
    "config, path, status",
    [
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics", 200),
        ('prometheus_config { enable: true path: "/metrics" }', "/metrics", 200),
        ('prometheus_config { path: "/metrics" }', "/metrics", 404),
    ],
)
def test_metrics(half, tmp_path, config, path, status):
    (tmp_path / "monitoring.config").write_text(config)
    flags = {"monitoring_config_file": str(tmp_path / "monitoring.config")}
    with Endpoint(model_name="m", model_base_path=half, **flags) as made:
        made.half("m")
        assert made.rest("POST", "/v1/models/m:predict", {"instances": [1.0, 2.0]}).status == 200
        assert made.rest("POST", "/v1/models/m:predict", {"instances": ["x"]}).status == 400
        assert made.rest("POST", '/v1/models/other%22%0A"}:predict', {"instances": [1.0]}).status == 404
        answer = http_ask(made.rest_port, "GET", path)
    assert answer.status == status
    if status == 200:
        found = answer.body.decode()
        assert answer.headers["content-type"] == "text/plain"
        for line in [
            ':tensorflow:serving:request_count{model_name="m",status="OK"} 2',
            ':tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 1',
            ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"} 1',
            ':tensorflow:serving:request_example_count_total{model_name="m"} 3',
            ':tensorflow:serving:request_latency_count{model_name="m",API="Predict",entrypoint="GRPC"} 1',
            ':tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",entrypoint="REST",le="+Inf"} 2',
            ':tensorflow:serving:runtime_latency_count{model_name="m",API="Predict",runtime="TF1"} 2',
        ]:
            assert line in found.splitlines()


@pytest.mark.parametrize(
    "path, flags, message",
    [
        ("/v1/models", {}, "path '/v1/models' is the REST interface's: choose one that does not begin with /v1/"),
        ("/V1/metrics", {"page": True}, "is the REST interface's"),
        ("/", {"page": True}, "path '/' is the page's: choose another, or --page=false"),
        ("/page/models", {"page": True}, "is the page's"),
        ("/page/form", {"page": True}, "is the page's"),
        ("/page/forms/any.js", {"page": True}, "is the page's"),
        ("metrics", {}, "path 'metrics' must begin with /"),
    ],
)
def test_paths_where_metrics_cannot_stand(tmp_path, path, flags, message):
    file = tmp_path / "monitoring.config"
    file.write_text(f'prometheus_config {{ enable: true path: "{path}" }}')
    with pytest.raises(ServingError, match=message):
        Endpoint(model_base_path=str(tmp_path), monitoring_config_file=str(file), **flags)


def test_without_the_page_its_path_is_free(tmp_path):
    file = tmp_path / "monitoring.config"
    file.write_text('prometheus_config { enable: true path: "/" }')
    Endpoint(model_base_path=str(tmp_path), monitoring_config_file=str(file), page=False)
