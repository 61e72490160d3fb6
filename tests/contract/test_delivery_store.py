"""What every store of webhook deliveries promises: each is made once, is one dispatcher's at a time, is never lost."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

import pytest

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.memory.deliveries import MemoryDeliveries
from infra.postgres.database import Database
from infra.postgres.deliveries import PostgresDeliveries
from infra.postgres.payments import PostgresPaymentSink
from projections.payments import evolve
from projections.ports import DeliverySink
from projections.webhooks import delivery_id, first_id_of
from schemas.codec import PAYMENTS_TOPIC
from schemas.delivery import (
    Again,
    Answered,
    Attempted,
    Claimed,
    Delivered,
    Delivery,
    DeliveryBacklog,
    DeliveryFilter,
    DeliveryId,
    DeliveryView,
    GivenUp,
    Next,
    Unreached,
)
from schemas.errors import Unreadable
from schemas.ids import PaymentId
from schemas.views import Watermark
from schemas.webhook import SubscriptionId
from tests.builders import AT, AT_MS, PAYMENT, an_order, recorded, requested

ONE, TWO = SubscriptionId("whs_1"), SubscriptionId("whs_2")
A_MINUTE_MS = 60_000
NOW = 0
ANY = DeliveryFilter()


class Store(DeliverySink, Protocol):
    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]: ...

    async def claim(
        self, room: Mapping[SubscriptionId, int], most: int, lease_ms: int
    ) -> Sequence[Claimed]: ...

    async def record(self, attempted: Sequence[Attempted]) -> None: ...

    async def give_up(self, ended: list[SubscriptionId], limit: int) -> int: ...

    async def trim(self, before: DeliveryId, limit: int) -> int: ...

    async def backlog(self) -> DeliveryBacklog: ...

    async def page(
        self, before: DeliveryId | None, wanted: DeliveryFilter, limit: int
    ) -> Sequence[DeliveryView]: ...

    async def find(self, delivery_id: DeliveryId) -> DeliveryView | None: ...

    async def replay(self, delivery_id: DeliveryId) -> None: ...


class World:
    def __init__(self, store: Store, hasty: Store, database: Database | None) -> None:
        self.store = store
        self.hasty = hasty
        """The same deliveries; whatever it makes, or replays, is given up at once."""
        self._database = database

    async def project_an_order(self) -> None:
        """The payments' projection has come to its request, the first record of a partition."""
        partition = partition_for(PAYMENT)
        if self._database is None:
            assert isinstance(self.store, MemoryDeliveries)
            self.store.orders[PAYMENT], self.store.projected[partition] = an_order(), 1
            return
        history = evolve(None, recorded(requested()))
        async with PostgresPaymentSink(self._database).transaction(
            PAYMENTS_TOPIC, [partition]
        ) as transaction:
            await transaction.store(
                payments=[history.payment],
                attempts=[],
                decisions=[],
                owners=[],
                work=[],
                dead=[],
                watermarks={partition: mark(1)},
            )


@pytest.fixture
def world(database: Database | None) -> World:
    if database is None:
        patient, hasty = (MemoryDeliveries(ms, SystemClock().now_ms) for ms in (A_MINUTE_MS, 0))
        hasty.rows = patient.rows
        return World(patient, hasty, None)
    return World(PostgresDeliveries(database, A_MINUTE_MS), PostgresDeliveries(database, 0), database)


@pytest.fixture
def store(world: World) -> Store:
    return world.store


def mark(next_offset: int) -> Watermark:
    return Watermark(next_offset=next_offset, last_stamp_ms=1_000 + next_offset)


def a_delivery(event: str = "evt_1", to: SubscriptionId = ONE, *, body: str = '{"a":1}') -> Delivery:
    return Delivery(
        delivery_id=delivery_id(AT, event, to),
        subscription_id=to,
        event_id=event,
        event_type="payment.succeeded",
        subject="pay_1",
        merchant_id="m_1",
        body=body,
    )


async def put(store: Store, *deliveries: Delivery, partition: int = 3, next_offset: int = 1) -> None:
    async with store.transaction(PAYMENTS_TOPIC, [partition]) as transaction:
        await transaction.store(deliveries, {partition: mark(next_offset)})


async def claimed(store: Store, lease_ms: int = A_MINUTE_MS, **room: int) -> list[DeliveryId]:
    wanted = {SubscriptionId(to): attempts for to, attempts in (room or {ONE: 10}).items()}
    return sorted(one.delivery_id for one in await store.claim(wanted, 100, lease_ms))


async def tried(store: Store, of: Delivery, attempt: int, following: Next, status: int = 500) -> None:
    await store.record(
        [
            Attempted(
                delivery_id=of.delivery_id,
                attempt=attempt,
                result=Answered(status=status),
                latency_ms=12,
                next=following,
            )
        ]
    )


async def shown(store: Store, of: Delivery) -> DeliveryView:
    view = await store.find(of.delivery_id)
    assert view is not None
    return view


