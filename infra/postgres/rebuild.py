"""The reservation table made anew, on one connection whose end undoes whatever is half done.

What the log tells is gathered in a temporary table; the new table is made and filled in one transaction. A rebuild that
is killed leaves no table behind, where nobody is admitted, and the next one begins from the start.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg

from infra.postgres import queries
from infra.postgres.database import Connection
from infra.postgres.replays import refuse_replays
from schemas.base import Value
from schemas.codec import PAYMENTS_TOPIC
from schemas.views import PaymentView

STATEMENT_TIMEOUT_S = 60.0
INSTALL_TIMEOUT_S = 3600.0
"""60,000 keys take a second; the table is out of service meanwhile, as it was before."""

_sql = queries.load(Path(__file__).with_suffix(".sql"))


class AnotherRebuild(Exception):
    """Another process is at it."""


class Installed(Value, frozen=True, kw_only=True):
    keys: int
    payments: int
    """More than keys where a key was admitted twice before."""


@asynccontextmanager
async def reservation_rebuild(url: str) -> AsyncIterator["ReservationRebuild"]:
    """One at a time. Raises AnotherRebuild, FilledByReplay."""
    connection = await asyncpg.connect(url, timeout=5, command_timeout=STATEMENT_TIMEOUT_S)
    try:
        await refuse_replays(connection)
        if not await connection.fetchval(_sql.lock):
            raise AnotherRebuild
        yield ReservationRebuild(connection)
    finally:
        await connection.close(timeout=5)  # and with it the lock and the temporary table


class ReservationRebuild:
    """Raises what asyncpg raises: there is nothing to go on with but a new rebuild."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def projected(self) -> dict[int, int]:
        """By partition, how far the log certainly reached once."""
        rows = await self._connection.fetch(_sql.projected, PAYMENTS_TOPIC)
        return {row["partition"]: row["next_offset"] for row in rows}

    async def take_out_of_service(self) -> None:
        """When this returns nobody has a reservation or a claim that is not in force already."""
        await self._connection.execute(_sql.make_told_owners)
        await self._connection.execute(_sql.take_out_of_service)

    async def merge(self, owners: Sequence[PaymentView]) -> int:
        """Later stretches after earlier ones. How many it had to leave out, because Postgres cannot hold them."""
        if not owners:
            return 0
        columns = map(list, zip(*map(_row, owners), strict=True))
        try:
            await self._connection.execute(_sql.merge, *columns)
        except asyncpg.DataError:  # found by halving, as the projection finds it
            if len(owners) == 1:
                return 1
            half = len(owners) // 2
            return await self.merge(owners[:half]) + await self.merge(owners[half:])
        return 0

    async def install(self) -> Installed:
        """The table is in service again when this returns, or it is not there."""
        async with self._connection.transaction():
            await self._connection.execute(_sql.make_reservations)
            await self._connection.execute(_sql.fill, timeout=INSTALL_TIMEOUT_S)
            await self._connection.execute(_sql.point_verifications, timeout=INSTALL_TIMEOUT_S)
            row = await self._connection.fetchrow(_sql.count, timeout=INSTALL_TIMEOUT_S)
        return Installed(keys=row["keys"], payments=row["payments"])


def _row(payment: PaymentView) -> tuple[object, ...]:
    return (
        payment.payment_id,
        payment.order.merchant_id if payment.order is not None else None,
        payment.key_hash,
        payment.fingerprint,
        payment.epoch,
        payment.owned_until_ms,
        payment.handed_over,
        payment.created_at,
        payment.attempts > 0,
    )
