"""Deliveries that nobody will take are given up and old ones are forgotten, each whatever becomes of the others."""

from collections.abc import Collection

import pytest

from infra.memory.deliveries import MemoryDeliveries
from schemas.delivery import DeliveryView
from schemas.errors import StoreUnavailable
from schemas.webhook import DeliveryId, SubscriptionId
from streams import webhook_house
from streams.webhook_house import KEPT_DAYS, tidy
from tests.commands.test_webhook_subscription import unsubscribed
from tests.streams.test_webhook_dispatch import ONE, TWO, World

A_DAY_MS = 86_400_000


class Partly(MemoryDeliveries):
    """Cannot do one of the things that are asked of it."""

    async def give_up_ended(self, ended: Collection[SubscriptionId], limit: int) -> int:
        raise StoreUnavailable("the statement took too long")


async def tidied(world: World, store: MemoryDeliveries | None = None) -> None:
    await tidy(store or world.queue, world.heard, world.clock.now_ms)


async def shown(world: World, ids: Collection[str]) -> list[DeliveryView]:
    return [await world.shown(one) for one in ids]


async def test_what_is_for_a_subscription_that_ended_is_given_up_in_as_many_pieces_as_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhook_house, "AT_A_TIME", 3)
    world = World()
    world.subscribe(ONE)
    world.subscribe(TWO)
    ended, others = await world.happen(ONE, times=8), await world.happen(TWO, times=2)
    world.hear(unsubscribed(1))
    await tidied(world)
    assert {one.dead_because for one in await shown(world, ended)} == {"unsubscribed"}
    assert {one.status for one in await shown(world, others)} == {"waiting"}


async def test_a_subscription_keeps_no_more_waiting_than_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_house, "WAITING_MOST", 5)
    world = World()
    world.subscribe(ONE, behaviour=None)
    ids = await world.happen(ONE, times=9)
    await tidied(world)
    reasons = [one.dead_because for one in await shown(world, ids)]
    assert (reasons.count("backlog"), reasons.count(None)) == (4, 5)


async def test_one_chore_that_fails_keeps_no_other_from_being_done() -> None:
    world = World()
    world.subscribe(ONE)
    (old,) = await world.happen(ONE)
    await world.turns()
    store = Partly(1, world.clock.now_ms)
    store.rows = world.queue.rows
    world.clock.moved_ms += KEPT_DAYS * A_DAY_MS * 2
    await tidied(world, store)
    assert await world.queue.find(DeliveryId(old)) is None
