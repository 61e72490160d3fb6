"""What a dispatcher has heard of subscriptions, and when that is not enough."""

import pytest

from infra.memory.topic import MemoryTail
from infra.memory.webhook_topic import MemoryWebhooksTopic
from projections.ports import Take
from schemas.errors import LogUnavailable
from schemas.webhook import SubscriptionId
from streams.webhook_subscriptions import HeardSubscriptions
from tests.commands.test_webhook_subscription import (
    ONE,
    TWO,
    disabled,
    enabled,
    subscribed,
    unsubscribed,
)


class World:
    """Nothing is older than the first record."""

    def __init__(self) -> None:
        self.topic = MemoryWebhooksTopic()
        self.heard = HeardSubscriptions(self._now_ms, self._tail)

    def _now_ms(self) -> int:
        return self.topic.records[0].stamp_ms

    def _tail(self, take: Take) -> MemoryTail:
        self.tail = self.topic.tail(take)
        return self.tail

    def told(self, event_type: str) -> list[str]:
        return list(self.heard.of(event_type, None, self._now_ms()))


@pytest.fixture
async def world() -> World:
    world = World()
    await world.topic.append(subscribed(event_types=("payment.*",)), "evt_1", "req_1")
    await world.topic.append(subscribed(TWO, event_types=("circuit.opened",)), "evt_2", "req_2")
    return world


async def test_before_all_was_heard_nobody_knows_whom_to_tell(world: World) -> None:
    with pytest.raises(LogUnavailable):
        world.heard.require()
    loaded = [world.heard.is_loaded]
    await world.heard.start()
    world.heard.require()
    assert [*loaded, world.heard.is_loaded] == [False, True]


async def test_each_is_told_of_the_types_that_it_wants(world: World) -> None:
    await world.heard.start()
    assert world.told("payment.failed") == [ONE]
    assert world.told("circuit.opened") == [TWO]
    assert world.told("circuit.closed") == []
    assert world.heard.want("payment.succeeded")
    assert not world.heard.want("reliability.verification_overdue")


async def test_it_is_known_where_somebody_is_told_of_some_merchants_alone(world: World) -> None:
    await world.topic.append(
        subscribed(SubscriptionId("whs_3"), event_types=("payment.failed",), merchant_ids=("m_1",)),
        "evt_3",
        "req_3",
    )
    await world.heard.start()
    assert world.heard.want_of_merchants("payment.failed")
    assert not world.heard.want_of_merchants("payment.succeeded")


async def test_what_was_heard_last_is_enough_to_send_and_not_to_take_in(world: World) -> None:
    await world.heard.start()
    world.tail.pause()
    assert world.heard.is_loaded
    assert world.heard.active(ONE) is not None
    with pytest.raises(LogUnavailable):
        world.heard.require()


async def test_what_happens_while_one_is_disabled_waits_for_it(world: World) -> None:
    await world.heard.start()
    await world.topic.append(disabled(1), "evt_3", "evt_3")
    assert world.told("payment.failed") == [ONE]
    assert world.heard.active(ONE) is None
    await world.topic.append(enabled(3), "evt_4", "req_4")
    assert world.heard.active(ONE) is not None


async def test_one_that_ended_is_told_nothing_more(world: World) -> None:
    await world.heard.start()
    await world.topic.append(unsubscribed(1), "evt_3", "req_3")
    assert world.told("payment.failed") == []
    assert set(world.heard.ended) == {ONE}
