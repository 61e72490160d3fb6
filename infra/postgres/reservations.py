"""The ownership of idempotency keys, in Postgres, by its clock alone.

Reservations of the same moment share one statement and one commit: while one batch is being made durable the next one
gathers, so that a thousand payments a second cost a few hundred commits.
"""

import asyncio
from pathlib import Path

import asyncpg
import structlog

from infra.clock import SystemClock
from infra.postgres import queries
from infra.postgres.database import Database
from schemas.envelope import Window
from schemas.errors import StoreUnavailable
from schemas.ids import CustomerToken
from schemas.reservation import Claimed, Held, Reservation, Reserved

log = structlog.get_logger(__name__)

_SQL = queries.load(Path(__file__).with_suffix(".sql"))
_BATCH_SIZE = 256
_BATCHES_AT_ONCE = 2

_Waiting = tuple[Reservation, "asyncio.Future[Reserved | Held]"]


class PostgresReservations:
    """Brokers' clocks may differ from one another and from Postgres's by less than `guard_ms`."""

    def __init__(self, database: Database, clock: SystemClock, guard_ms: int) -> None:
        self._database = database
        self._clock = clock
        self._guard_ms = guard_ms
        self._waiting: list[_Waiting] = []
        self._flushing: set[asyncio.Task[None]] = set()

    async def reserve(self, wish: Reservation) -> Reserved | Held:
        future: asyncio.Future[Reserved | Held] = asyncio.get_running_loop().create_future()
        self._waiting.append((wish, future))
        if len(self._flushing) < _BATCHES_AT_ONCE:
            task = asyncio.create_task(self._flush())
            self._flushing.add(task)
            task.add_done_callback(self._flushing.discard)
        return await future

    async def find(self, merchant_id: str, key_hash: str) -> Held | None:
        rows = await self._database.fetch(_SQL.find, [merchant_id], [key_hash])
        return _held(rows[0]) if rows else None

    async def claim(self, wish: Reservation, epoch: int) -> Claimed | None:
        customer = await self._met(wish)
        claim_id = self._clock.event_id().replace("evt_", "clm_")
        rows = await self._database.fetch(
            _SQL.claim, wish.merchant_id, wish.key_hash, epoch, claim_id, self._guard_ms, wish.window_ms
        )
        if not rows:
            return None
        window = Window(valid_from_ms=rows[0]["valid_from_ms"], valid_until_ms=rows[0]["valid_until_ms"])
        return Claimed(epoch=rows[0]["epoch"], claim_id=claim_id, window=window, customer=customer)

    async def _flush(self) -> None:
        while self._waiting:
            batch = sorted(
                self._waiting[:_BATCH_SIZE], key=lambda item: (item[0].merchant_id, item[0].key_hash)
            )
            del self._waiting[:_BATCH_SIZE]
            try:
                await self._reserve_all(batch)
            except StoreUnavailable as error:
                _fail(batch, error)
            except Exception as error:  # of this batch only: those behind it are waiting
                log.exception("a batch of reservations failed")
                _fail(batch, StoreUnavailable(f"reservation failed: {type(error).__name__}"))

    async def _reserve_all(self, batch: list[_Waiting]) -> None:
        wishes = [wish for wish, _ in batch]
        rows = await self._database.fetch(
            _SQL.reserve,
            [wish.merchant_id for wish in wishes],
            [wish.key_hash for wish in wishes],
            [wish.fingerprint for wish in wishes],
            [wish.payment_id for wish in wishes],
            [wish.window_ms for wish in wishes],
            [wish.customer_id for wish in wishes],
            [wish.customer for wish in wishes],
        )
        ours = {row["payment_id"]: row for row in rows}
        taken = [item for item in batch if item[0].payment_id not in ours]
        for wish, future in batch:
            if (row := ours.get(wish.payment_id)) is None:
                continue
            customer = CustomerToken(row["customer"] or await self._met(wish))
            if not future.done():
                window = Window(valid_from_ms=0, valid_until_ms=row["owned_until_ms"])
                future.set_result(Reserved(window=window, customer=customer))
        if taken:
            await self._tell_who_holds(taken)

    async def _met(self, wish: Reservation) -> CustomerToken:
        """Whoever is forgotten at this very moment has a token that is nobody's."""
        rows = await self._database.fetch(_SQL.meet, wish.merchant_id, wish.customer_id, wish.customer)
        return CustomerToken(rows[0]["token"]) if rows else wish.customer

    async def _tell_who_holds(self, taken: list[_Waiting]) -> None:
        rows = await self._database.fetch(
            _SQL.find, [wish.merchant_id for wish, _ in taken], [wish.key_hash for wish, _ in taken]
        )
        held = {(row["merchant_id"], row["key_hash"]): _held(row) for row in rows}
        for wish, future in taken:
            if not future.done():
                future.set_result(held[wish.merchant_id, wish.key_hash])


def _fail(batch: list[_Waiting], error: StoreUnavailable) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(StoreUnavailable(str(error)))


def _held(row: asyncpg.Record) -> Held:
    return Held(
        payment_id=row["payment_id"],
        fingerprint=row["fingerprint"],
        epoch=row["epoch"],
        is_owned=row["is_owned"],
    )
