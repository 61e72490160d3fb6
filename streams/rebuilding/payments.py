"""Rebuilds the payments' read model beside the live one: filled from the log, compared row for row, put in its place.

The fold, the transactions and the statements are those of the live projection. All is done in short steps, between
which it rests as the pace asks, and each step is kept: a rebuild that was stopped, however it was, goes on from
there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.reader import LogReader
from infra.postgres.database import Database
from infra.postgres.generations import (
    COMPARED_AT_ONCE,
    NEXT,
    PREVIOUS,
    Finish,
    Generation,
    Generations,
    Name,
    SwitchPutOff,
    generations,
    standing_behind,
)
from infra.postgres.payments import PaymentViews, PostgresPaymentSink
from infra.settings import Settings
from projections.project import Projection
from schemas.codec import PAYMENTS_TOPIC
from streams.dead_letters import NoLetters
from streams.rebuilding.differences import Accepted, Differences
from streams.rebuilding.pacer import Pacer
from streams.rebuilding.progress import Progress, Tell
from streams.rebuilding.rows_only import RowsOnly

STRETCH = 2_000
"""Records of one partition that are taken in at a time: a tenth of a second of work."""
READ_TIMEOUT_S = 30.0
LEFT_FOR_THE_SWITCH = 1_000
"""Records at most, when the live projection is asked to wait for them."""
SWITCH_WITHIN_S = 1.0
ROUNDS = 100
"""To come so close to the live one."""
TRIES = 20
"""To be let in between those who read the tables."""
TRY_AGAIN_S = 0.5


class Refused(Exception):
    """As things stand it must not be done; the message says what is to be done first."""


class Differ(Exception):
    def __init__(self, differences: Differences) -> None:
        super().__init__(f"{differences.payments:,} payments differ")
        self.differences = differences


async def rebuild_payments(settings: Settings, accepted: Accepted, verify_only: bool, tell: Tell) -> int:
    """How many payments were compared.

    Raises Differ and Refused, AnotherAtIt, AnotherDefinition and SwitchPutOff, LiveTooLate, Unavailable, and what
    asyncpg raises.
    """
    async with generations(settings.database_url) as known:
        if PREVIOUS in await known.standing():
            raise Refused("the previous generation stands: drop it, or roll back to it")
        async with _beside(settings, known, NEXT, accepted, tell) as rebuild:
            await rebuild.fill()
            await rebuild.verify()
            await (rebuild.prove() if verify_only else rebuild.take_the_place(verified=True))
            return rebuild.compared


async def roll_back(settings: Settings, tell: Tell) -> None:
    """The previous generation, brought up to date, and the live one change places. Raises as above, but Differ."""
    async with generations(settings.database_url) as known:
        if PREVIOUS not in await known.standing():
            raise Refused("there is no previous generation")
        async with _beside(settings, known, PREVIOUS, Accepted(), tell) as rebuild:
            await rebuild.fill()
            await rebuild.take_the_place(verified=False)


async def drop(settings: Settings, accepted: Accepted, unproven: bool, tell: Tell) -> set[Name]:
    """A generation that was never switched to, at once. The previous one when the switch is proven: brought up to
    date, it says what the live one says. Raises as above; returns what was dropped."""
    async with generations(settings.database_url) as known:
        standing = await known.standing()
        if PREVIOUS in standing and not unproven:
            async with _beside(settings, known, PREVIOUS, accepted, tell) as rebuild:
                await rebuild.fill()
                await rebuild.verify()
                await rebuild.prove()
        for name in standing:
            await known.drop(name)
        return standing


async def status(settings: Settings) -> dict[Name, int]:
    """The generations that stand beside the live one, and by how many records each is behind it. Raises Unavailable."""
    database = await Database.connect(settings.database_url, max_size=1)
    try:
        return await standing_behind(database)
    finally:
        await database.close()


@asynccontextmanager
async def _beside(
    settings: Settings, known: Generations, name: Name, accepted: Accepted, tell: Tell
) -> AsyncIterator["Rebuild"]:
    reader = LogReader(settings.kafka_bootstrap_servers)
    database = await Database.connect(settings.database_url, max_size=1)
    pacer = Pacer(PAYMENTS_TOPIC, PaymentViews(database, partition_for), reader)
    try:
        async with known.beside(name) as generation, pacer.watching():
            yield Rebuild(known, generation, reader, pacer, accepted, tell)
    finally:
        await database.close()
        await reader.stop()


class Rebuild:
    def __init__(
        self,
        known: Generations,
        generation: Generation,
        reader: LogReader,
        pacer: Pacer,
        accepted: Accepted,
        tell: Tell,
    ) -> None:
        self._known = known
        self._generation = generation
        self._reader = reader
        self._pacer = pacer
        self._tell = tell
        self._clock = SystemClock()
        self._rows = RowsOnly(PostgresPaymentSink(generation.database))
        self._projection = Projection(PAYMENTS_TOPIC, self._rows, reader, NoLetters(), partition_for)
        self._differences = Differences(accepted, partition_for)
        self._compared_at_first = 0

    @property
    def compared(self) -> int:
        """Payments, those that came after the first look at all of them too."""
        return self._compared_at_first + len(self._rows.added)

    async def fill(self) -> None:
        """Up to where the live one is, but for a few records."""
        await self._require_the_log()
        await self._follow()
        self._tell("analyzing the tables")
        await self._generation.analyze()

    async def verify(self) -> None:
        """Compares every payment, and those that changed meanwhile again: all but the last records. Raises Differ."""
        self._rows.forget()
        about = await self._generation.payments_about()
        progress = Progress("payments compared", self._tell, self._clock.elapsed_ms)
        after: str | None = ""
        while after is not None:
            begun_ms = self._clock.elapsed_ms()
            after, comparison = await self._generation.compare_stretch(
                after, self._differences.accepted.columns
            )
            self._rows.touched.update(self._differences.judge(comparison))
            progress.advance(comparison.payments, about - progress.done, self._pacer.note)
            await self._pacer.rest(self._clock.elapsed_ms() - begun_ms)
        self._compared_at_first = progress.done
        await self._settle()

    async def take_the_place(self, *, verified: bool) -> None:
        """The live projection waits while the last records are taken in and what they changed is compared."""
        await self._finish_by(partial(self._known.switch, self._generation.name), verified=verified)

    async def prove(self) -> None:
        """The same, after which the live projection goes on where it is. Raises Differ."""
        await self._finish_by(self._known.while_live_waits, verified=True)

    async def _finish_by(self, act: Callable[[Finish, float], Awaitable[None]], *, verified: bool) -> None:
        async def finish(live: Mapping[int, int]) -> None:
            beside = {partition: ours for partition, (_, ours) in (await self._generation.reached()).items()}
            await self._take_at_once(
                {partition: range(beside.get(partition, 0), end) for partition, end in live.items()}
            )
            reached = await self._generation.reached()
            assert all(beside == live for live, beside in reached.values()), reached
            if verified:
                await self._compare_touched()
                assert not self._rows.touched, self._rows.touched

        for tries_left in reversed(range(TRIES)):
            await (self._settle() if verified else self._follow())
            try:
                await act(finish, SWITCH_WITHIN_S)
                return
            except SwitchPutOff as reason:
                if not tries_left:
                    raise
                self._tell(f"put off: {reason}")
                await asyncio.sleep(TRY_AGAIN_S)

    async def _settle(self) -> None:
        await self._follow()
        await self._compare_touched()

    async def _compare_touched(self) -> None:
        """What changed since it was compared, where both sides have read the same of it. Raises Differ."""
        touched = list(self._rows.touched)
        self._rows.touched.clear()
        for first in range(0, len(touched), COMPARED_AT_ONCE):
            comparison = await self._generation.compare(
                touched[first : first + COMPARED_AT_ONCE], self._differences.accepted.columns
            )
            self._rows.touched.update(self._differences.judge(comparison))
        if self._differences.payments:
            raise Differ(self._differences)

    async def _require_the_log(self) -> None:
        """Raises Refused where it does not hold all that the live one was made of."""
        reached = await self._generation.reached()
        ends = await self._reader.end_offsets(PAYMENTS_TOPIC, READ_TIMEOUT_S)
        for partition, (live, beside) in reached.items():
            place, beginning = f"{PAYMENTS_TOPIC}-{partition}", 0
            if beside < live:
                beginning = await self._reader.beginning_offset(PAYMENTS_TOPIC, partition, READ_TIMEOUT_S)
            if beside < beginning:
                raise Refused(f"{place} begins at {beginning} by now: what was before has left the log")
            if live > ends.get(partition, 0):
                raise Refused(f"{place} ends before {live}, up to where it was projected: records were lost")
            if beside > live:
                raise Refused(
                    f"the live projection of {place} is at {live}, and was at {beside} before: was it restored?"
                )

    async def _follow(self) -> None:
        """Up to the live one, which goes on meanwhile, so that a few records are left."""
        progress = Progress("records", self._tell, self._clock.elapsed_ms)
        for _ in range(ROUNDS):
            reached = await self._generation.reached()
            left = {
                partition: range(beside, live)
                for partition, (live, beside) in reached.items()
                if beside < live
            }
            if (records := sum(map(len, left.values()))) <= LEFT_FOR_THE_SWITCH:
                return
            if records <= STRETCH:
                await self._take_at_once(left)
            else:
                await self._take_in_stretches(left, progress)
        raise SwitchPutOff("the live projection takes in records as fast as they can be taken in here")

    async def _take_in_stretches(self, left: dict[int, range], progress: Progress) -> None:
        """All partitions side by side, so that payments come in the order of their ids, or nearly."""
        while left := {partition: part for partition, part in left.items() if part}:
            for partition, part in sorted(left.items()):
                begun_ms = self._clock.elapsed_ms()
                await self._take_at_once({partition: part[:STRETCH]})
                left[partition] = part[STRETCH:]
                progress.advance(len(part[:STRETCH]), sum(map(len, left.values())), self._pacer.note)
                await self._pacer.rest(self._clock.elapsed_ms() - begun_ms)

    async def _take_at_once(self, parts: Mapping[int, range]) -> None:
        reads = (
            self._reader.read(PAYMENTS_TOPIC, partition, part.start, part.stop, READ_TIMEOUT_S)
            for partition, part in parts.items()
            if part
        )
        for_all = [record for records in await asyncio.gather(*reads) for record in records]
        await self._projection.absorb(for_all)
