"""HTTP as uvicorn reads it, with what it lacks: limits of heads, trailers and connections, and HTTP/1.0's keep-alive."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nlp_suite.serving.access_log import AccessLog
from nlp_suite.serving.descriptors import ConnectionLimit
from nlp_suite.serving.status import invalid_argument

MAX_HEAD_BYTES = 64 * 1024  # of a head, of trailers, of the line before a chunk
KEEP_ALIVE = "nlp_suite.keep_alive"  # extension of ASGI's scope: the client of HTTP/1.0 asked to keep the connection
HEADERS = [  # of every answer
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),
]
_LAST_SECONDS = 1.0  # that a client which still writes has to read the last answer
_LAST_BYTES = 4 * 1024 * 1024  # that it may still write
_REFUSAL_BODY = b'{ "error": "the server has as many connections as it can hold; try again later" }\n'
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"retry-after: 1\r\nconnection: close\r\n\r\n%s" % (len(_REFUSAL_BODY), _REFUSAL_BODY)
)


class LimitedHttp(HttpToolsProtocol):
    """One connection; it is closed when a head takes longer than keep-alive allows, or anything but a body is too long.

    Args:
        limit: of the connections of the port.
        log: of requests, for those that are no HTTP.
    """

    def __init__(self, *arguments: Any, limit: ConnectionLimit, log: AccessLog, **more: Any):
        super().__init__(*arguments, **more)
        self._limit, self._log = limit, log

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to wait for a head; refuses a connection that is one too many."""
        if len(self.connections) >= self._limit.per_port:
            transport.set_protocol(_Refused(transport, self._limit, self.loop))
            return
        self._ending = _LastAnswerRead(transport, self.loop)
        super().connection_made(self._ending)  # type: ignore[arg-type]
        self._limit.rest = len(self.connections)
        self._pending_bytes = 0  # since the last part of a message that was complete
        self._in_head = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the wait."""
        self._head_arrived()
        super().connection_lost(exc)
        self._limit.rest = len(self.connections)

    def data_received(self, data: bytes) -> None:
        """Counts the bytes of what is no body; a body has the application's limits."""
        if self.transport.is_closing():
            self._ending.drop(data)
            return
        self._pending_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._pending_bytes > MAX_HEAD_BYTES:
            part = "head" if self._in_head else "part after its head that is no body"
            self.send_400_response(f"The request's {part} has more than {MAX_HEAD_BYTES} bytes.")
        elif self.cycle is not None and self.cycle.response_complete:
            self._await_head()  # whatever it is: no connection is kept without a limit of time

    def send_400_response(self, msg: str) -> None:
        """Answers what is no request, and closes the connection."""
        with self._log.request("REST") as record:
            record.fail(invalid_argument(msg))
        super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """A head begins, on a connection that may have had requests before."""
        self._pending_bytes, self._in_head = 0, True
        super().on_message_begin()
        self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers are left out, or they could change what the head says."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete. A client of HTTP/1.0 may ask to keep the connection, which uvicorn does not look at."""
        self._pending_bytes, self._in_head = 0, False
        self._head_arrived()
        super().on_headers_complete()
        if self.parser.get_http_version() == "1.0" and self.parser.should_keep_alive():
            self.cycle.keep_alive = True
            self.cycle.scope["extensions"] = {KEEP_ALIVE: {}}

    def shutdown(self) -> None:
        """Ends the connection, after the answer where a request is running."""
        if self.cycle is not None:
            self.cycle.scope.pop("extensions", None)
        if self.cycle is None or self.cycle.response_complete:
            self._ending.close_now()
        super().shutdown()

    def on_chunk_header(self) -> None:
        """The line before a chunk is complete."""
        self._pending_bytes = 0

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._pending_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._pending_bytes = 0
        super().on_message_complete()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _LastAnswerRead:
    """A transport that closes a moment after its end.

    A client that still writes when it is closed would find its connection reset, and not read the answer that says why.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop):
        self._transport, self._loop, self._ended, self._dropped = transport, loop, False, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing more is written, and what is read is dropped."""
        return self._ended or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Writes, but nothing after the end: the answer to a request whose body turned out to be no HTTP."""
        if not self._ended:
            self._transport.write(data)

    def close(self) -> None:
        """Ends what is written; the client's end closes the connection, or `_LAST_SECONDS`, or `_LAST_BYTES` more."""
        if self.is_closing():
            return
        if not self._transport.can_write_eof():  # TLS
            self._transport.close()
            return
        self._ended = True
        self._transport.resume_reading()
        try:
            self._transport.write_eof()
        except OSError:  # the client has gone
            self._transport.close()
            return
        self._loop.call_later(_LAST_SECONDS, self._transport.close)

    def drop(self, data: bytes) -> None:
        """Counts what the client writes after the end."""
        self._dropped += len(data)
        if self._dropped > _LAST_BYTES:
            self._transport.close()

    def close_now(self) -> None:
        """Closes the connection of a client from which nothing is awaited."""
        self._ended = True
        self._transport.close()


class _Refused(asyncio.Protocol):
    """A connection that is answered 503, whatever it asks, and closed.

    It is closed a moment later where there are descriptors for that: a client that still writes would else find its
    connection reset, and not read the answer.
    """

    def __init__(self, transport: asyncio.Transport, limit: ConnectionLimit, loop: asyncio.AbstractEventLoop):
        self._limit = limit
        self._timer: asyncio.TimerHandle | None = None
        limit.refused += 1
        transport.write(_REFUSAL)
        if limit.waiting >= limit.kept_free // 4:
            transport.close()
            return
        limit.waiting += 1
        transport.write_eof()
        self._timer = loop.call_later(_LAST_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """What it asks is not read."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives its place to another."""
        if self._timer is not None:
            self._timer.cancel()
            self._limit.waiting -= 1
