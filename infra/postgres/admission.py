"""Whether this Postgres may be believed when it says that a key is free.

A reservation that Postgres has forgotten (a fail-over, a restored backup, an empty new server) would let a second owner
start the same payment. So reservations are used only on connections to the Postgres that was adopted on the log, and
one is adopted only when every window that a forgotten owner may still hold has passed, and the projection that heals
the reservations has reached the end that the log had then.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog

from infra.postgres import queries
from infra.postgres.database import Database, describe
from infra.postgres.replays import refuse_replays
from schemas.base import Value
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import LONGEST_WINDOW_MS
from schemas.errors import StoreUnavailable, Unavailable
from schemas.views import Watermark

log = structlog.get_logger(__name__)

_RETRY_S = 1.0
_CATCH_UP_POLL_S = 0.05
_TOLD_EVERY_S = 10.0

_SQL = queries.load(Path(__file__).with_suffix(".sql"))


class StoreIdentity(Value, frozen=True, kw_only=True):
    """A fail-over or a restored backup changes the timeline; another cluster has another identifier, another database
    in it another number."""

    system_identifier: str
    timeline: int
    database: int


class Adoptions(Protocol):
    """The record of adopted stores on the configuration topic."""

    async def newest(self) -> StoreIdentity | None: ...

    async def append(self, identity: StoreIdentity) -> None: ...


class Admission:
    """Opens by itself when it is safe; closes as soon as a connection turns out to lead to another Postgres."""

    def __init__(
        self,
        database: Database,
        adoptions: Adoptions,
        end_offsets: Callable[[], Awaitable[Mapping[int, int]]],
        watermarks: Callable[[], Awaitable[Mapping[tuple[str, int], Watermark]]],
        *,
        guard_ms: int,
        longest_window_ms: int = LONGEST_WINDOW_MS,
    ) -> None:
        self._database = database
        self._adoptions = adoptions
        self._end_offsets = end_offsets
        self._watermarks = watermarks
        self._wait_s = (longest_window_ms + guard_ms) / 1000
        self._adopted: StoreIdentity | None = None
        self._opening: asyncio.Task[None] | None = None
        self._flushed = 0
        self._told_at_s = 0.0
        self.detail = "starting"

    @property
    def is_open(self) -> bool:
        return self._adopted is not None

    def start(self) -> None:
        if self._opening is None or self._opening.done():
            self._told_at_s = asyncio.get_running_loop().time()
            self._opening = asyncio.create_task(self._open(), context=contextvars.Context())

    async def stop(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])

    async def verify(self, connection: Any) -> None:
        """For each new connection of the reservations' pool. Raises StoreUnavailable while admission is closed."""
        if self._adopted is None:
            raise StoreUnavailable(f"no payments are admitted yet: {self.detail}")
        row = await connection.fetchrow(_SQL.identity)
        found = _identity(row)
        if found != self._adopted or row["flushed"] < self._flushed:
            log.error("another Postgres answers: admission is closed", was=self._adopted, found=found)
            self._adopted = None
            self.start()
            raise StoreUnavailable("another Postgres answers: admission is closed")
        self._flushed = row["flushed"]

    async def _open(self) -> None:
        while True:
            try:
                self._adopted = await self._adopt()
                self.detail = "open"
                log.info("payments are admitted")
                return
            except Unavailable as error:
                self.detail = str(error)
                self._tell()
            except (
                Exception
            ) as error:  # a standby, missing tables, a wrong password: it may be mended while we run
                self.detail = describe(error)
                log.error("payments cannot be admitted", reason=self.detail)
            await asyncio.sleep(_RETRY_S)

    async def _adopt(self) -> StoreIdentity:
        await refuse_replays(self._database)
        (row,) = await self._database.fetch(_SQL.identity)
        if not row["is_durable"]:
            raise StoreUnavailable(
                "this Postgres may forget what it has committed (fsync, synchronous_commit)"
            )
        identity = _identity(row)
        known = await self._adoptions.newest()
        ends = await self._end_offsets()
        # Also with an empty log: a forgotten owner's first record may be on its way.
        if identity != known and (known is not None or any(ends.values())):
            self.detail = (
                f"an unknown Postgres: waiting {self._wait_s:.0f} s until no forgotten owner can write"
            )
            log.warning(self.detail)
            await asyncio.sleep(self._wait_s)
            ends = await self._end_offsets()
        await self._catch_up(ends)
        await refuse_replays(self._database)  # or what caught up was a replay that began meanwhile
        if identity != known:
            await self._adoptions.append(identity)
        self._flushed = row["flushed"]
        return identity

    async def _catch_up(self, ends: Mapping[int, int]) -> None:
        """Wait for the projection that heals the reservations; it has no deadline, but says how far it is."""
        while behind := _behind(ends, await self._watermarks()):
            self.detail = f"the projection is {behind} records behind the log as it was at start"
            self._tell()
            await asyncio.sleep(_CATCH_UP_POLL_S)

    def _tell(self) -> None:
        """Now and then, while payments have not been admitted for a while."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._told_at_s >= _TOLD_EVERY_S:
            self._told_at_s = now_s
            log.warning("payments cannot be admitted yet", reason=self.detail)


def _behind(ends: Mapping[int, int], watermarks: Mapping[tuple[str, int], Watermark]) -> int:
    """How many records, over all partitions, the projection has yet to reach."""
    reached = {
        partition: mark.next_offset
        for (topic, partition), mark in watermarks.items()
        if topic == PAYMENTS_TOPIC
    }
    return sum(max(end - reached.get(partition, 0), 0) for partition, end in ends.items())


def _identity(row: Any) -> StoreIdentity:
    return StoreIdentity(
        system_identifier=row["system_identifier"], timeline=row["timeline"], database=row["database"]
    )
