"""HTTP/1.1 as this service takes it: strict, within a size and a time, and answered like any other failure.

httptools refuses most of what two parsers could read in two ways. Here is the rest, and a clock for every state in
which a connection would otherwise wait for its client for ever.
"""

import asyncio
import logging
import resource
from asyncio.events import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.connections import Connections
from api.errors import KINDS, PROBLEM_JSON, RETRY_AFTER_S, Fault, encoded
from api.security_headers import ALWAYS
from infra.metrics import REQUESTS_REFUSED

HEAD_LIMIT_BYTES = 65_536
HEAD_TIMEOUT_S = 10.0
"""For a request line and headers, from the first byte or, on a new connection, from its beginning."""
REST_TIMEOUT_S = 5.0
"""For what is left of a request that was answered before it had arrived."""
UNREAD_TIMEOUT_S = 20.0
"""For a client that does not take its answers."""
REFUSED_HEAD_TIMEOUT_S = 1.0
"""For the head of a request that is answered only that its client has too many connections."""

_DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
MOST_CONNECTIONS = _DESCRIPTORS * 3 // 4 if _DESCRIPTORS != resource.RLIM_INFINITY else 65_536
"""So that those to the brokers and stores always find a descriptor."""

_QUIET = logging.getLogger("uvicorn.protocol")
"""Not a line for each request that somebody sends to annoy us: they are counted."""
_QUIET.setLevel(logging.ERROR)
_UNREADABLE = (Fault.MALFORMED_REQUEST, "This could not be read as HTTP/1.1.")
_TOO_MANY = (Fault.TOO_MANY_CONNECTIONS, "Use the connections that you have, or close some of them.")
_TOO_LARGE = (Fault.HEADERS_TOO_LARGE, f"A request's head has at most {HEAD_LIMIT_BYTES} bytes.")


class Protocol(HttpToolsProtocol):
    def __init__(self, *arguments: Any, open_connections: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._open_connections = open_connections
        self.logger = _QUIET
        self._unframed_bytes = self._head_bytes = 0
        """Since the last one that was part of a body: all that came, and of it what is in a head or trailers."""
        self._is_in_head = self._is_in_message = self._is_over = False
        self._head_timer: TimerHandle | None = None
        self._rest_timer: TimerHandle | None = None
        self._unread_timer: TimerHandle | None = None
        self._refusal = _UNREADABLE

    # The connection.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        place = self._open_connections.open(self.client)
        if place == "far_over" or len(self.connections) > MOST_CONNECTIONS:
            REQUESTS_REFUSED.labels("connection-cut").inc()
            transport.abort()
        elif place == "over":
            self._refusal = _TOO_MANY
            self._expect_head(REFUSED_HEAD_TIMEOUT_S)
        else:
            self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._rest_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        self._open_connections.close(self.client)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        if not self._is_in_message and self._head_timer is None:
            self._expect_head()
        self._unframed_bytes += len(data)
        super().data_received(data)
        if self._unframed_bytes > 2 * HEAD_LIMIT_BYTES:  # a line that never ends
            self._refusal = _TOO_LARGE
            self.send_400_response("")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_timer = self.loop.call_later(UNREAD_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread_timer is not None:
            self._unread_timer.cancel()

    # A request, as the parser tells it.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = self._is_in_message = True
        self._unframed_bytes = self._head_bytes = 0
        if self._head_timer is None:
            self._expect_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Trailers are no headers: a proxy in front has not looked at them."""
        self._count(len(name) + len(value))
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._cancel_head_timer()
        if self._refusal is _TOO_MANY or self._is_ambiguous():
            raise ValueError("refused")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unframed_bytes = self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._is_in_message = False
        self._unframed_bytes = self._head_bytes = 0
        if self._rest_timer is not None:
            self._rest_timer.cancel()
            self._rest_timer = None
        if self.cycle.response_complete:
            self._expect_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:  # or each answer would let another buffer of requests in, to wait in memory
            self.flow.pause_reading()
        if self._is_in_message and not self._is_in_head and self.cycle.response_complete:
            self._rest_timer = self.loop.call_later(REST_TIMEOUT_S, self.transport.close)

    # What is refused.

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_LIMIT_BYTES:
            self._refusal = _TOO_LARGE
            raise ValueError("refused")

    def _is_ambiguous(self) -> bool:
        """What RFC 9112 has a server refuse (§3.2, §6.1), and what would need a protocol that is not spoken here."""
        version = self.parser.get_http_version()
        names = [name for name, _ in self.headers]
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        has_body = codings != [] or b"content-length" in names
        return (
            version not in ("1.0", "1.1")
            or b"%2f" in self.url.partition(b"?")[0].lower()
            or names.count(b"host") > 1
            or (version == "1.1" and b"host" not in names)
            or (codings != [] and (codings != [b"chunked"] or version == "1.0"))
            or (self.parser.should_upgrade() and (has_body or self.parser.get_method() == b"CONNECT"))
        )

    def _unsupported_upgrade_warning(self) -> None:
        """The request is answered as if it had not asked; what follows it is in no protocol of ours."""
        self._is_over = True
        self.cycle.keep_alive = False

    def send_400_response(self, msg: str) -> None:
        """Never in the place of an answer that is still due: the client would take it for that one."""
        if self._is_over:
            return
        self._is_over = True
        fault, detail = self._refusal
        REQUESTS_REFUSED.labels(fault).inc()
        cycle = self._cycle
        if cycle is None or cycle.response_complete:
            self._answer(fault, detail)
        elif not cycle.more_body:  # it is the next one that is refused
            cycle.keep_alive = False
        elif self.pipeline or cycle.response_started:
            self.transport.close()
        else:
            self._answer(fault, detail)

    def _answer(self, fault: Fault, detail: str) -> None:
        body = encoded(fault, detail)
        later = ((b"retry-after", b"%d" % RETRY_AFTER_S),) if fault is Fault.TOO_MANY_CONNECTIONS else ()
        headers = (
            (b"content-type", PROBLEM_JSON.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *later,
            *self.server_state.default_headers,
            *ALWAYS,
        )
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[KINDS[fault][0]] + head + b"\r\n" + body)
        self.transport.close()

    @property
    def _cycle(self) -> RequestResponseCycle | None:
        """Of the newest request, if there was one."""
        return self.cycle

    # The clocks.

    def _expect_head(self, within_s: float = HEAD_TIMEOUT_S) -> None:
        self._cancel_head_timer()
        self._head_timer = self.loop.call_later(within_s, self._head_is_late)

    def _head_is_late(self) -> None:
        """A request before it may still be at work, and then nothing is read meanwhile."""
        cycle = self._cycle
        if cycle is not None and not cycle.response_complete:
            self._expect_head()
        else:
            self.transport.close()

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
