"""After the disasters: everything runs again, every client is answered, and nothing is left to be settled."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from infra.gateways.simulator.profile import Profile
from infra.kafka.reader import LogReader
from infra.local.child import Child, NotReadyError
from infra.postgres.database import Database
from infra.postgres.messages import PostgresMessages
from infra.postgres.payments import PaymentViews
from schemas.codec import NOTIFICATIONS_TOPIC, PAYMENTS_TOPIC
from schemas.errors import Unavailable
from tests.chaos.mix import healed
from tests.chaos.shoppers import Purchase, Shoppers
from tests.product import Client, plain

READY_S = 120.0
ANSWERED_S = 90.0
SETTLED_S = 420.0
ROUND_S = 1.0
ASKED_AT_ONCE = 20

_LEFT = """
SELECT (SELECT count(*) FROM verifications) AS due,
    (SELECT count(*) FROM notifications WHERE used_at IS NULL) AS untold,
    (SELECT count(*) FROM payments WHERE sequence > 0 AND status NOT IN ('SUCCESS', 'FAILURE')) AS unsettled,
    (SELECT count(DISTINCT payment_id) FROM attempts WHERE in_review) AS in_review
"""


class Left(Struct, frozen=True, kw_only=True):
    """What is still to be done: payments due for verification, messages not used, and so on; records not projected."""

    due: int
    untold: int
    unsettled: int
    in_review: int
    unread: int

    @property
    def is_nothing(self) -> bool:
        return not (self.due or self.untold or self.unsettled or self.in_review or self.unread)


async def everything_runs(children: Iterable[Child]) -> None:
    """One that ends by itself meanwhile, of what befell it before, is started again by the supervisor."""
    for child in children:
        child.resume()
        if not child.running:
            await child.start()
    give_up_at = time.monotonic() + READY_S
    for child in children:
        while True:
            try:
                await child.wait_ready(READY_S)
                break
            except NotReadyError:
                if child.running or time.monotonic() > give_up_at:
                    raise
                await asyncio.sleep(ROUND_S)


async def heal_gateways(client: Client, profiles: Iterable[Profile]) -> None:
    for profile in profiles:
        await client.set_profile(**plain(healed(profile)))


async def everybody_is_answered(shoppers: Shoppers) -> None:
    """Who was told nothing asks again with the same key; the checker tells of those who were never answered."""
    give_up_at = time.monotonic() + ANSWERED_S
    turns = asyncio.Semaphore(ASKED_AT_ONCE)

    async def ask(purchase: Purchase) -> None:
        while not purchase.is_acknowledged and time.monotonic() < give_up_at:
            async with turns:
                await shoppers.ask_again(purchase)
            await asyncio.sleep(ROUND_S)

    await asyncio.gather(*(ask(one) for one in shoppers.purchases if not one.is_acknowledged))


async def nothing_is_left(database: Database, reader: LogReader, say: Callable[[str], None]) -> Left:
    """Or the time is up: the checker tells what that means for each payment."""
    give_up_at, said_at = time.monotonic() + SETTLED_S, 0.0
    left = None
    while time.monotonic() < give_up_at:
        try:
            left = await _left(database, reader)
            if left.is_nothing:
                return left
        except Unavailable as error:
            say(f"  {type(error).__name__}: {error}")
        if left is not None and time.monotonic() > said_at + 10:
            said_at = time.monotonic()
            say(f"  {left}")
        await asyncio.sleep(ROUND_S)
    assert left is not None, "neither the log nor the store could be read"
    return left


async def _left(database: Database, reader: LogReader) -> Left:
    marks = (
        await PaymentViews(database, lambda _: 0).watermarks() | await PostgresMessages(database).watermarks()
    )
    next_offsets = {where: mark.next_offset for where, mark in marks.items()}
    unread = sum(
        [await _unread(reader, topic, next_offsets) for topic in (PAYMENTS_TOPIC, NOTIFICATIONS_TOPIC)]
    )
    (row,) = await database.fetch(_LEFT, timeout_s=10)
    return Left(unread=unread, **dict(row))


async def _unread(reader: LogReader, topic: str, next_offsets: Mapping[tuple[str, int], int]) -> int:
    ends = await reader.end_offsets(topic, timeout_s=10)
    return sum(end - next_offsets.get((topic, partition), 0) for partition, end in ends.items())
