"""uvicorn as this service needs it: it drains before it stops."""

import asyncio
from functools import partial
from socket import socket
from types import FrameType

import structlog
import uvicorn

from api.app import Services, create_app
from api.protocol import Protocol

log = structlog.get_logger(__name__)

KEEP_ALIVE_S = 75
"""Longer than the minute for which load balancers keep idle connections, or they would meet a closed one."""
LAST_ANSWERS_S = 2
"""For reads that still wait when every payment has been answered."""


class Server(uvicorn.Server):
    """The first signal drains, while reads and probes are still answered, and then stops; the second stops at once."""

    def __init__(self, services: Services, host: str, port: int, drain_timeout_s: float) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(services),
                host=host,
                port=port,
                http=partial(Protocol, open_connections=services.connections),  # type: ignore[arg-type]  # it is only called
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