async def test_deliveries_and_how_far_was_read_are_stored_together(store: Store) -> None:
    await put(store, a_delivery(), next_offset=7)
    async with store.transaction(PAYMENTS_TOPIC, [3, 4]) as transaction:
        assert {p: one.next_offset for p, one in transaction.watermarks.items()} == {3: 7, 4: 0}
    assert (await store.watermarks())[PAYMENTS_TOPIC, 3].next_offset == 7
    assert (await shown(store, a_delivery())).status == "waiting"


async def test_nothing_is_stored_of_a_transaction_that_does_not_end_well(store: Store) -> None:
    async def fail() -> None:
        async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
            await transaction.store([a_delivery()], {3: mark(1)})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await store.find(a_delivery().delivery_id) is None
    async with store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
        assert transaction.watermarks[3].next_offset == 0


async def test_a_value_that_cannot_be_stored_is_named(store: Store) -> None:
    with pytest.raises(Unreadable):
        await put(store, a_delivery(body="a\0b"))


async def test_an_event_that_comes_twice_is_told_once_also_when_it_was_appended_later(store: Store) -> None:
    again = Delivery(
        delivery_id=first_id_of(AT_MS + 5_000),
        subscription_id=ONE,
        event_id="evt_1",
        event_type="payment.succeeded",
        subject="pay_1",
        merchant_id="m_1",
        body="{}",
    )
    await put(store, a_delivery(), a_delivery())
    await put(store, a_delivery(), again, next_offset=2)
    assert await claimed(store) == [a_delivery().delivery_id]


async def test_an_event_for_two_subscribers_is_two_deliveries(store: Store) -> None:
    await put(store, a_delivery(to=ONE), a_delivery(to=TWO))
    assert len(await claimed(store, whs_1=5, whs_2=5)) == 2


async def test_what_is_claimed_is_whole_and_counts_its_attempts(store: Store) -> None:
    await put(store, a_delivery())
    (first,) = await store.claim({ONE: 1}, 10, NOW)
    assert (first.body, first.attempt, first.event_type) == ('{"a":1}', 1, "payment.succeeded")
    assert 0 < first.left_ms <= A_MINUTE_MS
    (second,) = await store.claim({ONE: 1}, 10, NOW)
    assert second.attempt == 2


async def test_what_is_claimed_is_nobody_elses_until_the_lease_ends(store: Store) -> None:
    await put(store, a_delivery())
    assert await claimed(store, A_MINUTE_MS)
    assert await claimed(store) == []


async def test_a_dispatcher_that_died_is_followed_by_another_when_its_lease_ends(store: Store) -> None:
    await put(store, a_delivery())
    assert await claimed(store, NOW) == await claimed(store, NOW) == [a_delivery().delivery_id]


async def test_no_more_is_claimed_than_there_is_room_for(store: Store) -> None:
    await put(store, *(a_delivery(f"evt_{n}", to) for n in range(5) for to in (ONE, TWO)))
    assert len(await store.claim({ONE: 2, TWO: 3}, 100, A_MINUTE_MS)) == 5
    assert len(await store.claim({ONE: 2, TWO: 2}, 1, A_MINUTE_MS)) == 1
    assert await store.claim({SubscriptionId("whs_3"): 5}, 100, A_MINUTE_MS) == []


async def test_two_who_claim_at_once_never_have_the_same(store: Store) -> None:
    await put(store, *(a_delivery(f"evt_{n}") for n in range(60)))
    turns = await asyncio.gather(*(claimed(store, A_MINUTE_MS, whs_1=7) for _ in range(12)))
    claims = [one for turn in turns for one in turn]
    assert len(claims) == len(set(claims))


async def test_what_was_delivered_waits_for_nothing(store: Store) -> None:
    await put(store, a_delivery())
    await claimed(store, NOW)
    await tried(store, a_delivery(), 1, Delivered(), status=204)
    assert await claimed(store) == []
    view = await shown(store, a_delivery())
    assert (view.status, view.attempts, view.last_result, view.last_latency_ms) == ("delivered", 1, "204", 12)
    assert view.next_attempt_at is None
    assert view.last_attempt_at is not None


async def test_what_failed_is_due_when_the_schedule_says(store: Store) -> None:
    await put(store, a_delivery("evt_1"), a_delivery("evt_2"))
    await claimed(store, A_MINUTE_MS)
    await tried(store, a_delivery("evt_1"), 1, Again(after_ms=0))
    await tried(store, a_delivery("evt_2"), 1, Again(after_ms=A_MINUTE_MS))
    assert await claimed(store) == [a_delivery("evt_1").delivery_id]
    assert (await shown(store, a_delivery("evt_2"))).next_attempt_at is not None


async def test_a_report_of_an_attempt_that_is_not_the_newest_is_not_heard(store: Store) -> None:
    await put(store, a_delivery())
    await claimed(store, NOW)
    await claimed(store, A_MINUTE_MS)
    await tried(store, a_delivery(), 1, GivenUp(reason="exhausted"))
    assert (await shown(store, a_delivery())).status == "waiting"
    await tried(store, a_delivery(), 2, Delivered())
    await tried(store, a_delivery(), 2, GivenUp(reason="exhausted"))
    assert (await shown(store, a_delivery())).status == "delivered"


