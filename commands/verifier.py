"""Settles what is in doubt: takes over payments that are due, asks their gateways by our own reference, and writes what
is certain. It never starts a charge.

A claim is a lease with a window of its own. Whatever goes wrong ends it in silence: the next claim looks again.
"""

import asyncio
from collections import Counter
from datetime import timedelta

from commands.check_limits import CheckLimits
from commands.ownership import Owner, is_owned_by
from commands.payment import decide
from commands.payment_state import Open
from commands.ports import Alarms, Clock, EventLog, Gateways, Histories, RoutingFacts, VerificationQueue
from commands.verification import Verification
from commands.writer import PaymentWriter
from schemas.errors import AppendAmbiguous, ReadTooFarBehind, Unavailable
from schemas.payment import TakeOverPayment
from schemas.verification import CLOSE_AFTER, Takeover

LEASE_MS = 30_000
"""What one payment takes, a look, a burning and a giving back of six seconds each at the worst, and their appends. A
second look or a second return within one lease may be cut off: the next claim goes on with it."""
BEHIND_PAUSE_MS = 10_000
"""A claim whose payment cannot be folded would only add records to the log: none is made for so long."""


class PaymentVerifier:
    """`counted` tells what became of the claims, by name."""

    def __init__(
        self,
        *,
        clock: Clock,
        log: EventLog,
        histories: Histories,
        gateways: Gateways,
        facts: RoutingFacts,
        queue: VerificationQueue,
        alarms: Alarms,
        close_after: timedelta = CLOSE_AFTER,
    ) -> None:
        self._clock = clock
        self._log = log
        self._histories = histories
        self._gateways = gateways
        self._facts = facts
        self._queue = queue
        self._alarms = alarms
        self._close_after = close_after
        self._limits = CheckLimits(clock)
        self._running: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._paused_until_ms = 0.0
        self.counted: Counter[str] = Counter()

    @property
    def in_flight(self) -> int:
        return len(self._running)

    async def turn(self) -> int:
        """Claim as much as there is room for, and begin with it; returns how much that is.

        Raises Unavailable, and what nobody expected of an earlier payment: the process is then to be started again.
        """
        since_ms = self._clock.elapsed_ms()
        if self._failure is not None:
            raise self._failure
        if since_ms < self._paused_until_ms:
            raise ReadTooFarBehind("the projection is too far behind to fold a payment on top of it")
        slots = self._limits.free(self._facts.gateways())
        if not any(slots.values()):
            return 0
        takeovers = await self._queue.claim(slots, LEASE_MS)
        for takeover in takeovers:
            self._limits.take(takeover.gateway)
            task = asyncio.create_task(self._work(takeover, since_ms))
            self._running.add(task)
            task.add_done_callback(self._ended)
        return len(takeovers)

    async def drain(self, timeout_s: float) -> int:
        """Wait until what was begun has ended; how much has not within the time."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        return len(self._running)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.counted["failed"] += 1
            self._failure = error

    async def _work(self, takeover: Takeover, since_ms: float) -> None:
        try:
            await self._verify(takeover, since_ms)
        except ReadTooFarBehind:
            self.counted["projection_behind"] += 1
            self._paused_until_ms = self._clock.elapsed_ms() + BEHIND_PAUSE_MS
        except AppendAmbiguous:
            self.counted["ambiguous"] += 1
        except Unavailable:
            self.counted["part_away"] += 1
        finally:
            self._limits.give_up(takeover.gateway)

    async def _verify(self, takeover: Takeover, since_ms: float) -> None:
        claim = takeover.claim
        owner = Owner(
            payment_id=takeover.payment_id,
            epoch=claim.epoch,
            window=claim.window,
            until_ms=since_ms + LEASE_MS,
        )
        writer = PaymentWriter(self._clock, self._log, owner, claim.claim_id)
        await writer.append(decide(TakeOverPayment(claim_id=claim.claim_id, by="payment_verifier"), Open()))
        position = writer.history[-1].position
        history = tuple(await self._histories.through(takeover.payment_id, position))
        if not is_owned_by(history, claim.epoch, claim.claim_id):
            self.counted["lost_to_another"] += 1
            return
        writer.resume(history)
        verification = Verification(
            writer, self._clock, self._gateways, self._facts, self._alarms, self._close_after
        )
        await verification.settle([received.message for received in takeover.messages])
        if takeover.messages:
            await self._queue.used(takeover.messages)
        self.counted["ended"] += 1
