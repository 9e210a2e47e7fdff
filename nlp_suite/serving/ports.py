"""Ports that are taken before models are loaded, so that a conflict is found at once and not after minutes."""

import errno
import socket
from typing import Any

from nlp_suite.serving.flags import Options
from nlp_suite.serving.listening import ABSENT, addresses, bound, host_and_port
from nlp_suite.serving.status import Code, ServingError, invalid_argument


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
            raise invalid_argument(f"--port and --rest_api_port are both {options.port}: give two ports")
        for interface, port in [("gRPC", options.port), ("REST", options.rest_api_port)]:
            try:
                failures = [self._bind(*each) for each in addresses(options.host, port)] if port else [None]
                if None not in failures:
                    raise failures[0] or OSError(f"{options.host!r} has no address")
            except OSError as error:
                self.release()
                where, taken = host_and_port(options.host, port), error.errno == errno.EADDRINUSE
                reason = "the port is taken" if taken else error.strerror or error
                raise ServingError(Code.UNAVAILABLE, f"cannot listen for {interface} on {where}: {reason}") from error

    def _bind(self, family: int, address: Any) -> OSError | None:
        """Takes one address; returns the error where this machine does not have it, and raises any other."""
        try:
            try:
                self._sockets.append(bound(family, address, reuse=False))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                self._sockets.append(bound(family, address))  # connections of a server that has ended may hold it
        except OSError as error:
            if error.errno in ABSENT:
                return error
            raise
        return None

    def release(self) -> None:
        """Gives the ports back."""
        while self._sockets:
            self._sockets.pop().close()
