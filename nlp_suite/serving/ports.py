"""Ports that are taken before models are loaded, so that a conflict is found at once and not after minutes."""

import errno
import os
import socket
from typing import Any

from nlp_suite.serving.flags import Options
from nlp_suite.serving.status import Code, ServingError


class ReservedPorts:
    """The TCP ports of both interfaces, bound but not listened on: who connects is refused, as where nobody serves.

    The servers of the interfaces bind the ports themselves; `release` them just before.

    Args:
        options: host and ports.

    Raises:
        ServingError: a port that is taken, by another process or by the other interface, or that may not be used.
    """

    def __init__(self, options: Options):
        self._sockets: list[socket.socket] = []
        if options.port and options.port == options.rest_api_port:
            raise ServingError(
                Code.INVALID_ARGUMENT, f"--port and --rest_api_port are both {options.port}: give two ports"
            )
        for interface, port in [("gRPC", options.port), ("REST", options.rest_api_port)]:
            if port:
                self._reserve(options, interface, port)

    def _reserve(self, options: Options, interface: str, port: int) -> None:
        try:
            flags = socket.AI_PASSIVE
            found = socket.getaddrinfo(options.host or None, port, type=socket.SOCK_STREAM, flags=flags)
            for family, kind, protocol, _, address in found:
                self._bind(family, kind, protocol, address)
        except OSError as error:
            self.release()
            reason = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise ServingError(
                Code.UNAVAILABLE, f"cannot listen for {interface} on {options.address(port)}: {reason}"
            ) from error

    def _bind(self, family: int, kind: int, protocol: int, address: tuple[Any, ...]) -> None:
        for reuse in (False, True):  # True: connections of a server that ended a moment ago do not hold the port
            try:
                made = socket.socket(family, kind, protocol)
            except OSError:
                return  # the system has no such family of addresses
            try:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse and os.name == "posix")
                if family == socket.AF_INET6:
                    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
                made.bind(address)
            except OSError as error:
                made.close()
                if reuse or error.errno != errno.EADDRINUSE:
                    raise
            else:
                self._sockets.append(made)
                return

    def release(self) -> None:
        """Gives the ports back."""
        while self._sockets:
            self._sockets.pop().close()
