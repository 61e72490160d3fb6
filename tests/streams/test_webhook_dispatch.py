"""What is due is sent, signed, to whom it is for; what it came to is written down; nobody waits for anybody else."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from standardwebhooks import Webhook

from commands.endpoint_circuit import AT_ONCE, FIRST_PAUSE_MS, OPENS_AFTER
from commands.webhook_delivery import UNREPORTED_MOST
from infra.clock import SystemClock
from infra.memory.deliveries import MemoryDeliveries
from infra.memory.webhook_topic import MemoryWebhooksTopic
from infra.webhooks.secrets import Secrets
from projections.webhooks import delivery_id
from schemas.base import Event
from schemas.codec import CONFIGURATION_TOPIC, PAYMENTS_TOPIC
from schemas.delivery import Answered, Delivery, DeliveryView, Learn, SendResult, Unreached
from schemas.envelope import Position, Recorded, unowned
from schemas.errors import LogUnavailable, StoreUnavailable
from schemas.views import Watermark
from schemas.webhook import (
    SecretVersion,
    SubscriptionId,
    WebhookAmended,
    WebhookEnabled,
    WebhookEvent,
    WebhookSecretRotated,
    WebhookSubscribed,
)
from streams.webhook_dispatch import LEASE_MS, Dispatch
from streams.webhook_subscriptions import HeardSubscriptions
from tests.builders import AT

ONE, TWO = SubscriptionId("whs_1"), SubscriptionId("whs_2")
KEY = "a-key-of-more-than-enough-characters"
Behaviour = Callable[[], SendResult] | None
"""None: it does not answer."""


class Clock(SystemClock):
    """Stands still until it is told to move, but for what a receiver's library compares: that is now."""

    def __init__(self) -> None:
        self.moved_ms = 0.0

    def elapsed_ms(self) -> float:
        return self.moved_ms

    def now(self) -> datetime:
        return super().now() + timedelta(milliseconds=self.moved_ms)

    def draw(self) -> float:
        return 0.5


class Receivers:
    def __init__(self) -> None:
        self.behaviour: dict[str, Behaviour] = {}
        self.seen: list[tuple[str, bytes, dict[str, str]]] = []
        self.hanging = 0

    async def send(self, url: str, body: bytes, headers: Mapping[str, str]) -> SendResult:
        self.seen.append((url, body, dict(headers)))
        behaviour = self.behaviour.get(url, lambda: Answered(status=204))
        if behaviour is None:
            self.hanging += 1
            await asyncio.Event().wait()
        assert behaviour is not None
        return behaviour()


class Log:
    def __init__(self) -> None:
        self.appended: list[WebhookEvent] = []
        self.is_away = False

    async def append(self, event: WebhookEvent, event_id: str, caused_by: str) -> None:
        if self.is_away:
            raise LogUnavailable("away")
        self.appended.append(event)


