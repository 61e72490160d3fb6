"""Events become deliveries, each once, whatever comes twice, is missing, or fails in between."""

from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from infra.kafka.partition import partition_for
from infra.memory.deliveries import MemoryDeliveries
from infra.memory.projections import MemoryDeadLetters, MemoryRecords, RawRecord
from projections.webhook_intake import WebhookIntake
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC, RELIABILITY_TOPIC, encode
from schemas.delivery import DeliveryFilter, DeliveryView
from schemas.envelope import Outgoing, unowned
from schemas.errors import LogUnavailable, ReadTooFarBehind, StoreUnavailable
from schemas.ids import PaymentId
from schemas.reliability import VerificationOverdue
from schemas.webhook import SubscriptionId
from tests.builders import an_order
from tests.projections.story import (
    BEGIN,
    BEGIN_MS,
    FIRST,
    PAYMENT,
    WINDOW,
    failed,
    in_doubt,
    junk,
    new_payment_id,
    paid,
    raw,
    recorded,
    renamed,
    requested,
    routed,
    started,
    succeeded,
)

ALL, MINE = SubscriptionId("whs_all"), SubscriptionId("whs_mine")
PARTITION = partition_for(PAYMENT)


class Recipients:
    """One who is told of everything, and one who is told of one merchant's."""

    def __init__(self, wanted: str = "") -> None:
        self.is_loaded = True
        self.some_choose_merchants = True
        self._wanted = wanted

    def require(self) -> None:
        if not self.is_loaded:
            raise LogUnavailable("not loaded")

    def want(self, event_type: str) -> bool:
        return event_type.startswith(self._wanted)

    def want_of_merchants(self, event_type: str) -> bool:
        return self.some_choose_merchants and self.want(event_type)

    def of(self, event_type: str, merchant_id: str | None, stamp_ms: int) -> Sequence[SubscriptionId]:
        if not self.want(event_type):
            return []
        return [ALL, MINE] if merchant_id == "merchant" else [ALL]


class Forgetful(MemoryDeliveries):
    """Is away as often as it is told to be, at the end of a transaction."""

    fails = 0

    @asynccontextmanager
    async def transaction(self, topic: str, partitions: Any) -> Any:
        async with super().transaction(topic, partitions) as transaction:
            yield transaction
            if self.fails:
                self.fails -= 1
                raise StoreUnavailable("away")


class World:
    def __init__(self, topic: str = PAYMENTS_TOPIC) -> None:
        self.store = Forgetful(60_000, lambda: BEGIN_MS)
        self.log, self.letters = MemoryRecords(), MemoryDeadLetters()
        self.recipients = Recipients()
        self.woken = 0
        self._topic = topic
        self.intake = self.another()

    def another(self) -> WebhookIntake:
        """As a process that was just started has it."""
        return WebhookIntake(
            self._topic,
            self.store,
            self.log,
            self.letters,
            self.recipients,
            partition_for,
            stored=self._wake,
        )

    def _wake(self) -> None:
        self.woken += 1

    def append(self, *records: RawRecord) -> list[RawRecord]:
        return [
            self.log.append(one.topic, one.partition, one.timestamp, one.key, one.value, one.headers)
            for one in records
        ]

    async def told(self) -> list[DeliveryView]:
        return sorted(await self.store.page(None, DeliveryFilter(), 1_000), key=lambda one: one.event_id)


@pytest.fixture
def world() -> World:
    return World()


def story(*events: Event, payment: PaymentId = PAYMENT, first: int = 0) -> list[RawRecord]:
    return [
        raw(recorded(renamed(event, payment), offset, payment=payment))
        for offset, event in enumerate(events, start=first)
    ]


PAID = (requested(), routed(), started(), succeeded(), paid())


async def test_an_outcome_is_told_to_whoever_wants_it_and_the_way_to_it_is_not(world: World) -> None:
    await world.intake.absorb(world.append(*story(*PAID)))
    told = await world.told()
    assert {(one.event_type, one.subscription_id) for one in told} == {
        ("payment.succeeded", ALL),
        ("payment.succeeded", MINE),
    }
    assert {one.merchant_id for one in told} == {"merchant"}
    assert {one.subject for one in told} == {PAYMENT}
    assert world.woken == 1
    assert (await world.store.watermarks())[PAYMENTS_TOPIC, PARTITION].next_offset == len(PAID)


async def test_what_comes_again_is_told_once(world: World) -> None:
    records = world.append(*story(*PAID))
    for begin in (0, 2, 0, 4):
        await world.intake.absorb(records[begin:])
        await world.another().absorb(records)
    assert len(await world.told()) == 2


async def test_nothing_is_told_of_a_transaction_that_failed_until_it_succeeds(world: World) -> None:
    records = world.append(*story(*PAID))
    world.store.fails = 1
    with pytest.raises(StoreUnavailable):
        await world.intake.absorb(records)
    assert await world.told() == []
    assert world.woken == 0
    await world.intake.absorb(records)
    assert len(await world.told()) == 2


async def test_a_gap_is_fetched_and_told_too(world: World) -> None:
    records = world.append(*story(requested(), started(), in_doubt(), routed(), failed()))
    await world.intake.absorb(records[-1:])
    assert {one.event_type for one in await world.told()} == {"payment.in_doubt", "payment.failed"}


