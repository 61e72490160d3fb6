"""One attempt to deliver: a POST, an end in bounded time, and whatever it came to as a value.

No redirect is followed, no cookie kept, no proxy used, and of an answer's body no more is read than it takes to use the
connection again.
"""

import asyncio
import ssl
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver

from infra.clock import SystemClock
from infra.webhooks.targets import TargetRefused, Targets, parsed
from schemas.delivery import Answered, SendResult, Unreached, UnreachedReason

log = structlog.get_logger(__name__)

ANSWERED_WITHIN_S = 15.0
READ_MOST = 4_096
_KEEP_ALIVE_S = 4.0
"""Shorter than any server's: on a connection that the other side is closing an attempt would be one for nothing."""


class WebhookSender:
    def __init__(
        self,
        targets: Targets,
        resolver: AbstractResolver,
        clock: SystemClock,
        *,
        tls: ssl.SSLContext | None = None,
        answered_within_s: float = ANSWERED_WITHIN_S,
    ) -> None:
        self._clock = clock
        self._answered_within_s = answered_within_s
        self._sessions = {
            scheme: _session(targets, resolver, tls or ssl.create_default_context(), scheme)
            for scheme in ("https", "http")
        }

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> SendResult:
        try:
            session = self._sessions[parsed(url).scheme]
            async with (
                asyncio.timeout(self._answered_within_s),
                session.post(url, data=body, headers=headers, allow_redirects=False) as response,
            ):
                await response.content.read(READ_MOST)
                asked = response.headers.get("Retry-After")
                return Answered(status=response.status, retry_after_s=retry_after_s(asked, self._clock.now()))
        except Exception as error:  # whatever one receiver does must end as one attempt that failed
            return Unreached(reason=_why(error))


def _session(
    targets: Targets, resolver: AbstractResolver, tls: ssl.SSLContext, scheme: str
) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        limit=0,  # the dispatcher's own limits are by endpoint
        resolver=resolver,
        ssl=tls,
        keepalive_timeout=_KEEP_ALIVE_S,
        socket_factory=partial(targets.socket_for, is_https=scheme == "https"),
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Content-Type": "application/json", "User-Agent": "payments-gateway-webhooks/1"},
    )


def retry_after_s(header: str | None, now: datetime) -> int | None:
    """Seconds, or a date (RFC 9110 §10.2.3); None for none and for anything else."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return int(text[:9])
    try:
        return max(0, round((parsedate_to_datetime(text) - now).total_seconds()))
    except (ValueError, TypeError, OverflowError):  # of no date, and of one without a zone
        return None


def _why(error: Exception) -> UnreachedReason:
    match error:
        case TargetRefused() | aiohttp.InvalidURL() | aiohttp.ClientConnectorError(os_error=TargetRefused()):
            return "refused_target"
        case aiohttp.ClientConnectorDNSError():
            return "dns"
        case aiohttp.ClientConnectorSSLError() | aiohttp.ClientConnectorCertificateError():
            return "tls"
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientConnectorError():
            return "connect"
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return "unreadable_answer"
        case aiohttp.ClientError() | OSError():
            return "connect"
        case _:
            log.exception("a webhook was not sent")
            return "connect"
