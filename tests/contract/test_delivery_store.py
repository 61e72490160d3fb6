"""What every store of webhook deliveries promises: each is made once, is one dispatcher's at a time, is never lost."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import pytest

from api.ports import Customers
from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.memory.deliveries import MemoryDeliveries
from infra.postgres.customers import PostgresCustomers
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
    DeliveryView,
    EndpointCircuit,
    Flowing,
    GivenUp,
    Learn,
    Next,
    Paused,
    SendResult,
    Unreached,
)
from schemas.errors import Unreadable
from schemas.ids import CustomerToken, PaymentId, customer_token
from schemas.views import PaymentChanges, Watermark
from schemas.webhook import DeliveryId, SubscriptionId
from tests.builders import AT, AT_MS, PAYMENT, recorded, requested

ONE, TWO = SubscriptionId("whs_1"), SubscriptionId("whs_2")
A_MINUTE_MS = 60_000
NOW = 0
UNREPORTED_MOST = 3
ANY = DeliveryFilter()
_DELIVERED, _EXHAUSTED = Delivered(), GivenUp(reason="exhausted")
_WELL, _FAILED, _MOVED = Answered(status=204), Answered(status=500), Answered(status=302)


class Store(DeliverySink, Protocol):
    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]: ...

    async def claim(
        self,
        to: Collection[SubscriptionId],
        *,
        by: str,
        at_once: int,
        most: int,
        lease_ms: int,
        unreported_most: int,
    ) -> Sequence[Claimed]: ...

    async def free(self, by: str) -> None: ...

    async def record(self, attempted: Sequence[Attempted], learn: Learn) -> None: ...

    async def give_up_unwanted(self, delivery_id: DeliveryId) -> None: ...

    async def give_up_ended(self, ended: Collection[SubscriptionId], limit: int) -> int: ...

    async def give_up_overdue(self, limit: int) -> int: ...

    async def give_up_crowded(self, waiting_most: int, limit: int) -> int: ...

    async def trim(self, before: DeliveryId, limit: int) -> int: ...

    async def backlog(self) -> DeliveryBacklog: ...

    async def page(
        self, before: DeliveryId | None, wanted: DeliveryFilter, limit: int
    ) -> Sequence[DeliveryView]: ...

    async def find(self, delivery_id: DeliveryId) -> DeliveryView | None: ...

    async def dead_of(
        self, subscription_id: SubscriptionId, after: DeliveryId | None, limit: int
    ) -> Sequence[DeliveryId]: ...

    async def replay(self, delivery_ids: Collection[DeliveryId]) -> None: ...


class World:
    def __init__(self, store: Store, hasty: Store, database: Database | None) -> None:
        self.store = store
        self.hasty = hasty
        """The same deliveries; whatever it makes, or replays, is given up at once."""
        self._database = database

    async def meet(self, customer_id: str, token: CustomerToken) -> Customers:
        """A payment of the customer was reserved."""
        if self._database is None:
            assert isinstance(self.store, MemoryDeliveries)
            self.store.customers.meet("m_001", customer_id, token)
            return self.store.customers
        await self._database.fetch(
            "INSERT INTO vault.customers (merchant_id, customer_id, token) VALUES ('m_001', $1, $2)",
            customer_id,
            token,
        )
        return PostgresCustomers(self._database)

    async def project_an_order(self) -> None:
        """The payments' projection has come to its request, the first record of a partition."""
        partition = partition_for(PAYMENT)
        if self._database is None:
            assert isinstance(self.store, MemoryDeliveries)
            self.store.orders[PAYMENT], self.store.projected[partition] = requested().order, 1
            return
        history = evolve(None, recorded(requested()))
        async with PostgresPaymentSink(self._database).transaction(
            PAYMENTS_TOPIC, [partition]
        ) as transaction:
            await transaction.store(
                PaymentChanges(payments=[history.payment], watermarks={partition: mark(1)})
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


async def claim(
    store: Store,
    to: Collection[SubscriptionId] = (ONE,),
    *,
    by: str = "one",
    at_once: int = 10,
    most: int = 100,
    lease_ms: int = A_MINUTE_MS,
) -> Sequence[Claimed]:
    return await store.claim(
        to, by=by, at_once=at_once, most=most, lease_ms=lease_ms, unreported_most=UNREPORTED_MOST
    )


async def claimed(
    store: Store, lease_ms: int = A_MINUTE_MS, to: Collection[SubscriptionId] = (ONE,)
) -> list[DeliveryId]:
    return sorted(one.delivery_id for one in await claim(store, to, lease_ms=lease_ms))


async def report(
    store: Store, claimed: Claimed, following: Next = _DELIVERED, result: SendResult = _FAILED
) -> None:
    attempted = Attempted(claimed=claimed, result=result, latency_ms=12, next=following)
    await store.record([attempted], learn)


async def tried(store: Store, of: Delivery, following: Next, result: SendResult = _FAILED) -> None:
    """It is claimed and attempted, and nothing else is."""
    claims = await claim(store, lease_ms=NOW)
    (mine,) = [one for one in claims if one.delivery_id == of.delivery_id]
    await report(store, mine, following, result)


def learn(circuit: EndpointCircuit, result: SendResult) -> EndpointCircuit:
    """Two failures in a row pause it for a minute; a redirect pauses it until now."""
    match circuit, result:
        case _, Answered(status=status) if status < 300:
            return Flowing()
        case _, Answered(status=status) if status < 400:
            return Paused(left_ms=0, pause_ms=7)
        case Flowing(failures=0), _:
            return Flowing(failures=1)
        case _:
            return Paused(left_ms=A_MINUTE_MS, pause_ms=A_MINUTE_MS)


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
    assert len(await claimed(store, to=[ONE, TWO])) == 2


async def test_what_is_claimed_is_whole_and_counts_its_attempts(store: Store) -> None:
    await put(store, a_delivery())
    (first,) = await claim(store)
    assert (first.body, first.attempt, first.event_type) == ('{"a":1}', 1, "payment.succeeded")
    assert 0 < first.left_ms <= A_MINUTE_MS
    await report(store, first, Again(after_ms=0))
    (second,) = await claim(store)
    assert second.attempt == 2


async def test_what_is_claimed_is_nobody_elses_until_the_lease_ends(store: Store) -> None:
    await put(store, a_delivery())
    assert await claimed(store, A_MINUTE_MS)
    assert await claimed(store) == []


async def test_a_dispatcher_that_died_is_followed_by_another_when_its_lease_ends(store: Store) -> None:
    await put(store, a_delivery())
    assert await claimed(store, NOW) == await claimed(store, NOW) == [a_delivery().delivery_id]


async def test_an_attempt_that_nobody_reported_on_is_not_counted(store: Store) -> None:
    await put(store, a_delivery())
    await claimed(store, NOW)
    (after_a_crash,) = await claim(store, lease_ms=NOW)
    assert (after_a_crash.attempt, after_a_crash.claim) == (1, 2)
    assert (await shown(store, a_delivery())).attempts == 0


async def test_what_nobody_ever_reports_on_is_given_up_and_others_are_not(store: Store) -> None:
    await put(store, a_delivery("evt_1"), a_delivery("evt_2"))
    for _ in range(UNREPORTED_MOST):
        claims = await claim(store, lease_ms=NOW)
        assert len(claims) == 2
        (other,) = [one for one in claims if one.delivery_id == a_delivery("evt_2").delivery_id]
        await report(store, other, Again(after_ms=0), _WELL)
    assert await claimed(store) == [a_delivery("evt_2").delivery_id]
    poisonous = await shown(store, a_delivery("evt_1"))
    assert (poisonous.status, poisonous.dead_because) == ("dead", "unreported")


async def test_each_claim_without_a_report_makes_the_next_pause_twice_as_long(store: Store) -> None:
    await put(store, a_delivery())
    pauses = []
    for _ in range(UNREPORTED_MOST):
        begun = SystemClock().now_ms()
        (one,) = await claim(store, lease_ms=300)
        due = (await shown(store, a_delivery())).next_attempt_at
        assert due is not None
        pauses.append(round((due.timestamp() * 1000 - begun) / 300))
        await store.replay([one.delivery_id])  # it is due now, whatever the pause is
    assert pauses == [1, 2, 4]


async def test_what_is_replayed_after_it_was_given_up_may_be_claimed_as_often_again(store: Store) -> None:
    await put(store, a_delivery())
    for _ in range(UNREPORTED_MOST + 1):
        await claimed(store, NOW)
    await store.replay([a_delivery().delivery_id])
    (again,) = await claim(store)
    assert (again.attempt, again.claim) == (1, 1)


async def test_no_more_is_claimed_than_there_is_room_for(store: Store) -> None:
    await put(store, *(a_delivery(f"evt_{n}", to) for n in range(5) for to in (ONE, TWO)))
    assert len(await claim(store, [ONE, TWO], at_once=2, most=1)) == 1
    assert len(await claim(store, [ONE, TWO], at_once=2)) == 3
    assert await claim(store, [ONE, TWO], at_once=2) == []
    assert await claim(store, [SubscriptionId("whs_3")]) == []


async def test_room_comes_back_with_a_report_or_the_end_of_a_lease(store: Store) -> None:
    await put(store, *(a_delivery(f"evt_{n}") for n in range(5)))
    first, _ = await claim(store, at_once=2)
    assert await claim(store, at_once=2) == []
    await report(store, first, Again(after_ms=A_MINUTE_MS), _WELL)
    assert len(await claim(store, at_once=2)) == 1
    assert len(await claim(store, at_once=3, lease_ms=NOW)) == 1
    assert len(await claim(store, at_once=3)) == 1


async def test_what_a_dispatcher_had_claimed_takes_no_room_when_it_begins_anew(store: Store) -> None:
    await put(store, *(a_delivery(f"evt_{n}") for n in range(5)))
    lost = await claim(store, by="one", at_once=2)
    (other,) = await claim(store, by="two", at_once=3)
    await store.free("one")
    after = await claim(store, by="one", at_once=3)
    assert len(after) == 2, "that of the other still takes its own"
    assert not {one.delivery_id for one in [*lost, other]} & {one.delivery_id for one in after}


async def test_what_waits_for_its_retry_takes_no_room(store: Store) -> None:
    await put(store, *(a_delivery(f"evt_{n}") for n in range(4)))
    for one in await claim(store, at_once=2):
        await report(store, one, Again(after_ms=A_MINUTE_MS), _WELL)
    assert len(await claim(store, at_once=2)) == 2


async def test_two_who_claim_at_once_never_have_the_same(store: Store) -> None:
    await put(store, *(a_delivery(f"evt_{n}") for n in range(60)))
    turns = await asyncio.gather(*(claimed(store, A_MINUTE_MS) for _ in range(12)))
    claims = [one for turn in turns for one in turn]
    assert len(claims) == len(set(claims))


async def test_however_many_claim_at_once_no_endpoint_is_sent_more_than_its_few(store: Store) -> None:
    for number in range(12):
        to = [SubscriptionId(f"whs_{number}_{one}") for one in range(3)]
        many = (a_delivery(f"evt_{n}", one) for n in range(30) for one in to)
        await put(store, *many, next_offset=number + 1)
        turns = await asyncio.gather(*(claim(store, to, at_once=4) for _ in range(8)))
        under_way = Counter(one.subscription_id for turn in turns for one in turn)
        assert under_way == dict.fromkeys(to, 4)


async def test_what_was_delivered_waits_for_nothing(store: Store) -> None:
    await put(store, a_delivery())
    await tried(store, a_delivery(), _DELIVERED, _WELL)
    assert await claimed(store) == []
    view = await shown(store, a_delivery())
    assert (view.status, view.attempts, view.last_result, view.last_latency_ms) == ("delivered", 1, "204", 12)
    assert view.next_attempt_at is None
    assert view.last_attempt_at is not None


async def test_what_failed_is_due_when_the_schedule_says(store: Store) -> None:
    await put(store, a_delivery("evt_1"), a_delivery("evt_2"))
    await tried(store, a_delivery("evt_2"), Again(after_ms=A_MINUTE_MS))
    assert await claimed(store) == [a_delivery("evt_1").delivery_id]
    assert (await shown(store, a_delivery("evt_2"))).next_attempt_at is not None


async def test_a_report_of_a_claim_that_is_not_the_newest_is_not_heard(store: Store) -> None:
    await put(store, a_delivery())
    (late,) = await claim(store, lease_ms=NOW)
    (newest,) = await claim(store, lease_ms=NOW)
    await report(store, late, _EXHAUSTED)
    assert (await shown(store, a_delivery())).status == "waiting"
    await report(store, newest, _DELIVERED)
    await report(store, newest, _EXHAUSTED)
    assert (await shown(store, a_delivery())).status == "delivered"


async def test_why_nobody_was_reached_is_written_down(store: Store) -> None:
    await put(store, a_delivery())
    await tried(store, a_delivery(), _EXHAUSTED, Unreached(reason="tls"))
    view = await shown(store, a_delivery())
    assert (view.status, view.last_result, view.dead_because) == ("dead", "tls", "exhausted")


# Endpoints


async def test_what_one_dispatcher_learns_of_an_endpoint_all_of_them_obey(store: Store) -> None:
    await put(store, *(a_delivery(f"evt_{n}", to) for n in range(5) for to in (ONE, TWO)))
    first, second = await claim(store, at_once=2)
    await report(store, first, Again(after_ms=0))
    assert len(await claim(store, at_once=2)) == 1, "one failure is none"
    await report(store, second, Again(after_ms=0))
    assert await claim(store) == [], "two pause it"
    assert len(await claim(store, [ONE, TWO])) == 5, "and no other"
    assert (await store.backlog()).endpoints_paused == 1


async def test_results_that_are_reported_together_are_learned_one_after_another(store: Store) -> None:
    await put(store, *(a_delivery(f"evt_{n}") for n in range(5)))
    results = zip(await claim(store, at_once=4), (_FAILED, _FAILED, _WELL, _FAILED), strict=True)
    attempted = [
        Attempted(claimed=one, result=result, latency_ms=1, next=Again(after_ms=0)) for one, result in results
    ]
    await store.record(attempted, learn)
    assert (await store.backlog()).endpoints_paused == 0
    assert len(await claim(store)) == 5


async def test_after_a_pause_one_attempt_is_made_until_it_has_told_how_the_endpoint_is(store: Store) -> None:
    await put(store, *(a_delivery(f"evt_{n}") for n in range(5)))
    (begun,) = await claim(store, at_once=1)
    await report(store, begun, Again(after_ms=0), _MOVED)
    turns = await asyncio.gather(*(claim(store) for _ in range(6)))
    (trial,) = [one for turn in turns for one in turn]
    assert await claim(store) == []
    await report(store, trial, Again(after_ms=0), _WELL)
    assert len(await claim(store)) == 5
    assert (await store.backlog()).endpoints_paused == 0


async def test_a_late_report_is_of_its_endpoint_all_the_same(store: Store) -> None:
    await put(store, a_delivery("evt_1"))
    (late,) = await claim(store, lease_ms=NOW)
    await claim(store, lease_ms=NOW)
    await report(store, late, _DELIVERED, _MOVED)
    assert (await store.backlog()).endpoints_paused == 1


async def test_an_endpoint_is_forgotten_with_its_subscription(store: Store) -> None:
    await put(store, a_delivery())
    await tried(store, a_delivery(), Again(after_ms=0), _MOVED)
    await store.give_up_ended([ONE], 10)
    assert (await store.backlog()).endpoints_paused == 0


# What is given up, replayed and forgotten


async def test_what_is_not_wanted_any_more_is_given_up_and_takes_no_place(store: Store) -> None:
    await put(store, a_delivery("evt_1"), a_delivery("evt_2"))
    one, other = await claim(store)
    await store.give_up_unwanted(one.delivery_id)
    given_up = await store.find(one.delivery_id)
    assert given_up is not None
    assert (given_up.status, given_up.dead_because, given_up.attempts) == ("dead", "unwanted", 0)
    await report(store, other, _DELIVERED, _WELL)
    await store.give_up_unwanted(other.delivery_id)
    delivered = await store.find(other.delivery_id)
    assert delivered is not None
    assert delivered.status == "delivered"


async def test_what_is_dead_is_tried_again_from_the_start_when_somebody_says_so(store: Store) -> None:
    await put(store, a_delivery())
    await tried(store, a_delivery(), _EXHAUSTED)
    await store.replay([a_delivery().delivery_id])
    view = await shown(store, a_delivery())
    assert (view.status, view.attempts, view.replays, view.dead_because) == ("waiting", 0, 1, None)
    (again,) = await claim(store)
    assert (again.delivery_id, again.attempt) == (a_delivery().delivery_id, 1)


async def test_what_was_delivered_can_be_replayed_under_the_same_id(store: Store) -> None:
    await put(store, a_delivery())
    await tried(store, a_delivery(), _DELIVERED)
    await store.replay([a_delivery().delivery_id])
    assert await claimed(store) == [a_delivery().delivery_id]


async def test_what_is_dead_of_a_subscription_is_found_from_the_oldest_on_and_replayed_together(
    store: Store,
) -> None:
    many = [a_delivery(f"evt_{n}", to) for n in range(5) for to in (ONE, TWO)]
    await put(store, *many)
    await tried(store, a_delivery("evt_1", ONE), _DELIVERED)
    await store.give_up_crowded(0, 100)
    dead = sorted(one.delivery_id for one in many if one.subscription_id == ONE and one.event_id != "evt_1")
    first = await store.dead_of(ONE, None, 3)
    second = await store.dead_of(ONE, first[-1], 3)
    assert [*first, *second] == dead
    await store.replay(first)
    assert await claimed(store, to=[ONE, TWO]) == first
    assert await store.dead_of(ONE, None, 9) == second


async def test_what_is_for_nobody_any_more_is_given_up_in_pieces(store: Store) -> None:
    await put(store, *(a_delivery(f"evt_{n}", to) for n in range(3) for to in (ONE, TWO)))
    assert [await store.give_up_ended([ONE], 2) for _ in range(3)] == [2, 1, 0]
    assert (await shown(store, a_delivery("evt_1", ONE))).dead_because == "unsubscribed"
    assert (await shown(store, a_delivery("evt_1", TWO))).status == "waiting"


async def test_what_waited_too_long_is_given_up_unless_it_is_being_attempted(world: World) -> None:
    await put(world.hasty, a_delivery("evt_1"), a_delivery("evt_2", TWO))
    await put(world.store, a_delivery("evt_3", TWO), next_offset=2)
    await claimed(world.store, A_MINUTE_MS)
    assert [await world.store.give_up_overdue(1) for _ in range(2)] == [1, 0]
    assert (await shown(world.store, a_delivery("evt_2", TWO))).dead_because == "exhausted"
    assert (await shown(world.store, a_delivery("evt_1"))).status == "waiting"
    assert (await shown(world.store, a_delivery("evt_3", TWO))).status == "waiting"


async def test_of_a_crowd_those_that_have_been_due_longest_are_given_up(store: Store) -> None:
    for number in range(5):
        await put(store, a_delivery(f"evt_{number}"), next_offset=number + 1)
        await asyncio.sleep(0.002)  # by the store's clock the next one is due later
    await put(store, a_delivery("evt_1", TWO), next_offset=6)
    assert [await store.give_up_crowded(2, 2) for _ in range(3)] == [2, 1, 0]
    crowd = [await shown(store, a_delivery(f"evt_{number}")) for number in range(5)]
    assert [one.dead_because for one in crowd] == ["backlog"] * 3 + [None] * 2
    assert (await shown(store, a_delivery("evt_1", TWO))).status == "waiting"


async def test_two_who_give_up_of_a_crowd_at_once_give_up_no_more_than_one(store: Store) -> None:
    await put(store, *(a_delivery(f"evt_{n}") for n in range(50)))
    await asyncio.gather(*(store.give_up_crowded(20, 100) for _ in range(4)))
    backlog = await store.backlog()
    assert (backlog.waiting, backlog.dead) == (20, 30)


async def test_what_was_given_up_of_a_crowd_can_be_replayed(store: Store) -> None:
    await put(store, a_delivery("evt_1"), a_delivery("evt_2"))
    await store.give_up_crowded(0, 10)
    await store.replay([a_delivery("evt_1").delivery_id])
    assert await claimed(store) == [a_delivery("evt_1").delivery_id]


async def test_old_ones_are_forgotten_unless_they_wait(store: Store) -> None:
    await put(store, a_delivery("evt_1"), a_delivery("evt_2"))
    await tried(store, a_delivery("evt_1"), _DELIVERED)
    assert await store.trim(first_id_of(AT_MS), 10) == 0
    assert await store.trim(first_id_of(AT_MS + 1), 10) == 1
    assert await store.find(a_delivery("evt_1").delivery_id) is None
    assert await store.find(a_delivery("evt_2").delivery_id) is not None


async def test_the_backlog_counts_what_waits_and_what_is_dead(store: Store) -> None:
    nothing = DeliveryBacklog(waiting=0, dead=0, oldest_waiting_s=0, endpoints_paused=0)
    assert await store.backlog() == nothing
    await put(store, a_delivery("evt_1"), a_delivery("evt_2"), a_delivery("evt_3"))
    await tried(store, a_delivery("evt_1"), _EXHAUSTED)
    await tried(store, a_delivery("evt_2"), _DELIVERED)
    backlog = await store.backlog()
    assert (backlog.waiting, backlog.dead) == (1, 1)
    assert backlog.oldest_waiting_s >= 0


async def test_pages_lead_from_the_newest_to_the_oldest_and_filters_leave_out(store: Store) -> None:
    many = [a_delivery(f"evt_{n}", to) for n in range(5) for to in (ONE, TWO)]
    await put(store, *many)
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
        assert await transaction.orders([PAYMENT, PaymentId("pay_2")]) == {PAYMENT: requested().order}


async def test_what_is_sent_names_the_customer_as_the_merchant_does_until_he_is_forgotten(
    world: World,
) -> None:
    token = customer_token(PAYMENT)
    said = '{"data":{"customer_id":"%s","gateway_reference":"cus~0"}}'
    event = a_delivery(body=said % token)
    await put(world.store, event, a_delivery("evt_2", TWO, body=said % "cust_of_old"))
    customers = await world.meet("cust_001", token)

    async def sent(to: SubscriptionId) -> str:
        (one,) = await claim(world.store, [to])
        await report(world.store, one)
        return one.body

    assert await sent(ONE) == said % "cust_001"
    assert await sent(TWO) == said % "cust_of_old"
    await customers.forget([token])
    await world.store.replay([event.delivery_id])
    assert await sent(ONE) == said % token
