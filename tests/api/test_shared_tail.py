"""Two folds of one topic that read it together."""

import pytest

from api.live_configuration import LiveConfiguration
from api.live_webhooks import LiveWebhooks
from api.shared_tail import SharedTail
from infra.memory.topic import MemoryTail, MemoryTopic
from projections.ports import Take
from schemas.base import Event
from schemas.codec import CONFIGURATION_TOPIC
from schemas.configuration import RoutingSet, aggregate_of
from schemas.envelope import Recorded
from schemas.webhook import WebhookEvent, webhook_aggregate
from tests.api.stand_ins import ManualClock
from tests.api.test_live_configuration import TO_ALPHA, TO_BETA, set_rules
from tests.commands.test_webhook_subscription import TWO, subscribe, subscribed

Heard = list[Recorded[Event]]
Topic = MemoryTopic[RoutingSet | WebhookEvent]


def _key(event: RoutingSet | WebhookEvent) -> str:
    return webhook_aggregate(event) if isinstance(event, WebhookEvent) else aggregate_of(event)


class Opened:
    """Every tail of the topic that was opened."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.tails: list[MemoryTail] = []

    def __call__(self, take: Take) -> MemoryTail:
        self.tails.append(self.topic.tail(take))
        return self.tails[-1]


async def on_the_topic(*rules: int) -> Topic:
    topic = Topic(CONFIGURATION_TOPIC, _key)
    setter = LiveConfiguration(topic.tail, topic, ManualClock())
    await setter.start()
    for number in rules:
        await setter.set(set_rules(TO_BETA if number % 2 else TO_ALPHA, instead_of=number), "req_1")
    return topic


async def test_configuration_and_subscriptions_are_heard_from_one_tail() -> None:
    topic = await on_the_topic(0, 1)
    opened = Opened(topic)
    shared = SharedTail(opened)
    configuration = LiveConfiguration(shared.joined, topic, ManualClock())
    subscriptions = LiveWebhooks(shared.joined, topic, ManualClock())
    for fold in (configuration, subscriptions):
        assert not fold.is_loaded
    for fold in (configuration, subscriptions):
        await fold.start()
    await subscriptions.obey(subscribe(), "req_2")
    await configuration.set(set_rules(TO_ALPHA, instead_of=2), "req_3")
    assert len(opened.tails) == 1
    assert configuration.loaded().routing.rules == TO_ALPHA
    assert set(subscriptions.loaded().known) == {TWO}
    for fold in (configuration, subscriptions):
        await fold.stop()
    assert not opened.tails[0].is_current


async def test_what_one_cannot_take_is_heard_by_the_others_and_told_to_the_tail() -> None:
    topic = await on_the_topic()
    shared, heard = SharedTail(topic.tail), Heard()

    def refuse(_: Recorded[Event]) -> None:
        raise ZeroDivisionError

    for take in (refuse, heard.append):
        shared.joined(take)
    await shared.start()
    with pytest.raises(ExceptionGroup):
        await topic.append(subscribed(), "evt_1", "req_1")
    assert [record.position.offset for record in heard] == [0]
    assert shared.next_offset == 1


async def test_who_joins_when_something_was_told_already_would_miss_it() -> None:
    shared = SharedTail((await on_the_topic(0)).tail)
    shared.joined(Heard().append)
    assert await shared.start()
    with pytest.raises(AssertionError):
        shared.joined(Heard().append)
