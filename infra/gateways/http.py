"""Calls to a gateway over HTTP, of which we always know whether anything can have been sent.

The dividing line is the connection: before it is there, nothing was sent, whatever went wrong (*not sent*); from the
first byte on, only a readable answer is certain, and everything else is *in doubt*.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import aiohttp
import structlog

from schemas.base import Value
from schemas.outcome import InDoubt, NotSent, NotSentReason

log = structlog.get_logger(__name__)

_KEEP_ALIVE_S = 4.0
"""Shorter than any server's: a request on a connection that the other side is closing would end in doubt."""
_LARGEST_ANSWER = 1024 * 1024
NO_HEADERS: Mapping[str, str] = {}


class Answer(Value, frozen=True, kw_only=True):
    status: int
    body: bytes


class GatewayHttp:
    """One gateway's connection pool, with a limit of calls at once; above it a call is *not sent*, never queued."""

    def __init__(self, base_url: str, max_concurrent_calls: int) -> None:
        self._base_url = base_url.rstrip("/")
        self._max_concurrent_calls = max_concurrent_calls
        self._calls = 0
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        timeout_ms: int,
        may_send: Callable[[], bool] = lambda: True,
    ) -> Answer | NotSent | InDoubt:
        if self._calls >= self._max_concurrent_calls:
            return NotSent(reason="too_busy")
        self._calls += 1
        look = _LastLook(may_send)
        token = _last_look.set(look)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await self._exchange(method, path, body, headers)
        except Exception as error:
            return _doubt(error) if look.is_sending else NotSent(reason=_why_not_sent(error))
        finally:
            _last_look.reset(token)
            self._calls -= 1

    async def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_LookingConnector(
                    limit=self._max_concurrent_calls, keepalive_timeout=_KEEP_ALIVE_S
                ),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        if body is not None:
            headers = {"content-type": "application/json", **headers}
        async with self._session.request(
            method, self._base_url + path, data=body, headers=headers, allow_redirects=False
        ) as response:
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > _LARGEST_ANSWER:
                    raise aiohttp.ClientPayloadError("the answer is too large")
            return Answer(status=response.status, body=bytes(content))


class WindowClosed(Exception):
    pass


class _LastLook:
    """Whether this call may still send, and whether it has begun to."""

    def __init__(self, may_send: Callable[[], bool]) -> None:
        self.is_sending = False
        self._may_send = may_send

    def take(self) -> None:
        if not self._may_send():
            raise WindowClosed
        self.is_sending = True


_last_look: ContextVar[_LastLook] = ContextVar("last_look")


class _LookingConnector(aiohttp.TCPConnector):
    """Takes the last look when the connection is there: making one can take longer than the window lasts."""

    async def connect(self, *arguments: Any, **options: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*arguments, **options)
        try:
            _last_look.get().take()
        except BaseException:
            connection.release()
            raise
        return connection


def _why_not_sent(error: Exception) -> NotSentReason:
    match error:
        case WindowClosed():
            return "window_closed"
        case aiohttp.ClientConnectorDNSError():
            return "dns"
        case aiohttp.ClientConnectorSSLError() | aiohttp.ClientConnectorCertificateError():
            return "tls"
        case aiohttp.ClientError() | TimeoutError() | OSError():
            return "connect"
        case _:
            log.exception("a gateway call failed before it was sent")
            return "connect"


def _doubt(error: Exception) -> InDoubt:
    match error:
        case TimeoutError():
            return InDoubt(reason="read_timeout")
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return InDoubt(reason="unreadable_answer")
        case aiohttp.ClientError() | OSError():
            return InDoubt(reason="connection_lost")
        case _:
            log.exception("a gateway call failed after it was sent")
            return InDoubt(reason="interrupted")
