"""Sends what is due: claims it, has it sent, and writes down what it came to, in turns of two statements.

Any number of dispatchers do this side by side: a claim is a lease. One that dies is done again when it ends.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from commands import endpoint_circuit
from commands.endpoint_circuit import EndpointCircuit, Paused
from commands.webhook_delivery import after
from commands.webhook_subscription import Subscription, decide, secrets_in_force
from infra.clock import SystemClock
from infra.webhooks.secrets import Secrets
from infra.webhooks.sender import ANSWERED_WITHIN_S
from infra.webhooks.signing import signed_headers
from schemas.delivery import Answered, Attempted, Claimed, GivenUp, SendResult
from schemas.errors import Refused, Unavailable
from schemas.webhook import DisableSubscription, SubscriptionId, WebhookEvent
from streams.webhook_subscriptions import HeardSubscriptions

log = structlog.get_logger(__name__)

IN_FLIGHT_MOST = 1_000
"""Attempts at once in this process: 125 endpoints that begin to hang hold them all until their circuits open."""
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
        self, room: Mapping[SubscriptionId, int], most: int, lease_ms: int
    ) -> Sequence[Claimed]: ...

    async def record(self, attempted: Sequence[Attempted]) -> None: ...


class Sender(Protocol):
    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> SendResult: ...


class Log(Protocol):
    async def append(self, event: WebhookEvent, event_id: str, caused_by: str) -> None: ...


class Dispatch:
    """`counted` says how many attempts came to what; `trouble` what it waits for."""

    def __init__(
        self,
        queue: Queue,
        heard: HeardSubscriptions,
        sender: Sender,
        secrets: Secrets,
        log: Log,
        clock: SystemClock,
    ) -> None:
        self._queue = queue
        self._heard = heard
        self._sender = sender
        self._secrets = secrets
        self._log = log
        self._clock = clock
        self._news = asyncio.Event()
        self._circuits: dict[SubscriptionId, EndpointCircuit] = {}
        self._in_flight: Counter[SubscriptionId] = Counter()
        self._attempts: set[asyncio.Task[None]] = set()
        self._unwritten: list[Attempted] = []
        self.counted: Counter[str] = Counter()
        self.trouble: str | None = None

    def wake(self) -> None:
        """There is something to send, or to write down."""
        self._news.set()

    @property
    def in_flight(self) -> int:
        return self._in_flight.total()

    @property
    def paused(self) -> int:
        active = self._heard.current.active
        return sum(isinstance(self._circuit(one.subscription_id), Paused) for one in active)

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
        outcomes = await asyncio.gather(self._claim(), self._write_down(), return_exceptions=True)
        for failed in filter(None, outcomes):
            raise failed

    async def _claim(self) -> None:
        most, room = IN_FLIGHT_MOST - self.in_flight, self._room()
        if room and most > 0:
            for claimed in await self._queue.claim(room, most, LEASE_MS):
                self._in_flight[claimed.subscription_id] += 1
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
            await self._queue.record(attempted)
            del self._unwritten[: len(attempted)]

    def _room(self) -> dict[SubscriptionId, int]:
        """Whoever has least in flight comes first, should there not be room for all."""
        now_ms = self._clock.elapsed_ms()
        room = {
            to: endpoint_circuit.room(self._circuit(to), self._in_flight[to], now_ms)
            for to in sorted(self._signable(), key=lambda to: self._in_flight[to])
        }
        return {to: attempts for to, attempts in room.items() if attempts}

    def _circuit(self, to: SubscriptionId) -> EndpointCircuit:
        return self._circuits.get(to, endpoint_circuit.INITIAL)

    def _signable(self) -> list[SubscriptionId]:
        """Those whose secret we can make: what is for others waits for somebody who has the key."""
        return [one.subscription_id for one in self._heard.current.active if self._secrets.knows(one.secret)]

    def _unsigned(self) -> str | None:
        unsigned = len(self._heard.current.active) - len(self._signable())
        return f"the key of {unsigned} subscriptions' secrets is not among ours" if unsigned else None

    async def _attempt(self, claimed: Claimed) -> None:
        to = claimed.subscription_id
        try:
            subscription = self._heard.active(to)
            if subscription is not None:  # or it has just ended: whoever keeps the house buries the delivery
                self._unwritten.append(await self._attempted(claimed, subscription))
        except Exception:  # its lease ends, and it is attempted anew
            log.exception("an attempt was not made", delivery_id=claimed.delivery_id)
        finally:
            self._in_flight[to] -= 1
            self.wake()

    async def _attempted(self, claimed: Claimed, subscription: Subscription) -> Attempted:
        to, begun_ms = claimed.subscription_id, self._clock.elapsed_ms()
        result = await self._send(claimed, subscription)
        ended_ms = self._clock.elapsed_ms()
        self.counted[_kind(result)] += 1
        self._circuits[to] = endpoint_circuit.after(self._circuit(to), result, ended_ms)
        following = after(result, claimed.attempt, claimed.left_ms, self._clock.draw())
        if following == GivenUp(reason="gone"):
            await self._disable(subscription)
        return Attempted(
            delivery_id=claimed.delivery_id,
            attempt=claimed.attempt,
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