class Queue(MemoryDeliveries):
    is_away = False

    async def record(self, attempted: Any, learn: Learn) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        await super().record(attempted, learn)


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.secrets = Secrets([KEY])
        self.queue = Queue(3_600_000, self.clock.now_ms)
        self.heard = HeardSubscriptions(self.clock.now_ms, MemoryWebhooksTopic().tail)
        self.receivers, self.log = Receivers(), Log()
        self.dispatch = self.another()
        self._offsets = count()
        self._events = count()

    def another(self, keys: tuple[str, ...] = (KEY,)) -> Dispatch:
        return Dispatch("one", self.queue, self.heard, self.receivers, Secrets(keys), self.log, self.clock)

    def hear(self, event: Event) -> None:
        offset = next(self._offsets)
        position = Position(topic=CONFIGURATION_TOPIC, partition=0, offset=offset)
        self.heard.take(
            Recorded(envelope=unowned(f"evt_{offset}", "w", AT), event=event, position=position, stamp_ms=1)
        )

    def subscribe(self, to: SubscriptionId = ONE, behaviour: Behaviour | str = "well") -> None:
        self.hear(
            WebhookSubscribed(
                subscription_id=to,
                url=f"https://{to}.example/",
                event_types=("payment.*",),
                merchant_ids=(),
                secret=SecretVersion(number=1, key=self.secrets.newest),
                by="asha",
                note="",
            )
        )
        if not isinstance(behaviour, str):
            self.receivers.behaviour[f"https://{to}.example/"] = behaviour

    async def happen(
        self, to: SubscriptionId = ONE, times: int = 1, merchant_id: str | None = None
    ) -> list[str]:
        events = [f"evt_{next(self._events)}" for _ in range(times)]
        deliveries = [
            Delivery(
                delivery_id=delivery_id(AT, event, to),
                subscription_id=to,
                event_id=event,
                event_type="payment.succeeded",
                subject="pay_1",
                merchant_id=merchant_id,
                body='{"type":"payment.succeeded","timestamp":"2026-11-23T09:30:00Z","data":{}}',
            )
            for event in events
        ]
        async with self.queue.transaction(PAYMENTS_TOPIC, [0]) as transaction:
            await transaction.store(deliveries, {0: Watermark(next_offset=1, last_stamp_ms=1)})
        return [one.delivery_id for one in deliveries]

    async def turns(self, times: int = 3, dispatch: Dispatch | None = None) -> None:
        for _ in range(times):
            await (dispatch or self.dispatch).turn()
            for _ in range(5):
                await asyncio.sleep(0)

    async def shown(self, delivery: str) -> DeliveryView:
        view = await self.queue.find(delivery)  # type: ignore[arg-type]  # it is one
        assert view is not None
        return view

    def urls(self) -> list[str]:
        return [url for url, _, _ in self.receivers.seen]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    yield World()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def failing() -> SendResult:
    return Answered(status=500)


async def test_what_is_due_is_sent_once_and_is_delivered(world: World) -> None:
    world.subscribe()
    (one,) = await world.happen()
    await world.turns()
    assert world.urls() == ["https://whs_1.example/"]
    assert (await world.shown(one)).status == "delivered"
    assert world.dispatch.counted == {"2xx": 1}


async def test_what_is_sent_is_verified_by_the_public_library(world: World) -> None:
    world.subscribe()
    (one,) = await world.happen()
    await world.turns()
    ((_, body, headers),) = world.receivers.seen
    secret = world.secrets.shown(ONE, SecretVersion(number=1, key=world.secrets.newest))
    assert Webhook(secret).verify(body, headers)["type"] == "payment.succeeded"
    assert headers["webhook-id"] == one


async def test_after_a_rotation_both_secrets_sign(world: World) -> None:
    world.subscribe()
    second = SecretVersion(number=2, key=world.secrets.newest)
    world.hear(
        WebhookSecretRotated(
            subscription_id=ONE,
            secret=second,
            former_until=world.clock.now() + timedelta(hours=1),
            by="asha",
            note="",
            instead_of_version=1,
        )
    )
    await world.happen()
    await world.turns()
    ((_, body, headers),) = world.receivers.seen
    for version in (second, SecretVersion(number=1, key=world.secrets.newest)):
        Webhook(world.secrets.shown(ONE, version)).verify(body, headers)
    assert len(headers["webhook-signature"].split(" ")) == 2


async def test_what_failed_comes_again_with_the_same_id_and_a_new_time(world: World) -> None:
    world.subscribe(behaviour=failing)
    (one,) = await world.happen()
    await world.turns()
    assert (await world.shown(one)).last_result == "500"
    assert len(world.receivers.seen) == 1
    world.clock.moved_ms += 10_000
    await world.turns()
    first, second = (headers for _, _, headers in world.receivers.seen)
    assert first["webhook-id"] == second["webhook-id"] == one
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) in (10, 11)


