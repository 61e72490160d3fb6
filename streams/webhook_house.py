"""What is done now and then with deliveries: some are given up, and the old ones are forgotten.

Every dispatcher does it. Two who do it at once do no more than one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

import structlog

from commands.webhook_delivery import WAITING_MOST
from projections.webhooks import first_id_of
from schemas.errors import StoreUnavailable
from schemas.webhook import DeliveryId, SubscriptionId
from streams.webhook_subscriptions import HeardSubscriptions

log = structlog.get_logger(__name__)

KEPT_EVERY_S = 60.0
AT_A_TIME = 5_000
"""A statement must not last, nor hold many rows: there are more of them then."""
KEPT_DAYS = 14
"""For so long after its event a delivery that waits for nothing can be looked at, and replayed."""
_A_DAY_MS = 86_400_000


class Store(Protocol):
    """Each does it to so many at most, and says to how many. Raises StoreUnavailable."""

    async def give_up_ended(self, ended: Collection[SubscriptionId], limit: int) -> int: ...

    async def give_up_overdue(self, limit: int) -> int: ...

    async def give_up_crowded(self, waiting_most: int, limit: int) -> int: ...

    async def trim(self, before: DeliveryId, limit: int) -> int: ...


async def keep_house(store: Store, heard: HeardSubscriptions, now_ms: Callable[[], float]) -> None:
    """Never returns."""
    while True:
        await tidy(store, heard, now_ms)
        await asyncio.sleep(KEPT_EVERY_S)


async def tidy(store: Store, heard: HeardSubscriptions, now_ms: Callable[[], float]) -> None:
    oldest_kept = first_id_of(round(now_ms()) - KEPT_DAYS * _A_DAY_MS)
    chores: dict[str, Callable[[], Awaitable[int]]] = {
        "unsubscribed": lambda: store.give_up_ended(heard.ended, AT_A_TIME),
        "exhausted": lambda: store.give_up_overdue(AT_A_TIME),
        "backlog": lambda: store.give_up_crowded(WAITING_MOST, AT_A_TIME),
        "forgotten": lambda: store.trim(oldest_kept, AT_A_TIME),
    }
    for what, chore in chores.items():
        await _do(what, chore)


async def _do(what: str, chore: Callable[[], Awaitable[int]]) -> None:
    """A piece after the other. What fails is left for the next time, and keeps no other chore from being done."""
    done = AT_A_TIME
    try:
        while done == AT_A_TIME:
            done = await chore()
            if done:
                log.info("the house is kept", what=what, deliveries=done)
    except StoreUnavailable as error:
        log.warning("the house was not kept", what=what, reason=str(error))