async def test_why_nobody_was_reached_is_written_down(store: Store) -> None:
    await put(store, a_delivery())
    await claimed(store, NOW)
    attempted = Attempted(
        delivery_id=a_delivery().delivery_id,
        attempt=1,
        result=Unreached(reason="tls"),
        latency_ms=3,
        next=GivenUp(reason="exhausted"),
    )
    await store.record([attempted])
    view = await shown(store, a_delivery())
    assert (view.status, view.last_result, view.dead_because) == ("dead", "tls", "exhausted")


async def test_what_is_dead_is_tried_again_from_the_start_when_somebody_says_so(store: Store) -> None:
    await put(store, a_delivery())
    await claimed(store, NOW)
    await tried(store, a_delivery(), 1, GivenUp(reason="exhausted"))
    await store.replay(a_delivery().delivery_id)
    view = await shown(store, a_delivery())
    assert (view.status, view.attempts, view.replays, view.dead_because) == ("waiting", 0, 1, None)
    (again,) = await store.claim({ONE: 1}, 10, A_MINUTE_MS)
    assert (again.delivery_id, again.attempt) == (a_delivery().delivery_id, 1)


async def test_what_was_delivered_can_be_replayed_under_the_same_id(store: Store) -> None:
    await put(store, a_delivery())
    await claimed(store, NOW)
    await tried(store, a_delivery(), 1, Delivered())
    await store.replay(a_delivery().delivery_id)
    assert await claimed(store) == [a_delivery().delivery_id]


async def test_what_waited_too_long_and_what_is_for_nobody_any_more_is_given_up(world: World) -> None:
    await put(world.hasty, a_delivery("evt_1", TWO))
    await put(world.store, a_delivery("evt_1", ONE), a_delivery("evt_2", TWO), next_offset=2)
    await claimed(world.store, A_MINUTE_MS, whs_1=1)
    assert await world.store.give_up([ONE], 10) == 2
    assert (await shown(world.store, a_delivery("evt_1", TWO))).dead_because == "exhausted"
    assert (await shown(world.store, a_delivery("evt_1", ONE))).dead_because == "unsubscribed"
    assert (await shown(world.store, a_delivery("evt_2", TWO))).status == "waiting"


async def test_old_ones_are_forgotten_unless_they_wait(store: Store) -> None:
    await put(store, a_delivery("evt_1"), a_delivery("evt_2"))
    await claimed(store, NOW)
    await tried(store, a_delivery("evt_1"), 1, Delivered())
    assert await store.trim(first_id_of(AT_MS), 10) == 0
    assert await store.trim(first_id_of(AT_MS + 1), 10) == 1
    assert await store.find(a_delivery("evt_1").delivery_id) is None
    assert await store.find(a_delivery("evt_2").delivery_id) is not None


async def test_the_backlog_counts_what_waits_and_what_is_dead(store: Store) -> None:
    assert await store.backlog() == DeliveryBacklog(waiting=0, dead=0, oldest_waiting_s=0)
    await put(store, a_delivery("evt_1"), a_delivery("evt_2"), a_delivery("evt_3"))
    await claimed(store, NOW)
    await tried(store, a_delivery("evt_1"), 1, GivenUp(reason="exhausted"))
    await tried(store, a_delivery("evt_2"), 1, Delivered())
    backlog = await store.backlog()
    assert (backlog.waiting, backlog.dead) == (1, 1)
    assert backlog.oldest_waiting_s >= 0


async def test_pages_lead_from_the_newest_to_the_oldest_and_filters_leave_out(store: Store) -> None:
    many = [a_delivery(f"evt_{n}", to) for n in range(5) for to in (ONE, TWO)]
    await put(store, *many)
    await claimed(store, NOW, whs_1=1)
    every = sorted((one.delivery_id for one in many), reverse=True)
    first = await store.page(None, ANY, 6)
    second = await store.page(first[-1].delivery_id, ANY, 6)
    assert [one.delivery_id for one in [*first, *second]] == every
    assert len(await store.page(None, DeliveryFilter(subscription_id=ONE), 50)) == 5
    assert await store.page(None, DeliveryFilter(status="dead"), 50) == []
    assert await store.page(None, DeliveryFilter(event_type="payment.failed"), 50) == []
    assert len(await store.page(None, DeliveryFilter(subject="pay_1", status="waiting"), 50)) == 10


async def test_what_was_ordered_is_told_by_the_payments_projection(world: World) -> None:
    async with world.store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
        assert await transaction.orders([PAYMENT]) == {}
        assert await transaction.projected() == {}
    await world.project_an_order()
    async with world.store.transaction(PAYMENTS_TOPIC, [3]) as transaction:
        assert await transaction.projected() == {partition_for(PAYMENT): 1}
        assert await transaction.orders([PAYMENT, PaymentId("pay_2")]) == {PAYMENT: an_order()}