async def test_a_receiver_that_is_gone_is_sent_nothing_until_it_is_enabled(world: World) -> None:
    world.subscribe(behaviour=lambda: Answered(status=410))
    (one,) = await world.happen()
    await world.turns()
    assert [type(event).__name__ for event in world.log.appended] == ["WebhookDisabled"]
    assert (await world.shown(one)).dead_because == "gone"
    world.hear(world.log.appended[0])
    (meanwhile,) = await world.happen()
    await world.turns()
    assert len(world.receivers.seen) == 1
    assert (await world.shown(meanwhile)).status == "waiting"
    world.receivers.behaviour.clear()
    world.hear(WebhookEnabled(subscription_id=ONE, by="asha", note="", instead_of_version=2))
    await world.turns()
    assert (await world.shown(meanwhile)).status == "delivered"


async def test_what_waits_is_sent_to_the_address_that_its_subscription_has_by_then(world: World) -> None:
    world.subscribe(behaviour=failing)
    await world.happen()
    await world.turns()
    world.hear(
        WebhookAmended(
            subscription_id=ONE,
            url="https://moved.example/",
            event_types=("payment.*",),
            merchant_ids=(),
            by="asha",
            note="",
            instead_of_version=1,
        )
    )
    world.clock.moved_ms += 10_000
    await world.turns()
    assert world.urls() == ["https://whs_1.example/", "https://moved.example/"]


async def test_what_an_amended_subscription_does_not_want_any_more_is_not_sent_to_whom_it_is_now(
    world: World,
) -> None:
    """A subscription of all merchants becomes one merchant's: he is told nothing of the others."""
    world.subscribe()
    (others,) = await world.happen()
    (ours,) = await world.happen(merchant_id="m_001")
    world.hear(
        WebhookAmended(
            subscription_id=ONE,
            url="https://of-m-001.example/",
            event_types=("payment.*",),
            merchant_ids=("m_001",),
            by="asha",
            note="",
            instead_of_version=1,
        )
    )
    await world.turns()
    assert world.urls() == ["https://of-m-001.example/"]
    assert (await world.shown(ours)).status == "delivered"
    given_up = await world.shown(others)
    assert (given_up.status, given_up.dead_because) == ("dead", "unwanted")


async def test_a_log_that_is_away_when_a_receiver_is_gone_costs_nothing_but_another_try(world: World) -> None:
    world.subscribe(behaviour=lambda: Answered(status=410))
    world.log.is_away = True
    await world.happen()
    await world.turns()
    world.log.is_away = False
    await world.happen()
    await world.turns()
    assert len(world.log.appended) == 1


async def test_one_that_hangs_holds_its_own_few_and_delays_nobody(world: World) -> None:
    world.subscribe(ONE, behaviour=None)
    world.subscribe(TWO)
    await world.happen(ONE, times=50)
    others = await world.happen(TWO, times=50)
    await world.turns(12)
    assert world.receivers.hanging == AT_ONCE
    assert {(await world.shown(one)).status for one in others} == {"delivered"}


async def test_one_that_fails_is_left_alone_and_tried_once_after_a_pause(world: World) -> None:
    world.subscribe(behaviour=failing)
    await world.happen(times=100)
    await world.turns(5)
    before = len(world.receivers.seen)
    assert OPENS_AFTER <= before <= OPENS_AFTER + AT_ONCE
    assert (await world.queue.backlog()).endpoints_paused == 1
    world.clock.moved_ms += FIRST_PAUSE_MS
    await world.turns(5)
    assert len(world.receivers.seen) == before + 1
    world.receivers.behaviour.clear()
    world.clock.moved_ms += 2 * FIRST_PAUSE_MS
    await world.turns(30)
    assert len(world.receivers.seen) > before + 100 - AT_ONCE - OPENS_AFTER
    assert (await world.queue.backlog()).endpoints_paused == 0


