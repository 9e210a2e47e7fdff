"""Where the ports listen: both answer on every address of the host, IPv4 and IPv6."""

import errno
import socket

import pytest

from nlp_suite.serving import listening
from nlp_suite.serving.listening import grpc_addresses, host_and_port, listeners
from nlp_suite.serving.status import Code, ServingError
from tests.serving.endpoint import Asker, Endpoint, free_port


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as made:
            made.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def families(host):
    found = []
    for each in listeners(host, free_port(), "REST"):
        found.append((each.family, each.getsockname()[0], each.proto))
        each.close()
    return found


IPV4 = (socket.AF_INET, "0.0.0.0", socket.IPPROTO_TCP)
IPV6 = (socket.AF_INET6, "::", socket.IPPROTO_TCP)


@needs_ipv6
@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_every_address_is_of_both_families(host):
    assert families(host) == [IPV4, IPV6]
    assert grpc_addresses(host, 8999) == ["[::]:8999"]  # which gRPC takes as both


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_machine_without_ipv6_has_ipv4_only(monkeypatch, number):
    def without_ipv6(family, address):
        if family == socket.AF_INET6:
            raise OSError(number, "no IPv6 here")
        return made(family, address)

    made = listening.bound
    monkeypatch.setattr(listening, "bound", without_ipv6)
    assert families("") == [IPV4]
    port = free_port()
    assert grpc_addresses("", port) == [f"0.0.0.0:{port}"]
    with pytest.raises(ServingError, match=r"cannot listen for gRPC on \[::1\]:9: no IPv6 here"):
        grpc_addresses("::1", 9)


def test_a_name_has_all_of_its_addresses(monkeypatch):
    pairs = [(socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET, ("127.0.0.2", 0))]
    found = [(family, socket.SOCK_STREAM, 6, "", address) for family, address in [*pairs, pairs[0]]]
    monkeypatch.setattr(listening.socket, "getaddrinfo", lambda *_, **__: found)
    assert [address for _, address, _ in families("a.name")] == ["127.0.0.1", "127.0.0.2"]
    assert grpc_addresses("a.name", 8999) == ["127.0.0.1:8999", "127.0.0.2:8999"]


@needs_ipv6
@pytest.mark.parametrize("family, host", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_port_that_is_taken_on_one_address_is_taken(family, host):
    """gRPC would listen on the other family and say nothing."""
    with socket.socket(family) as taken:
        taken.bind((host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        for function, arguments in [(listeners, ("", port, "gRPC")), (grpc_addresses, ("", port))]:
            with pytest.raises(
                ServingError, match=rf"cannot listen for gRPC on \*:{port}: Address already in use"
            ) as e:
                function(*arguments)
            assert e.value.code == Code.UNAVAILABLE


@pytest.mark.parametrize("host", ["no.such.host.invalid", "300.1.1.1", "192.0.2.1"])
def test_a_host_that_is_not_of_this_machine(host):
    with pytest.raises(ServingError, match=f"cannot listen for REST on {host}:9: "):
        listeners(host, 9, "REST")


def test_hosts_and_ports_as_texts():
    assert [host_and_port(host, 1) for host in ("", "::1", "a.b")] == ["*:1", "[::1]:1", "a.b:1"]


@needs_ipv6
def test_without_a_host_both_ports_answer_on_both_families(toys):
    with Endpoint(model_name="m", model_base_path=str(toys("half_plus").parent), host="") as made:
        for address in ("127.0.0.1", "::1"):
            asker = Asker(0, 0, host_and_port(address, made.port))
            assert asker.half("m") == 3.0
            asker.channel.close()
            with socket.create_connection((address, made.rest_port), timeout=30) as connection:
                connection.sendall(b"GET /v1/models/m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