async def test_a_void_record_is_told_to_nobody(world: World) -> None:
    void = raw(recorded(paid(), 4, window=replace(WINDOW, valid_until_ms=1)))
    await world.intake.absorb(world.append(*story(requested(), routed(), started(), succeeded()), void))
    assert await world.told() == []


async def test_what_cannot_be_read_is_a_dead_letter_and_stops_nobody(world: World) -> None:
    broken = raw(recorded(paid(), 0))._replace(value=b"{")
    await world.intake.absorb(world.append(broken, junk(PARTITION, 1), *story(*PAID, first=2)))
    assert len(world.letters.published) == 1
    assert len(await world.told()) == 2


async def test_after_a_restart_the_payments_projection_says_whose_payment_it_is(world: World) -> None:
    records = world.append(*story(*PAID))
    await world.intake.absorb(records[:4])
    world.store.orders[PAYMENT] = replace(an_order(), merchant_id="merchant")
    await world.another().absorb(records[4:])
    assert {one.subscription_id for one in await world.told()} == {ALL, MINE}


async def test_a_projection_that_has_not_come_so_far_is_waited_for(world: World) -> None:
    records = world.append(*story(*PAID))
    await world.intake.absorb(records[:4])
    restarted = world.another()
    with pytest.raises(ReadTooFarBehind):
        await restarted.absorb(records[4:])
    assert await world.told() == []
    world.store.projected[PARTITION] = 5
    await restarted.absorb(records[4:])
    assert {one.subscription_id for one in await world.told()} == {ALL}, "it has no request on the log"


async def test_before_it_is_known_whom_to_tell_nothing_is_read(world: World) -> None:
    world.recipients.is_loaded = False
    records = world.append(*story(*PAID))
    with pytest.raises(LogUnavailable):
        await world.intake.absorb(records)
    assert await world.store.watermarks() == {}


async def test_what_nobody_wants_costs_no_reading(world: World) -> None:
    world.recipients = Recipients("circuit.")
    unreadable = [one._replace(value=b"{") for one in story(*PAID)]
    await world.another().absorb(world.append(*unreadable))
    assert world.letters.published == []
    assert (await world.store.watermarks())[PAYMENTS_TOPIC, PARTITION].next_offset == len(PAID)


def alarm(world: World, *payments: PaymentId, stamp_ms: int = BEGIN_MS) -> list[RawRecord]:
    """That each of them waits for a person, as it is on the log."""
    records = []
    for number, payment in enumerate(payments):
        event = VerificationOverdue(payment_id=payment, unsettled=(FIRST,))
        envelope = unowned(f"evt_{number}", payment, BEGIN)
        value, headers = encode(Outgoing(envelope=envelope, event=event))
        records.append(world.log.append(RELIABILITY_TOPIC, 0, stamp_ms, payment.encode(), value, headers))
    return records


async def test_an_alarm_about_a_payment_is_told_to_its_merchants_subscribers() -> None:
    world = World(RELIABILITY_TOPIC)
    world.store.orders[PAYMENT] = replace(an_order(), merchant_id="merchant")
    await world.intake.absorb(alarm(world, PAYMENT, new_payment_id(2)))
    assert [(one.event_id, one.subscription_id) for one in await world.told()] == [
        ("evt_0", ALL),
        ("evt_0", MINE),
        ("evt_1", ALL),
    ]


async def test_an_alarm_waits_for_the_projection_that_knows_its_merchant() -> None:
    world = World(RELIABILITY_TOPIC)
    world.append(*story(requested(), started(), in_doubt()))
    records = alarm(world, PAYMENT, stamp_ms=BEGIN_MS + 60_000)
    with pytest.raises(ReadTooFarBehind):
        await world.intake.absorb(records)
    assert await world.told() == []
    world.store.orders[PAYMENT] = replace(an_order(), merchant_id="merchant")
    world.store.projected[PARTITION] = 1
    await world.intake.absorb(records)
    assert {one.subscription_id for one in await world.told()} == {ALL, MINE}


async def test_an_alarm_waits_no_longer_than_for_what_was_there_before_it() -> None:
    world = World(RELIABILITY_TOPIC)
    long_after = [one._replace(timestamp=BEGIN_MS + 3_600_000) for one in story(started(), in_doubt())]
    world.append(*story(requested(), payment=new_payment_id(2)), *long_after)
    world.store.projected[PARTITION] = 1
    await world.intake.absorb(alarm(world, PAYMENT, stamp_ms=BEGIN_MS + 60_000))
    assert {one.subscription_id for one in await world.told()} == {ALL}, "it has no request on the log"


async def test_an_alarm_waits_for_nothing_where_nobody_is_told_of_some_merchants_alone() -> None:
    world = World(RELIABILITY_TOPIC)
    world.recipients.some_choose_merchants = False
    world.append(*story(requested(), started(), in_doubt()))
    await world.intake.absorb(alarm(world, PAYMENT, stamp_ms=BEGIN_MS + 60_000))
    assert {one.subscription_id for one in await world.told()} == {ALL}
