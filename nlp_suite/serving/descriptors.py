"""File descriptors: how many connections each port may have, so that some are left for models, and what happens beyond."""

import asyncio
import errno
import logging
import os
from dataclasses import dataclass
from typing import Any

try:
    import resource
except ImportError:  # Windows, which has no such limit
    resource = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)
_ENOUGH = 2**20  # files, and connections of a port where the system has no limit
_MAX_KEPT_FREE = 4096


def raise_limit() -> None:
    """Lets this process open as many files as the system allows it (the hard limit), at most `_ENOUGH`."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError) as error:  # macOS says "unlimited" and does not mean it
        logger.debug("the limit of open files stays at %d: %s", soft, error)


def open_descriptors() -> int:
    """The file descriptors that this process has open; 0 where the system does not tell."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return 0


@dataclass
class ConnectionLimit:
    """The connections that each port may have; one more is closed at once, over REST with the answer 503.

    Attributes:
        per_port: connections of one port.
        kept_free: file descriptors that are left for models and for connections that are being refused.
        rest: open connections of REST.
        refused: connections that REST refused.
        waiting: refused connections of REST that are not closed yet.
    """

    per_port: int = _ENOUGH
    kept_free: int = _MAX_KEPT_FREE
    rest: int = 0
    refused: int = 0
    waiting: int = 0

    @property
    def accepted_at_once(self) -> int:
        """Connections of REST that may be accepted before the first of them is looked at, and refused."""
        return max(1, min(2048, self.kept_free // 2))

    @classmethod
    def of_this_process(cls, ports: int) -> "ConnectionLimit":
        """The limit that follows from the file descriptors that the process may still open.

        Args:
            ports: the ports that share them.
        """
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if resource else -1
        if resource is None or soft == resource.RLIM_INFINITY:
            return cls()
        kept_free = min(_MAX_KEPT_FREE, soft // 4)
        return cls(max(1, min(_ENOUGH, (soft - open_descriptors() - kept_free) // max(1, ports))), kept_free)

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handles what goes wrong in REST's event loop: a connection that the system has no descriptor for is counted.

        That happens where something else than connections took them; asyncio tries again in a second.
        """
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            self.refused += 1
        else:
            loop.default_exception_handler(context)


class OverloadLog:
    """Says once that connections are refused, and once that they are no longer.

    Args:
        limit: of the connections.
        grpc: whether there is a gRPC port.
    """

    def __init__(self, limit: ConnectionLimit, grpc: bool):
        self._limit, self._grpc = limit, grpc
        self._others, self._refused, self._full = open_descriptors() - limit.rest, 0, False

    def look(self) -> None:
        """Looks at the connections; call it about once a second."""
        limit = self._limit
        refused, self._refused = limit.refused > self._refused, limit.refused
        most = max(limit.rest, self._grpc_connections())
        if not self._full and (refused or most >= limit.per_port):
            self._full = True
            logger.error(
                "out of file descriptors (ulimit -n): a port may have %d connections, and more are refused until some "
                "are closed",
                limit.per_port,
            )
        elif self._full and not refused and most < 0.9 * limit.per_port:
            self._full = False
            logger.info("connections are accepted again")

    def _grpc_connections(self) -> int:
        """About how many connections the gRPC port has: those descriptors that are nothing else."""
        return open_descriptors() - self._others - self._limit.rest if self._grpc else 0
