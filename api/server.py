"""uvicorn as this service needs it: it drains before it stops, and bounds and answers what never becomes a request."""

import asyncio
from asyncio.events import TimerHandle
from socket import socket
from types import FrameType
from typing import Any

import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.app import Services, create_app
from api.errors import KINDS, PROBLEM_JSON, Fault, encoded

log = structlog.get_logger(__name__)

HEAD_LIMIT_BYTES = 65_536
HEAD_TIMEOUT_S = 10.0
KEEP_ALIVE_S = 75
"""Longer than the minute for which load balancers keep idle connections, or they would meet a closed one."""
LAST_ANSWERS_S = 2
"""For reads that still wait when every payment has been answered."""


class Protocol(HttpToolsProtocol):
    """The request line and headers have a size and a time, and what is no HTTP is answered like any other failure."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_bytes = 0
        self._head_timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_arrived()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT_BYTES and not self.transport.is_closing():
                self._answer(
                    Fault.HEADERS_TOO_LARGE, f"A request's head has at most {HEAD_LIMIT_BYTES} bytes."
                )

    def send_400_response(self, msg: str) -> None:
        self._answer(Fault.MALFORMED_REQUEST, "This could not be read as HTTP/1.1.")

    def _answer(self, fault: Fault, detail: str) -> None:
        body = encoded(fault, detail)
        head = b"content-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[KINDS[fault][0]] + head % (PROBLEM_JSON.encode(), len(body)) + body)
        self.transport.close()

    def _expect_head(self) -> None:
        self._head_arrived()
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.close)

    def _head_arrived(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class Server(uvicorn.Server):
    """The first signal drains, while reads and probes are still answered, and then stops; the second stops at once."""

    def __init__(self, services: Services, host: str, port: int, drain_timeout_s: float) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(services),
                host=host,
                port=port,
                http=Protocol,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=LAST_ANSWERS_S,
            )
        )
        self._services = services
        self._drain_timeout_s = drain_timeout_s
        self._draining: asyncio.Task[None] | None = None

    async def serve(self, sockets: list[socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._services.draining.is_set():
            super().handle_exit(sig, frame)
        else:
            self._services.draining.set()
            self._loop.call_soon_threadsafe(self._begin_to_drain)

    def _begin_to_drain(self) -> None:
        self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        """Nothing more is admitted; every payment ends, also those whose client has gone."""
        handler = self._services.handler
        try:
            log.info("draining", payments=handler.in_flight)
            log.info("drained", payments_left=await handler.drain(self._drain_timeout_s))
        finally:
            self.should_exit = True