async def test_what_came_of_attempts_is_kept_while_the_store_is_away(world: World) -> None:
    world.subscribe()
    (one,) = await world.happen()
    await world.turns(1)
    world.queue.is_away = True
    with pytest.raises(StoreUnavailable):
        await world.turns(1)
    world.queue.is_away = False
    await world.turns(1)
    assert (await world.shown(one)).status == "delivered"
    assert len(world.receivers.seen) == 1


async def test_what_a_dead_dispatcher_had_in_its_hands_is_sent_by_another(world: World) -> None:
    world.subscribe(behaviour=None)
    (one,) = await world.happen()
    await world.turns(1)
    world.receivers.behaviour.clear()
    other = world.another()
    await world.turns(3, other)
    assert (await world.shown(one)).status == "waiting"
    world.clock.moved_ms += LEASE_MS
    await world.turns(3, other)
    assert (await world.shown(one)).status == "delivered"


async def test_two_side_by_side_send_each_once(world: World) -> None:
    world.subscribe()
    ids = await world.happen(times=40)
    other = world.another()
    for _ in range(12):
        await asyncio.gather(world.turns(1), world.turns(1, other))
    assert sorted(headers["webhook-id"] for _, _, headers in world.receivers.seen) == sorted(ids)


async def test_two_side_by_side_send_an_endpoint_no_more_at_once_than_one_does(world: World) -> None:
    world.subscribe(behaviour=None)
    await world.happen(times=5 * AT_ONCE)
    other = world.another()
    for _ in range(6):
        await asyncio.gather(world.turns(1), world.turns(1, other))
    assert world.receivers.hanging == AT_ONCE


async def test_what_one_learns_of_an_endpoint_the_other_obeys(world: World) -> None:
    world.subscribe(behaviour=failing)
    await world.happen(times=100)
    await world.turns(5)
    before = len(world.receivers.seen)
    await world.turns(5, world.another())
    assert len(world.receivers.seen) == before


async def test_a_dispatcher_that_dies_again_and_again_uses_up_no_attempts(world: World) -> None:
    world.subscribe(behaviour=None)
    (one,) = await world.happen()
    for crashes in range(5):
        await world.turns(1, world.another())  # and it is never heard of again
        world.clock.moved_ms += LEASE_MS << crashes
    world.receivers.behaviour.clear()
    await world.turns(3, world.another())
    view = await world.shown(one)
    assert (view.status, view.attempts, len(world.receivers.seen)) == ("delivered", 1, 6)


async def test_what_kills_every_dispatcher_that_sends_it_is_given_up(world: World) -> None:
    world.subscribe(behaviour=None)
    (one,) = await world.happen()
    for crashes in range(UNREPORTED_MOST + 3):
        await world.turns(1, world.another())
        world.clock.moved_ms += LEASE_MS << crashes
    assert (await world.shown(one)).dead_because == "unreported"
    assert len(world.receivers.seen) == UNREPORTED_MOST


async def test_what_we_have_no_key_for_waits_and_is_complained_about(world: World) -> None:
    world.subscribe()
    (one,) = await world.happen()
    ignorant = world.another(("another-key-of-enough-characters-0",))
    await world.turns(3, ignorant)
    assert "key" in (ignorant.trouble or "")
    assert world.receivers.seen == []
    assert (await world.shown(one)).status == "waiting"


async def test_what_is_being_sent_may_end_before_a_dispatcher_leaves(world: World) -> None:
    world.subscribe()
    (one,) = await world.happen()
    await world.dispatch.turn()
    await world.dispatch.drain(within_s=1)
    assert (await world.shown(one)).status == "delivered"


async def test_nobody_reached_is_counted_by_what_kept_us(world: World) -> None:
    world.subscribe(behaviour=lambda: Unreached(reason="dns"))
    await world.happen()
    await world.turns()
    assert world.dispatch.counted == {"dns": 1}
