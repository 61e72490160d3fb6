"""The event log in memory: gap-free offsets, stamped by the broker's clock, and all that a broker can do to a writer.

Every record of an append has a fate of its own. So an acknowledgement may be late or lost, and any subset of a
decision's events may land, in any order, also long after their writer gave up.
"""

import asyncio
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.memory.clock import MemoryClock
from infra.memory.fate import Fate, carry_out, untroubled
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Outgoing, Position, Recorded, acknowledged
from schemas.errors import AppendAmbiguous, LogUnavailable
from schemas.ids import PaymentId
from schemas.payment import PaymentEvent

Record = Recorded[PaymentEvent]


class MemoryLog:
    """`is_available` is set by whoever breaks it: appends are then refused, and what is on its way is lost.

    `stamps_may_go_back`: the next leader's clock may be behind the last one's, and its stamps then are.
    """

    def __init__(
        self,
        clock: MemoryClock,
        *,
        fate: Callable[[], Fate] = untroubled,
        acknowledgement_timeout_ms: int = 2_000,
        stamps_may_go_back: bool = False,
    ) -> None:
        self.is_available = True
        self.partitions: list[list[Record]] = [[] for _ in range(PAYMENT_PARTITIONS)]
        self._clock = clock
        self._fate = fate
        self._timeout_s = acknowledgement_timeout_ms / 1000
        self._stamps_may_go_back = stamps_may_go_back

    async def append(self, events: Sequence[Outgoing[PaymentEvent]]) -> Sequence[Record]:
        if not self.is_available:
            raise LogUnavailable("the log is away")
        try:
            async with asyncio.timeout(self._timeout_s):
                landed = await asyncio.gather(*(self._send(*numbered) for numbered in enumerate(events)))
        except TimeoutError as error:
            raise AppendAmbiguous(f"not acknowledged within {self._timeout_s:g} s") from error
        recorded = [record for record in landed if record is not None]
        if len(recorded) < len(events):
            raise AppendAmbiguous("the log went away")
        return acknowledged(recorded)

    def of(self, payment_id: PaymentId) -> list[Record]:
        """The payment's records so far, in offset order."""
        partition = self.partitions[partition_for(payment_id)]
        return [record for record in partition if record.envelope.aggregate_id == payment_id]

    async def _send(self, number: int, outgoing: Outgoing[PaymentEvent]) -> Record | None:
        """Records of equal fates land in their order: each a hundredth of a millisecond after the one before it."""
        fate = self._fate()
        if fate.effect_ms is not None:
            fate = replace(fate, effect_ms=fate.effect_ms + number / 100)
        return await carry_out(lambda: self._land(outgoing), fate)

    def _land(self, outgoing: Outgoing[PaymentEvent]) -> Record | None:
        if not self.is_available:
            return None
        number = partition_for(outgoing.envelope.aggregate_id)
        partition = self.partitions[number]
        stamp_ms = self._clock.now_ms()
        if partition and not self._stamps_may_go_back:
            stamp_ms = max(stamp_ms, partition[-1].stamp_ms)
        record = Recorded(
            envelope=outgoing.envelope,
            event=outgoing.event,
            position=Position(topic=PAYMENTS_TOPIC, partition=number, offset=len(partition)),
            stamp_ms=stamp_ms,
        )
        partition.append(record)
        return record


class MemoryHistories:
    """Reads from the log. `stale_ms` makes `at_head` miss what landed so recently; `through` never misses anything."""

    def __init__(
        self,
        log: MemoryLog,
        clock: MemoryClock,
        *,
        fate: Callable[[], Fate] = untroubled,
        stale_ms: int = 0,
        timeout_ms: int = 2_000,
    ) -> None:
        self._log = log
        self._clock = clock
        self._fate = fate
        self._stale_ms = stale_ms
        self._timeout_s = timeout_ms / 1000

    async def at_head(self, payment_id: PaymentId) -> Sequence[Record]:
        records = await self._read(payment_id)
        if not self._stale_ms:
            return records
        return [record for record in records if record.stamp_ms <= self._clock.now_ms() - self._stale_ms]

    async def through(self, payment_id: PaymentId, position: Position) -> Sequence[Record]:
        return [record for record in await self._read(payment_id) if record.position <= position]

    async def _read(self, payment_id: PaymentId) -> list[Record]:
        if not self._log.is_available:
            raise LogUnavailable("the log is away")
        try:
            async with asyncio.timeout(self._timeout_s):
                return await carry_out(lambda: self._log.of(payment_id), self._fate())
        except TimeoutError as error:
            raise LogUnavailable("no read from the log") from error
