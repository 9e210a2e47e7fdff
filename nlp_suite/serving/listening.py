"""Where both ports listen: one rule for REST and gRPC, for IPv4 and IPv6."""

import errno
import os
import socket
from typing import Any

from nlp_suite.serving.status import Code, ServingError

_EVERY_ADDRESS = ("", "0.0.0.0", "::")
ABSENT = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)  # a machine without IPv6, or without IPv4


def listeners(host: str, port: int, interface: str) -> list[socket.socket]:
    """TCP sockets bound to every address of a host; those of a family that the machine does not have are left out.

    The protocol is named, which `socket.create_server` and uvicorn leave out: asyncio switches Nagle's algorithm off only
    for sockets that say TCP, and with it on every answer takes 40 ms longer.

    Args:
        host: an address, or a name, which may have several; empty, `0.0.0.0` and `::` are every address of the machine,
            IPv4 and IPv6.
        port: the same for all.
        interface: REST or gRPC, for the error.

    Raises:
        ServingError: no address, or one that cannot be listened on.
    """
    made: list[socket.socket] = []
    failure: OSError | None = None
    try:
        for family, address in addresses(host, port):
            try:
                made.append(bound(family, address))
            except OSError as error:
                failure = error
                if error.errno not in ABSENT:
                    raise
        if not made:
            raise failure or OSError(f"{host!r} has no address")
    except OSError as error:
        for listener in made:
            listener.close()
        reason = error.strerror or error
        raise ServingError(
            Code.UNAVAILABLE, f"cannot listen for {interface} on {host_and_port(host, port)}: {reason}"
        ) from error
    return made


def grpc_addresses(host: str, port: int) -> list[str]:
    """The addresses of `listeners` as gRPC takes them, which binds its own sockets.

    gRPC takes every address of both families as one.

    Raises:
        ServingError: no address, or one that cannot be listened on.

    Example:
        >>> grpc_addresses("localhost", 8500)
        ['127.0.0.1:8500', '[::1]:8500']
    """
    found = []
    for listener in listeners(host, port, "gRPC"):
        with listener:
            name, _ = socket.getnameinfo(listener.getsockname(), socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
        found.append(host_and_port(name, port))
    return found[-1:] if host in _EVERY_ADDRESS else found


def host_and_port(host: str, port: int) -> str:
    """As one text: an IPv6 host in brackets, `*` for every address.

    Example:
        >>> host_and_port("::1", 8500), host_and_port("", 8500)
        ('[::1]:8500', '*:8500')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host or '*'}:{port}"


def addresses(host: str, port: int) -> list[tuple[int, Any]]:
    """Family and socket address of each address, IPv4 first where all are meant."""
    if host in _EVERY_ADDRESS:
        return [(socket.AF_INET, ("0.0.0.0", port)), (socket.AF_INET6, ("::", port))]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def bound(family: int, address: Any, reuse: bool = True) -> socket.socket:
    """A TCP socket that is bound to an address and does not listen.

    Args:
        family: IPv4 or IPv6, which then leaves IPv4 alone.
        address: of that family.
        reuse: whether connections of a server that ended a moment ago do not hold the port.

    Raises:
        OSError: it cannot be bound.
    """
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        reuse = reuse and os.name == "posix"  # elsewhere it would let two servers share the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener
