"""What HTTP asks of every request and answer: one Host, no page for other sites, headers, and HTTP/1.0's connections."""

import socket

import pytest

from nlp_suite.serving.flags import Options
from nlp_suite.serving.rest.hosts import Hosts
from nlp_suite.serving.status import Code, ServingError
from tests.serving.endpoint import Endpoint, raw
from tests.serving.fake_servables import until

GOOD = b'{"instances": [2.0]}'


@pytest.fixture(scope="module")
def half(toys):
    return str(toys("half_plus").parent)


@pytest.fixture(scope="module")
def endpoint(half):
    with Endpoint(model_name="m", model_base_path=half, port=0, page=True, page_hosts="models.example, other") as made:
        yield made


def get(endpoint, path, *lines, version=b"1.1", method=b"GET", body=b""):
    """Status, headers and body of a request with these header lines."""
    head = [method + b" " + path + b" HTTP/" + version, *lines, b"Connection: close", b"", body]
    head, _, body = raw(endpoint, b"\r\n".join(head)).partition(b"\r\n\r\n")
    status, *headers = head.decode().split("\r\n")
    return int(status.split()[1]), [tuple(line.split(": ", 1)) for line in headers], body.decode()


# ---------------------------------------------------------------------------------------------------- Host


@pytest.mark.parametrize("path", [b"/", b"/v1/models/m", b"/absent"])
@pytest.mark.parametrize(
    "lines, version, good",
    [
        ([b"Host: localhost"], b"1.1", True),
        ([b"Host:"], b"1.1", True),
        ([], b"1.0", True),  # HTTP/1.0 has no Host
        ([], b"1.1", False),
        ([b"Host: localhost", b"host: localhost"], b"1.1", False),
        ([b"Host: localhost", b"Host: evil.example"], b"1.0", False),
        ([b"Host: a b"], b"1.1", False),
        ([b"Host: a/b"], b"1.1", False),
        ([b"Host: user@localhost"], b"1.1", False),
        ([b"Host: localhost:80:80"], b"1.1", False),
        ([b"Host: localhost:x"], b"1.1", False),
    ],
)
def test_a_request_has_one_host(endpoint, path, lines, version, good):
    status, headers, body = get(endpoint, path, *lines, version=version)
    if good:
        assert status == (404 if path == b"/absent" else 200)
    else:
        assert status == 400 and "Host" in body
        assert ("connection", "close") in headers


def allowed(name, of_page=True, origin=None, **flags):
    headers = [(b"host", name.encode())] + ([(b"origin", origin.encode())] if origin else [])
    try:
        Hosts(Options(**flags)).check({"headers": headers, "http_version": "1.1"}, of_page)
    except ServingError as error:
        assert error.code == Code.PERMISSION_DENIED and f"--page_hosts={name.partition(':')[0].lower()}" in str(error)
        return False
    return True


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8501", "localhost.", "a.localhost", "127.0.0.1:8501", "10.1.2.3", "[::1]:8501", "[::1]"],
)
def test_names_that_no_other_site_can_have_get_the_page(host):
    assert allowed(host)


def test_this_machines_name_gets_the_page(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "Node7.cluster.example")
    assert [allowed(host) for host in ("node7", "node7.cluster.example:8501", "node8")] == [True, True, False]
    assert allowed("given.example", host="given.example")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8501", "localhost.evil.example", "127.0.0.1.evil.example"]
)
def test_other_names_do_not_unless_they_are_listed(host):
    name = host.partition(":")[0]
    assert not allowed(host)
    assert allowed(host, page_hosts=f"a.example,{name.upper()}") and allowed(host, page_hosts="*")
    assert not allowed(host, page_hosts="a.example")
    assert allowed(host, of_page=False)  # the interface is asked under any name, as in a stock server
    assert not allowed(host, of_page=False, origin=f"http://{host}")  # but not by a script of that name
    assert not allowed(host, of_page=False, origin="null")
    assert allowed("localhost:8501", of_page=False, origin="null")
    assert allowed(host, of_page=False, origin="http://another.example")  # which cannot read the answer
    assert allowed(host, of_page=False, origin=f"http://{host}", rest_api_enable_cors_support=True)  # anybody may
    assert allowed(host, page=False) and allowed(host, of_page=False, origin=f"http://{host}", page=False)


def test_a_rebound_name_gets_neither_page_nor_answers(endpoint):
    evil = b"Host: evil.example:8501"
    for path in (b"/", b"/page/page.js", b"/page/models", b"/page/form?model=m"):
        assert get(endpoint, path, evil)[0] == 403
        assert get(endpoint, path, b"Host: models.example")[0] == 200
    lines = [b"Content-Length: %d" % len(GOOD), b"Origin: http://evil.example:8501"]
    ask = {"method": b"POST", "body": GOOD}
    status, _, body = get(endpoint, b"/v1/models/m:predict", evil, *lines, **ask)
    assert status == 403 and "browsers may not ask this server as 'evil.example'" in body
    for good in (evil, *lines[:1]), (b"Host: localhost:1", lines[0], b"Origin: http://localhost:1"):
        status, _, body = get(endpoint, b"/v1/models/m:predict", *good, **ask)
        assert status == 200 and "3.0" in body


# ---------------------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    "path", [b"/", b"/page/page.js", b"/page/models", b"/v1/models/m", b"/v1/models/x", b"/absent"]
)
def test_no_answer_is_framed_or_taken_for_another_type(endpoint, path):
    _, headers, _ = get(endpoint, path, b"Host: localhost")
    for header in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("content-security-policy", "frame-ancestors 'none'"),
    ]:
        assert headers.count(header) == 1


def test_what_is_no_request_is_answered_with_them_too(endpoint):
    found = raw(endpoint, b"nonsense\r\n\r\n").lower()
    assert found.startswith(b"http/1.1 400 ") and b"\r\nx-content-type-options: nosniff\r\n" in found


# ---------------------------------------------------------------------------------------------------- HTTP/1.0


def request_10(*lines):
    return b"\r\n".join([b"POST /v1/models/m:predict HTTP/1.0", *lines, b"Content-Length: 20", b"", GOOD])


def test_a_connection_of_http_1_0_is_kept_where_its_client_asks(endpoint):
    keep, last = request_10(b"Connection: keep-alive"), request_10()
    found = raw(endpoint, keep, keep, last, pause=0.05)
    assert found.count(b'"predictions": [3.0') == 3
    assert found.count(b"connection: keep-alive") == 2 and found.count(b"connection: close") == 1


def test_a_connection_of_http_1_0_ends_otherwise(endpoint):
    found = raw(endpoint, request_10(), request_10(), pause=0.05)
    assert found.count(b'"predictions": [3.0') == 1 and found.count(b"connection: close") == 1


def test_a_connection_that_is_kept_is_not_promised_while_the_server_ends(half):
    with Endpoint(model_name="m", model_base_path=half, port=0) as made:
        keep = request_10(b"Connection: keep-alive")
        with socket.create_connection(("127.0.0.1", made.rest_port), timeout=30) as connection:
            connection.sendall(keep[:-5])
            connections = made.server._http.server_state.connections
            until(lambda: any(each.cycle for each in connections.copy()))
            (one,) = connections
            one.loop.call_soon_threadsafe(one.shutdown)
            connection.sendall(keep[-5:])
            found = b""
            while more := connection.recv(65536):
                found += more
        assert b"3.0" in found and b"connection: close" in found and b"keep-alive" not in found
