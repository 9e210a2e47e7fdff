"""HTTP as uvicorn reads it, with what it lacks: limits of a request's head, in time and bytes, and HTTP/1.0's keep-alive."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
KEEP_ALIVE = "nlp_suite.keep_alive"  # extension of ASGI's scope: the client of HTTP/1.0 asked to keep the connection
HEADERS = [  # of every answer
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),
]


class LimitedHttp(HttpToolsProtocol):
    """One connection; it is closed when a head is longer than `MAX_HEAD_BYTES` or takes longer than keep-alive allows."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to wait for a head."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the wait."""
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts bytes of a head; a body has the application's limits."""
        if self._head_timer is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_timer is not None and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"The request's head has more than {MAX_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """A head begins, on a connection that may have had requests before."""
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        """The head is complete. A client of HTTP/1.0 may ask to keep the connection, which uvicorn does not look at."""
        self._head_arrived()
        super().on_headers_complete()
        if self.parser.get_http_version() == "1.0" and self.parser.should_keep_alive():
            self.cycle.keep_alive = True
            self.cycle.scope["extensions"] = {KEEP_ALIVE: {}}

    def shutdown(self) -> None:
        """Ends the connection, after the answer where a request is running."""
        if self.cycle is not None:
            self.cycle.scope.pop("extensions", None)
        super().shutdown()

    def _await_head(self) -> None:
        if self._head_timer is None:
            self._head_bytes = 0
            self._head_timer = self.loop.call_later(self.timeout_keep_alive, self.transport.close)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
