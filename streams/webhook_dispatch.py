"""Sends what is due: claims it, has it sent, and writes down what it came to, in turns of two statements.

Any number of dispatchers do this side by side: a claim is a lease, and takes one of its endpoint's few places. What one
that dies had claimed is done again when its leases end.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from commands import endpoint_circuit
from commands.endpoint_circuit import AT_ONCE
from commands.webhook_delivery import UNREPORTED_MOST, after
from commands.webhook_subscription import Subscription, decide, secrets_in_force, still_wants
from infra.clock import SystemClock
from infra.webhooks.secrets import Secrets
from infra.webhooks.sender import ANSWERED_WITHIN_S
from infra.webhooks.signing import signed_headers
from schemas.delivery import Answered, Attempted, Claimed, GivenUp, Learn, SendResult
from schemas.errors import Refused, Unavailable
from schemas.webhook import DeliveryId, DisableSubscription, SubscriptionId, WebhookEvent
from streams.webhook_subscriptions import HeardSubscriptions

log = structlog.get_logger(__name__)

IN_FLIGHT_MOST = 1_000
"""Attempts at once in this process: 62 endpoints that begin to hang hold them all until their circuits open."""
LEASE_MS = round(ANSWERED_WITHIN_S * 1000) + 5_000
"""An attempt, and the time to write down what it came to."""
TURN_EVERY_S = 0.1
"""Whatever nobody told us of: retries that have become due, and what other dispatchers have stored."""
TURN_AFTER_S = 0.01
"""After news, so that what comes at the same moment shares its two statements."""
AWAY_S = 1.0
BY = "webhook_dispatcher"


class Queue(Protocol):
    """Raises StoreUnavailable."""

    async def claim(
        self,
        to: Collection[SubscriptionId],
        *,
        by: str,
        at_once: int,
        most: int,
        lease_ms: int,
        unreported_most: int,
    ) -> Sequence[Claimed]: ...

    async def record(self, attempted: Sequence[Attempted], learn: Learn) -> None: ...

    async def give_up_unwanted(self, delivery_id: DeliveryId) -> None: ...


class Sender(Protocol):
    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> SendResult: ...


class Log(Protocol):
    async def append(self, event: WebhookEvent, event_id: str, caused_by: str) -> None: ...


class Dispatch:
    """`name` is whose claims are whose; `counted` says how many attempts came to what; `trouble` what it waits for."""

    def __init__(
        self,
        name: str,
        queue: Queue,
        heard: HeardSubscriptions,
        sender: Sender,
        secrets: Secrets,
        log: Log,
        clock: SystemClock,
    ) -> None:
        self._name = name
        self._queue = queue
        self._heard = heard
        self._sender = sender
        self._secrets = secrets
        self._log = log
        self._clock = clock
        self._news = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._unwritten: list[Attempted] = []
        self.counted: Counter[str] = Counter()
        self.trouble: str | None = None

    def wake(self) -> None:
        """There is something to send, or to write down."""
        self._news.set()

    @property
    def in_flight(self) -> int:
        return len(self._attempts)

    async def run(self) -> None:
        """Never returns."""
        while True:
            self._news.clear()
            try:
                if self._heard.is_loaded:
                    await self.turn()
            except Unavailable as error:
                self.trouble = f"{type(error).__name__}: {error}"
                await asyncio.sleep(AWAY_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(TURN_EVERY_S):
                    await self._news.wait()
            await asyncio.sleep(TURN_AFTER_S)

    async def turn(self) -> None:
        """Raises StoreUnavailable; what was not written down by then is kept for the next turn."""
        self.trouble = self._unsigned()
        await self._write_down()  # first: what has ended makes room
        await self._claim()

    async def _claim(self) -> None:
        most, to = IN_FLIGHT_MOST - self.in_flight, self._signable()
        if not to or most <= 0:
            return
        claims = await self._queue.claim(
            to,
            by=self._name,
            at_once=AT_ONCE,
            most=most,
            lease_ms=LEASE_MS,
            unreported_most=UNREPORTED_MOST,
        )
        for claimed in claims:
            attempt = asyncio.create_task(self._attempt(claimed))
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempts.discard)

    async def drain(self, within_s: float) -> None:
        """Lets what is being sent end, and writes down what it came to; nothing new is begun."""
        if self._attempts:
            await asyncio.wait(self._attempts, timeout=within_s)
        with suppress(Unavailable):
            await self._write_down()

    async def _write_down(self) -> None:
        attempted = self._unwritten[:]
        if attempted:
            await self._queue.record(attempted, endpoint_circuit.after)
            del self._unwritten[: len(attempted)]

    def _signable(self) -> list[SubscriptionId]:
        """Those whose secret we can make: what is for others waits for somebody who has the key."""
        return [one.subscription_id for one in self._heard.current.active if self._secrets.knows(one.secret)]

    def _unsigned(self) -> str | None:
        unsigned = len(self._heard.current.active) - len(self._signable())
        return f"the key of {unsigned} subscriptions' secrets is not among ours" if unsigned else None

    async def _attempt(self, claimed: Claimed) -> None:
        try:
            subscription = self._heard.active(claimed.subscription_id)
            if subscription is None:
                return  # it has just ended: whoever keeps the house buries the delivery
            if still_wants(subscription, claimed.event_type, claimed.merchant_id):
                self._unwritten.append(await self._attempted(claimed, subscription))
            else:
                await self._queue.give_up_unwanted(claimed.delivery_id)
        except Exception:  # its lease ends, and it is attempted anew
            log.exception("an attempt was not made", delivery_id=claimed.delivery_id)
        finally:
            self.wake()

    async def _attempted(self, claimed: Claimed, subscription: Subscription) -> Attempted:
        begun_ms = self._clock.elapsed_ms()
        result = await self._send(claimed, subscription)
        ended_ms = self._clock.elapsed_ms()
        self.counted[_kind(result)] += 1
        following = after(result, claimed.attempt, claimed.left_ms, self._clock.draw())
        if following == GivenUp(reason="gone"):
            await self._disable(subscription)
        return Attempted(
            claimed=claimed,
            result=result,
            latency_ms=round(ended_ms - begun_ms),
            next=following,
        )

    async def _send(self, claimed: Claimed, subscription: Subscription) -> SendResult:
        now, body = self._clock.now(), claimed.body.encode()
        secrets = [
            self._secrets.secret(subscription.subscription_id, version)
            for version in secrets_in_force(subscription, now)
            if self._secrets.knows(version)
        ]
        headers = signed_headers(claimed.delivery_id, int(now.timestamp()), body, secrets)
        return await self._sender.send(subscription.url, body, headers)

    async def _disable(self, subscription: Subscription) -> None:
        """If that does not reach the log, the next delivery is answered 410 again."""
        command = DisableSubscription(
            subscription_id=subscription.subscription_id,
            by=BY,
            note="its receiver answered 410 Gone",
            instead_of_version=subscription.version,
        )
        event_id = self._clock.event_id()
        try:
            for event in decide(command, self._heard.current):
                await self._log.append(event, event_id, event_id)
                log.info("a subscription is disabled", subscription_id=subscription.subscription_id)
        except (Refused, Unavailable) as error:
            log.warning("a subscription is not disabled yet", reason=str(error))


def _kind(result: SendResult) -> str:
    return f"{result.status // 100}xx" if isinstance(result, Answered) else result.reason
