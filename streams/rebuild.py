"""Fills the reservation table from the log: no key is admitted while it is away, and none twice when it is back.

Without the table every reservation and every claim fails. Whoever had one before may still write until the longest
window and the clocks' guard have passed; what the log holds then is all there will be, and the table is made of that.
"""

import asyncio
from collections.abc import Callable, Mapping

from commands.handler import WINDOW_MARGIN_MS
from commands.verifier import LEASE_MS
from infra.clock import SystemClock
from infra.gateways.registry import retry_policies
from infra.kafka.partition import partition_for
from infra.kafka.reader import LogReader
from infra.postgres.rebuild import ReservationRebuild, reservation_rebuild
from infra.settings import Settings
from projections.owners import owners_in
from schemas.base import Value
from schemas.codec import PAYMENTS_TOPIC

STRETCH = 5_000
"""Records that are read, folded and stored at a time."""
READ_TIMEOUT_S = 30.0
TELL_EVERY_MS = 5_000

Tell = Callable[[str], None]


class LogTooShort(Exception):
    """It ends before what was projected from it: the wrong log, or one that lost records. No table is made of it."""


class WindowTooShort(Exception):
    """Less than the owners of these very settings have."""


class Rebuilt(Value, frozen=True, kw_only=True):
    keys: int
    admitted_twice: int
    """Payments whose key has another payment: from before, when the table had been emptied."""
    left_out: int
    """Records that nobody can read, and payments that Postgres cannot hold."""


async def rebuild_reservations(settings: Settings, longest_window_ms: int, tell: Tell) -> Rebuilt:
    """Raises WindowTooShort, AnotherRebuild and LogTooShort; LogUnavailable and what asyncpg raises."""
    budgets_ms = [settings.retry_latency_budget_ms]
    budgets_ms += [policy.latency_budget_ms for policy in retry_policies(settings).values()]
    ours_ms = max(max(budgets_ms) + settings.gateway_timeout_ms + WINDOW_MARGIN_MS, LEASE_MS)
    if longest_window_ms < ours_ms:
        raise WindowTooShort(f"these settings give an owner {ours_ms / 1000:g} s")
    reader = LogReader(settings.kafka_bootstrap_servers)
    try:
        async with reservation_rebuild(settings.database_url) as rebuild:
            return await _rebuild(rebuild, reader, longest_window_ms + settings.clock_guard_ms, tell)
    finally:
        await reader.stop()


async def _rebuild(
    rebuild: ReservationRebuild, reader: LogReader, forgotten_for_ms: int, tell: Tell
) -> Rebuilt:
    clock = SystemClock()
    await _ends(reader, rebuild)  # nothing is taken away that could not be put back
    await rebuild.take_out_of_service()
    over_ms = clock.elapsed_ms() + forgotten_for_ms
    tell("the reservations are out of service: nobody is admitted until they are back")
    replay = Replay(reader, rebuild, clock, tell)
    await replay.reach(await _ends(reader, rebuild))
    if (left_ms := over_ms - clock.elapsed_ms()) > 0:
        tell(f"waiting {left_ms / 1000:.0f} s, until no forgotten owner can write")
        await asyncio.sleep(left_ms / 1000)
    await replay.reach(await _ends(reader, rebuild))
    installed = await rebuild.install()
    return Rebuilt(
        keys=installed.keys,
        admitted_twice=installed.payments - installed.keys,
        left_out=replay.left_out,
    )


async def _ends(reader: LogReader, rebuild: ReservationRebuild) -> dict[int, int]:
    ends = await reader.end_offsets(PAYMENTS_TOPIC, timeout_s=READ_TIMEOUT_S)
    for partition, projected in (await rebuild.projected()).items():
        if (end := ends.get(partition, 0)) < projected:
            raise LogTooShort(
                f"{PAYMENTS_TOPIC}-{partition} ends at {end} and was projected up to {projected}"
            )
    return ends


class Replay:
    """From the first record on, a stretch of one partition at a time; each `reach` goes on where the last one ended."""

    def __init__(
        self, reader: LogReader, rebuild: ReservationRebuild, clock: SystemClock, tell: Tell
    ) -> None:
        self._reader = reader
        self._rebuild = rebuild
        self._clock = clock
        self._tell = tell
        self._next: dict[int, int] = {}
        self._told_ms = clock.elapsed_ms()
        self._taking_ms = 0.0
        self.left_out = 0

    async def reach(self, ends: Mapping[int, int]) -> None:
        for partition, end in sorted(ends.items()):
            for start in range(self._next.get(partition, 0), end, STRETCH):
                await self._take(partition, start, min(start + STRETCH, end))
                if self._clock.elapsed_ms() - self._told_ms >= TELL_EVERY_MS:
                    self._tell_how_far(ends)
        self._tell_how_far(ends)

    async def _take(self, partition: int, start: int, stop: int) -> None:
        began_ms = self._clock.elapsed_ms()
        records = await self._reader.read(PAYMENTS_TOPIC, partition, start, stop, READ_TIMEOUT_S)
        stretch = owners_in(records, partition_for)
        self.left_out += stretch.unreadable + await self._rebuild.merge(stretch.owners)
        self._next[partition] = stop
        self._taking_ms += self._clock.elapsed_ms() - began_ms

    def _tell_how_far(self, ends: Mapping[int, int]) -> None:
        self._told_ms = self._clock.elapsed_ms()
        read = sum(self._next.values())
        rate = read / max(self._taking_ms, 1) * 1000
        self._tell(f"{read:,} of {sum(ends.values()):,} records, {rate:,.0f}/s")
