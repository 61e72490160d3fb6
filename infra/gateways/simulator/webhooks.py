"""Webhooks of simulated gateways: signed as their wire signs, sent at least once, and lost, doubled or late as told."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Literal

import aiohttp
import structlog
from msgspec import Struct

from infra.gateways.simulator.ledger import Charge, Ledger
from infra.gateways.simulator.now import now_ms
from infra.gateways.simulator.outcome import Delivery, delivery
from infra.gateways.simulator.profile import Profile, Wire
from infra.gateways.simulator.wire import ChargeStatus

log = structlog.get_logger(__name__)

Event = Literal["authorized", "captured", "failed", "refunded"]
Signed = Callable[[Charge, Event, str], tuple[bytes, Mapping[str, str]]]
"""The body of an event about a charge, and its headers, signed with the secret that is given."""

EVENTS: dict[ChargeStatus, tuple[Event, ...]] = {
    "captured": ("authorized", "captured"),
    "authorized": ("authorized",),
    "declined": ("failed",),
    "refunded": ("refunded",),
}
MOST_WAITING = 10_000
MOST_AT_ONCE = 50
ANSWER_WITHIN_S = 5.0
RETRY_AFTER_S = (0.2, 1.0, 5.0)
AWAKE_MS = 5
"""So much after its hour a charge is looked at, lest a coarse clock be early."""


class Webhooks:
    """Follows the ledger: also what nobody asks for, such as a customer who acts, is noticed and told."""

    def __init__(
        self, profiles: Mapping[str, Profile], ledger: Ledger, signed: Mapping[Wire, Signed]
    ) -> None:
        self._profiles = profiles
        self._ledger = ledger
        self._signed = signed
        self._deliveries: set[asyncio.Task[None]] = set()
        self._http: aiohttp.ClientSession | None = None

    def noticed(self, charge: Charge) -> None:
        profile = self._profiles.get(charge.request.gateway)
        if profile is None or profile.webhooks is None or profile.wire not in self._signed:
            return
        if charge.later is not None:
            wait_ms = charge.later.at_ms - now_ms() + AWAKE_MS
            asyncio.get_running_loop().call_later(wait_ms / 1000, self._ledger.refreshed, charge)
        for event in EVENTS.get(charge.status, ()):
            fate = delivery(profile, profile.webhooks, f"{charge.request.reference}/{charge.id}/{event}")
            body, headers = self._signed[profile.wire](charge, event, fate.secret)
            self._send(_Notification(url=profile.webhooks.url, body=body, headers=headers), fate)

    async def close(self) -> None:
        for task in self._deliveries:
            task.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    def _send(self, notification: "_Notification", fate: Delivery) -> None:
        for _ in range(fate.times):
            if len(self._deliveries) >= MOST_WAITING:
                log.warning("a webhook was dropped: too many wait", most=MOST_WAITING)
                return
            task = asyncio.create_task(self._deliver(notification, fate.delay_ms / 1000))
            self._deliveries.add(task)
            task.add_done_callback(self._deliveries.discard)

    async def _deliver(self, notification: "_Notification", delay_s: float) -> None:
        for wait_s in (delay_s, *RETRY_AFTER_S):
            await asyncio.sleep(wait_s)
            if await self._is_taken(notification):
                return
        log.warning("a webhook was given up", tries=1 + len(RETRY_AFTER_S))

    async def _is_taken(self, notification: "_Notification") -> bool:
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MOST_AT_ONCE),
                timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
            )
        try:
            async with self._http.post(
                notification.url,
                data=notification.body,
                headers=notification.headers,
                allow_redirects=False,
            ) as response:
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False


class _Notification(Struct, frozen=True, kw_only=True):
    url: str
    body: bytes
    headers: Mapping[str, str]
