"""What every verification queue promises: what is due is claimed once, in its order, from those who own it no more."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Literal, Protocol

import pytest
from msgspec.structs import replace

from commands.ports import Reservations, VerificationQueue
from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.memory.clock import MemoryClock
from infra.memory.projections import MemoryDeadLetters, MemoryRecords
from infra.memory.reservations import MemoryReservations
from infra.memory.verification_queue import MemoryVerificationQueue
from infra.postgres.database import Database
from infra.postgres.messages import PostgresMessages
from infra.postgres.payments import PostgresPaymentSink
from infra.postgres.reservations import PostgresReservations
from infra.postgres.verification_queue import PostgresVerificationQueue
from projections.payments import evolve
from projections.project import Projection
from projections.verifications import work
from schemas import ids
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Position, Recorded, Window
from schemas.errors import StoreUnavailable
from schemas.ids import AttemptId, GatewayId, PaymentId, customer_token
from schemas.notification import GatewayNotified, NotificationMessage, ReviewDecided
from schemas.payment import (
    AttemptStarted,
    LateSuccessDetected,
    PaymentEvent,
    PaymentRequested,
    ReviewRequested,
)
from schemas.reservation import Reservation, Reserved
from schemas.verification import NO_GATEWAY, Received, StoredMessage, Takeover
from schemas.views import PaymentHistory
from tests.databases import new_database
from tests.projections.story import (
    ALPHA,
    BETA,
    declined,
    failed,
    handed_over,
    in_doubt,
    not_sent,
    paid,
    raw,
    recorded,
    requested,
    started,
    succeeded,
)

GUARD_MS = 1_000
WINDOW_MS = 60_000
AN_HOUR_MS = 3_600_000
HORIZON_MS = 72 * AN_HOUR_MS
TOPIC = "gateway.notifications.v1"

_clock = SystemClock()
_offsets = count()


class Store(Protocol):
    @property
    def queue(self) -> VerificationQueue: ...

    @property
    def reservations(self) -> Reservations: ...

    def now_ms(self) -> int: ...

    async def project(self, told: Sequence[Recorded[PaymentEvent]]) -> None:
        """The projection has read these records."""

    async def receive(self, *messages: StoredMessage) -> None: ...

    async def go_away(self) -> None: ...


class MemoryStore:
    def __init__(self) -> None:
        self._clock = MemoryClock()
        self.reservations = MemoryReservations(self._clock, guard_ms=GUARD_MS)
        self._histories: dict[PaymentId, PaymentHistory] = {}
        self.queue = MemoryVerificationQueue(self.reservations)

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def project(self, told: Sequence[Recorded[PaymentEvent]]) -> None:
        for record in told:
            payment_id = PaymentId(record.envelope.aggregate_id)
            history = evolve(self._histories.get(payment_id), record)
            self._histories[payment_id] = history
            self.reservations.heal(record)
            self.queue.tell(work(history), history.attempts)
            self.queue.projected(record.position.partition, record.stamp_ms)

    async def receive(self, *messages: StoredMessage) -> None:
        for message in messages:
            self.queue.receive(message)

    async def go_away(self) -> None:
        self.reservations.is_available = False


class PostgresStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._log = MemoryRecords()
        self._messages = PostgresMessages(database)
        self._projection = Projection(
            PAYMENTS_TOPIC, PostgresPaymentSink(database), self._log, MemoryDeadLetters(), partition_for
        )
        self.queue = PostgresVerificationQueue(database, _clock, GUARD_MS)
        self.reservations = PostgresReservations(database, _clock, GUARD_MS)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def project(self, told: Sequence[Recorded[PaymentEvent]]) -> None:
        for record in told:
            topic, partition, _, stamp_ms, key, value, headers = raw(record)
            appended = self._log.append(topic, partition, stamp_ms, key, value, headers)
            await self._projection.absorb([appended])

    async def receive(self, *messages: StoredMessage) -> None:
        await self._messages.store(TOPIC, messages, {})

    async def go_away(self) -> None:
        await self._database.close()


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def server(request: pytest.FixtureRequest) -> str | None:
    """Where Postgres is to be asked; None for the twin in memory."""
    if request.param == "memory":
        return None
    return str(request.getfixturevalue("stack").env["DATABASE_URL"])


@pytest.fixture
async def store(server: str | None) -> AsyncIterator[Store]:
    if server is None:
        yield MemoryStore()
        return
    database = await Database.connect(await new_database(server), min_size=1, max_size=6)
    yield PostgresStore(database)
    await database.close()


class Payment:
    """A payment as the log tells of it, written by one owner whose window ends at a given moment."""

    def __init__(self, store: Store, *, ended_ms: int, epoch: int = 1) -> None:
        self.id = _clock.payment_id()
        self.attempt = ids.attempt_id(self.id, 1, 1)
        self._store = store
        self.ended_ms = ended_ms
        self._window = Window(valid_from_ms=0, valid_until_ms=ended_ms)
        self._epoch = epoch
        self._length = 0

    async def tell(self, *events: PaymentEvent, stamp_ms: int | None = None) -> None:
        records = [self._recorded(event, stamp_ms) for event in events]
        await self._store.project(records)

    def _recorded(self, event: PaymentEvent, stamp_ms: int | None) -> Recorded[PaymentEvent]:
        told = recorded(
            event,
            self._length,
            payment=self.id,
            epoch=self._epoch,
            window=self._window,
            stamp_ms=self._window.valid_until_ms - 1_000 if stamp_ms is None else stamp_ms,
        )
        self._length += 1
        return Recorded(envelope=told.envelope, event=event, position=told.position, stamp_ms=told.stamp_ms)

    def requested(self) -> PaymentRequested:
        return requested(key_hash=f"key of {self.id}")

    def started(self, gateway: GatewayId = ALPHA, *, due_ms: int) -> AttemptStarted:
        due_at = datetime.fromtimestamp(due_ms / 1000, UTC)
        return replace(
            started(self.attempt, gateway),
            first_check_at=due_at,
            final_check_at=due_at + timedelta(milliseconds=HORIZON_MS),
        )


async def a_payment(
    store: Store, gateway: GatewayId = ALPHA, *, due_ago_ms: int = 1_000, ended_ago_ms: int = AN_HOUR_MS
) -> Payment:
    """With an attempt that nobody knows the outcome of. Its owner is gone since then, or stays so long."""
    payment = Payment(store, ended_ms=store.now_ms() - ended_ago_ms)
    await payment.tell(payment.requested(), payment.started(gateway, due_ms=store.now_ms() - due_ago_ms))
    return payment


async def a_payment_in_progress(store: Store, *, due_ago_ms: int = 1_000) -> Payment:
    return await a_payment(store, due_ago_ms=due_ago_ms, ended_ago_ms=-WINDOW_MS)


async def a_failed_payment(store: Store, gateway: GatewayId = ALPHA, *, looked_at_ago_ms: int) -> Payment:
    """Whose last look is due since then."""
    payment = Payment(store, ended_ms=store.now_ms() - AN_HOUR_MS)
    first_look_ms = store.now_ms() - looked_at_ago_ms - HORIZON_MS
    await payment.tell(payment.requested(), payment.started(gateway, due_ms=first_look_ms))
    await payment.tell(declined(payment.attempt), failed())
    return payment


async def a_settled_payment(store: Store, *, ended_ago_ms: int = AN_HOUR_MS) -> Payment:
    payment = await a_payment(store, due_ago_ms=-AN_HOUR_MS, ended_ago_ms=ended_ago_ms)
    await payment.tell(succeeded(payment.attempt), paid(payment.attempt))
    return payment


def notified(
    payment: Payment,
    told: Literal["succeeded", "declined", "look"] = "look",
    *,
    gateway: GatewayId = ALPHA,
    event_id: str | None = None,
) -> NotificationMessage:
    return GatewayNotified(
        gateway=gateway,
        event_id=event_id or f"event {next(_offsets)}",
        kind="payment.something",
        attempt_id=payment.attempt,
        told=told,
    )


def decided(payment: Payment) -> NotificationMessage:
    return ReviewDecided(
        decision_id=f"decision {next(_offsets)}",
        attempt_id=payment.attempt,
        verdict="declined",
        settled_by="a person",
        note="seen at the bank",
    )


def message(store: Store, payment: Payment, told: NotificationMessage, *, ago_ms: int = 0) -> StoredMessage:
    position = Position(topic=TOPIC, partition=0, offset=next(_offsets))
    received = Received(position=position, message=told)
    return StoredMessage(payment_id=payment.id, received=received, stamp_ms=store.now_ms() - ago_ms)


async def claimed(store: Store, free: int = 16, *, window_ms: int = WINDOW_MS) -> list[PaymentId]:
    slots = {ALPHA: free, BETA: free, NO_GATEWAY: free}
    return [takeover.payment_id for takeover in await store.queue.claim(slots, window_ms)]


async def the_takeover(store: Store) -> Takeover:
    (takeover,) = await store.queue.claim({ALPHA: 16, BETA: 16, NO_GATEWAY: 16}, WINDOW_MS)
    return takeover


async def claimed_at_last(store: Store) -> Takeover:
    """Asked for again and again, as verifiers do."""
    for _ in range(400):
        takeovers = await store.queue.claim({ALPHA: 16, BETA: 16, NO_GATEWAY: 16}, WINDOW_MS)
        if takeovers:
            (takeover,) = takeovers
            return takeover
        await asyncio.sleep(0.05)
    raise AssertionError("nothing was claimed within 20 s")


# What is due


async def test_nothing_is_claimed_where_nothing_is_due(store: Store) -> None:
    await a_payment(store, due_ago_ms=-AN_HOUR_MS)
    await a_settled_payment(store)

    assert await claimed(store) == []


async def test_the_longest_due_come_first(store: Store) -> None:
    second = await a_payment(store, due_ago_ms=2_000)
    third = await a_payment(store, due_ago_ms=1_000)
    first = await a_payment(store, due_ago_ms=3_000)

    assert await claimed(store, 2) == [first.id, second.id]
    assert await claimed(store, 2) == [third.id]


async def test_of_each_gateway_so_many_are_claimed_as_it_has_slots(store: Store) -> None:
    of_alpha = [await a_payment(store, ALPHA, due_ago_ms=ago) for ago in (4_000, 3_000, 2_000)]
    of_beta = [await a_payment(store, BETA, due_ago_ms=ago) for ago in (1_000, 900)]

    takeovers = await store.queue.claim({ALPHA: 1, BETA: 8}, WINDOW_MS)
    assert {(takeover.payment_id, takeover.gateway) for takeover in takeovers} == {
        (of_alpha[0].id, ALPHA),
        (of_beta[0].id, BETA),
        (of_beta[1].id, BETA),
    }
    assert await store.queue.claim({ALPHA: 0, BETA: 8}, WINDOW_MS) == []
    assert await store.queue.claim({}, WINDOW_MS) == []


async def test_a_gateway_that_is_configured_no_more_holds_nothing_back(store: Store) -> None:
    for _ in range(3):
        await a_payment(store, BETA)

    assert await store.queue.claim({ALPHA: 16}, WINDOW_MS) == []
    assert len(await store.queue.claim({ALPHA: 16, NO_GATEWAY: 2}, WINDOW_MS)) == 2


async def test_gateways_that_are_configured_no_more_share_the_slots_of_those_that_ask_nobody(
    store: Store,
) -> None:
    for gateway in (ALPHA, BETA, ALPHA, BETA):
        await a_payment(store, gateway)

    takeovers = await store.queue.claim({NO_GATEWAY: 3}, WINDOW_MS)
    assert [takeover.gateway for takeover in takeovers] == [NO_GATEWAY] * 3


async def test_work_that_asks_no_gateway_has_slots_of_its_own(store: Store) -> None:
    payment = Payment(store, ended_ms=store.now_ms() - AN_HOUR_MS)
    request = payment.requested()
    ago = datetime.fromtimestamp(store.now_ms() / 1000, UTC) - timedelta(hours=1)
    await payment.tell(replace(request, requested_at=ago))

    assert await store.queue.claim({ALPHA: 8}, WINDOW_MS) == []
    (takeover,) = await store.queue.claim({NO_GATEWAY: 1}, WINDOW_MS)
    assert (takeover.payment_id, takeover.gateway, takeover.messages) == (payment.id, NO_GATEWAY, ())


async def test_what_is_urgent_comes_before_last_looks(store: Store) -> None:
    failed = [await a_failed_payment(store, looked_at_ago_ms=ago) for ago in (9_000, 8_000, 7_000)]
    in_doubt = await a_payment(store, due_ago_ms=10)

    assert await claimed(store, 2) == [in_doubt.id, failed[0].id]
    assert await claimed(store, 2) == [failed[1].id, failed[2].id]


async def test_one_slot_in_eight_is_left_to_last_looks(store: Store) -> None:
    in_doubt = [await a_payment(store, due_ago_ms=9_000 - number) for number in range(16)]
    failed = [await a_failed_payment(store, looked_at_ago_ms=ago) for ago in (3_000, 2_000, 1_000)]

    assert await claimed(store, 8) == [*(payment.id for payment in in_doubt[:7]), failed[0].id]
    assert await claimed(store, 8) == [*(payment.id for payment in in_doubt[7:14]), failed[1].id]


async def test_of_single_slots_the_eighth_is_left_to_a_last_look(store: Store) -> None:
    for _ in range(8):
        await a_payment(store)
    failed = await a_failed_payment(store, looked_at_ago_ms=10)
    found = [await claimed(store, 1) for _ in range(8)]

    assert found[7] == [failed.id]


async def test_where_nothing_else_is_due_last_looks_have_every_slot(store: Store) -> None:
    failed = [await a_failed_payment(store, looked_at_ago_ms=ago) for ago in (3_000, 2_000, 1_000)]

    assert await claimed(store, 3) == [payment.id for payment in failed]


async def test_what_has_become_certain_is_due_no_more(store: Store) -> None:
    payment = await a_payment(store)
    await payment.tell(succeeded(payment.attempt), paid(payment.attempt))

    assert await claimed(store) == []


# Who owns it


async def test_what_somebody_owns_is_passed_over_and_holds_nobody_up(store: Store) -> None:
    for ago_ms in range(2_000, 2_020):
        await a_payment_in_progress(store, due_ago_ms=ago_ms)
    free = await a_payment(store, due_ago_ms=1_000)

    assert await claimed(store, 1) == [free.id]


async def test_what_was_handed_over_is_claimed_at_once_from_the_moment_of_the_hand_over(
    store: Store,
) -> None:
    payment = await a_payment_in_progress(store)
    stamp_ms = store.now_ms() - 1
    await payment.tell(handed_over(payment.attempt), stamp_ms=stamp_ms)
    before_ms = store.now_ms()
    takeover = await the_takeover(store)

    assert (takeover.payment_id, takeover.gateway) == (payment.id, ALPHA)
    assert takeover.claim.epoch == 2
    assert takeover.claim.claim_id.startswith("clm_")
    window = takeover.claim.window
    assert window.valid_from_ms == stamp_ms
    assert before_ms + WINDOW_MS <= window.valid_until_ms <= store.now_ms() + WINDOW_MS


async def test_what_was_found_owned_is_claimed_at_once_when_it_is_handed_over(store: Store) -> None:
    payment = await a_payment_in_progress(store)
    assert await claimed(store) == []
    await payment.tell(handed_over(payment.attempt), stamp_ms=store.now_ms() - 1)

    assert await claimed(store) == [payment.id]


async def test_a_window_that_ended_is_claimed_two_guards_later_and_the_next_begins_after_one(
    store: Store,
) -> None:
    payment = await a_payment(store, ended_ago_ms=0)
    takeover = await claimed_at_last(store)

    assert takeover.payment_id == payment.id
    ended_ms = takeover.claim.window.valid_from_ms - GUARD_MS
    claimed_ms = takeover.claim.window.valid_until_ms - WINDOW_MS
    assert ended_ms == payment.ended_ms
    assert claimed_ms >= ended_ms + 2 * GUARD_MS


async def test_what_is_claimed_is_not_claimed_again_within_its_lease(store: Store) -> None:
    payment = await a_payment(store)

    assert await claimed(store) == [payment.id]
    assert await claimed(store) == []


async def test_what_was_claimed_is_claimed_again_two_guards_after_its_lease(store: Store) -> None:
    await a_payment(store)
    (first,) = await store.queue.claim({ALPHA: 1}, 200)
    second = await claimed_at_last(store)

    assert (first.claim.epoch, second.claim.epoch) == (2, 3)
    assert second.claim.window.valid_from_ms == first.claim.window.valid_until_ms + GUARD_MS
    claimed_ms = second.claim.window.valid_until_ms - WINDOW_MS
    assert claimed_ms >= first.claim.window.valid_until_ms + 2 * GUARD_MS


async def test_what_is_claimed_is_no_hand_over_of_its_own(store: Store) -> None:
    payment = await a_payment_in_progress(store)
    await payment.tell(handed_over(payment.attempt), stamp_ms=store.now_ms() - 1)
    (first,) = await store.queue.claim({ALPHA: 1}, 1)
    second = await claimed_at_last(store)

    assert second.claim.window.valid_from_ms == first.claim.window.valid_until_ms + GUARD_MS


async def test_no_two_verifiers_get_the_same_payment(store: Store) -> None:
    payments = [await a_payment(store, due_ago_ms=1_000 + number) for number in range(40)]
    told = [await a_settled_payment(store) for _ in range(20)]
    for payment in told:
        await store.receive(
            message(store, payment, notified(payment)), message(store, payment, decided(payment))
        )
    found: list[PaymentId] = []
    while answers := await asyncio.gather(*(claimed(store, 4) for _ in range(5))):
        if not any(answers):
            break
        found += [payment_id for answer in answers for payment_id in answer]

    assert len(found) == len(set(found))
    assert set(found) >= {payment.id for payment in payments}


async def test_claims_have_ids_of_their_own(store: Store) -> None:
    for _ in range(5):
        await a_payment(store)
    takeovers = await store.queue.claim({ALPHA: 16}, WINDOW_MS)

    assert len({takeover.claim.claim_id for takeover in takeovers}) == 5


async def test_an_attempt_without_its_request_is_claimed_under_a_row_of_its_own(store: Store) -> None:
    payment = Payment(store, ended_ms=store.now_ms() - AN_HOUR_MS)
    await payment.tell(payment.started(due_ms=store.now_ms() - 1_000))

    takeover = await the_takeover(store)
    assert (takeover.payment_id, takeover.claim.epoch) == (payment.id, 2)


async def test_when_the_request_arrives_its_row_is_the_one_that_is_claimed(store: Store) -> None:
    payment = Payment(store, ended_ms=store.now_ms() - AN_HOUR_MS, epoch=4)
    await payment.tell(payment.started(due_ms=store.now_ms() - 1_000))
    await payment.tell(payment.requested())

    takeover = await the_takeover(store)
    assert (takeover.payment_id, takeover.claim.epoch) == (payment.id, 5)
    assert await claimed(store) == []


async def test_the_row_under_which_a_key_was_reserved_is_claimed_though_the_log_does_not_name_it(
    store: Store,
) -> None:
    """One payment, one row: two of them would be owned by two at once."""
    payment = Payment(store, ended_ms=store.now_ms() - AN_HOUR_MS)
    wish = Reservation(
        merchant_id="m_001",
        key_hash="a key",
        fingerprint="f",
        payment_id=payment.id,
        window_ms=1,
        customer_id="cust_001",
        customer=customer_token(payment.id),
    )
    assert isinstance(await store.reservations.reserve(wish), Reserved)
    await asyncio.sleep(2 * GUARD_MS / 1000 + 0.01)
    await payment.tell(payment.started(due_ms=store.now_ms() - 1_000))

    takeover = await the_takeover(store)
    assert (takeover.payment_id, takeover.claim.epoch) == (payment.id, 2)
    held = await store.reservations.find("m_001", "a key")
    assert held is not None
    assert (held.epoch, held.is_owned) == (2, True)


async def test_both_payments_of_a_key_that_was_admitted_twice_are_verified(store: Store) -> None:
    payments = [Payment(store, ended_ms=store.now_ms() - AN_HOUR_MS) for _ in range(2)]
    for payment in payments:
        due = payment.started(due_ms=store.now_ms() - 1_000)
        await payment.tell(requested(key_hash="the same key"), due)

    takeovers = await store.queue.claim({ALPHA: 16}, WINDOW_MS)
    assert {takeover.payment_id for takeover in takeovers} == {payment.id for payment in payments}


# What the store has been told


async def test_a_message_makes_its_payment_due_and_comes_with_it(store: Store) -> None:
    payment = await a_payment(store, due_ago_ms=-AN_HOUR_MS)
    first = message(store, payment, notified(payment, "succeeded"))
    second = message(store, payment, decided(payment))
    await store.receive(second, first)

    takeover = await the_takeover(store)
    assert takeover.payment_id == payment.id
    assert takeover.messages == (first.received, second.received)


async def test_a_message_comes_before_what_is_due(store: Store) -> None:
    longer_due = await a_payment(store, due_ago_ms=AN_HOUR_MS)
    told = await a_payment(store, due_ago_ms=-AN_HOUR_MS)
    await store.receive(message(store, told, notified(told, "look")))

    assert await claimed(store, 1) == [told.id]
    assert await claimed(store, 1) == [longer_due.id]


async def test_a_hint_takes_a_slot_of_the_gateway_that_has_to_be_asked(store: Store) -> None:
    payment = await a_payment(store, ALPHA, due_ago_ms=-AN_HOUR_MS)
    await store.receive(message(store, payment, notified(payment, "look")))

    assert await store.queue.claim({ALPHA: 0, NO_GATEWAY: 8}, WINDOW_MS) == []
    (takeover,) = await store.queue.claim({ALPHA: 8, NO_GATEWAY: 8}, WINDOW_MS)
    assert (takeover.payment_id, takeover.gateway) == (payment.id, ALPHA)


@pytest.mark.parametrize("due_ago_ms", [1_000, -AN_HOUR_MS])
@pytest.mark.parametrize("told", ["succeeded", "declined"])
async def test_a_proof_takes_a_slot_of_those_that_ask_nobody(
    store: Store, told: Literal["succeeded", "declined"], due_ago_ms: int
) -> None:
    payment = await a_payment(store, ALPHA, due_ago_ms=due_ago_ms)
    await store.receive(message(store, payment, notified(payment, told)))

    (takeover,) = await store.queue.claim({ALPHA: 0, NO_GATEWAY: 1}, WINDOW_MS)
    assert (takeover.payment_id, takeover.gateway) == (payment.id, NO_GATEWAY)


async def test_a_message_of_a_gateway_that_is_configured_no_more_is_taken_up(store: Store) -> None:
    payment = await a_payment(store, BETA, due_ago_ms=-AN_HOUR_MS)
    await payment.tell(ReviewRequested(unsettled=(payment.attempt,)))
    await store.receive(message(store, payment, notified(payment, "look", gateway=BETA)))

    assert await store.queue.claim({ALPHA: 8}, WINDOW_MS) == []
    (takeover,) = await store.queue.claim({ALPHA: 8, NO_GATEWAY: 1}, WINDOW_MS)
    assert (takeover.payment_id, takeover.gateway) == (payment.id, NO_GATEWAY)


@pytest.mark.parametrize("told", ["succeeded", "declined", "look"])
async def test_what_a_gateway_tells_of_another_ones_attempt_is_used_up(
    store: Store, told: Literal["succeeded", "declined", "look"]
) -> None:
    payment = await a_payment(store, ALPHA, due_ago_ms=-AN_HOUR_MS)
    await store.receive(message(store, payment, notified(payment, told, gateway=BETA)))
    assert await claimed(store) == []
    own = message(store, payment, notified(payment, told, gateway=ALPHA))
    await store.receive(own)

    assert (await the_takeover(store)).messages == (own.received,)


async def test_whose_an_attempt_is_cannot_be_told_before_its_start_is_known(store: Store) -> None:
    payment = Payment(store, ended_ms=store.now_ms() - AN_HOUR_MS)
    await payment.tell(payment.requested(), in_doubt(payment.attempt))
    told = message(store, payment, notified(payment, "succeeded", gateway=BETA))
    await store.receive(told)

    assert (await the_takeover(store)).messages == (told.received,)


async def test_what_is_due_comes_with_what_was_told_of_it(store: Store) -> None:
    payment = await a_payment(store)
    told = message(store, payment, notified(payment))
    await store.receive(told)

    assert (await the_takeover(store)).messages == (told.received,)


async def test_a_message_that_comes_again_is_told_once(store: Store) -> None:
    payment = await a_payment(store)
    told = message(store, payment, notified(payment, event_id="the same"))
    again = message(store, payment, notified(payment, event_id="the same"))
    await store.receive(told, told)
    await store.receive(told)
    await store.receive(again)

    assert (await the_takeover(store)).messages == (told.received,)


async def test_what_was_used_is_told_no_more(store: Store) -> None:
    payment = await a_payment(store, due_ago_ms=-AN_HOUR_MS)
    told = message(store, payment, notified(payment))
    await store.receive(told)
    takeover = await the_takeover(store)
    await store.queue.used(takeover.messages)
    await store.receive(told)
    await payment.tell(handed_over(), stamp_ms=store.now_ms() - 1)
    await asyncio.sleep(1.1)

    assert await claimed(store) == []


async def test_what_was_not_used_is_told_again_when_the_lease_has_passed(store: Store) -> None:
    payment = await a_payment(store, due_ago_ms=-AN_HOUR_MS)
    await store.receive(message(store, payment, notified(payment)))
    assert await claimed(store, window_ms=100) == [payment.id]

    assert len((await claimed_at_last(store)).messages) == 1


@pytest.mark.parametrize(
    "told, outcome",
    [
        ("succeeded", "succeeded"),
        ("declined", "succeeded"),
        ("look", "succeeded"),
        ("declined", "declined"),
        ("declined", "not_sent"),
    ],
)
async def test_a_message_that_tells_nothing_new_takes_nothing_over(
    store: Store, told: Literal["succeeded", "declined", "look"], outcome: str
) -> None:
    payment = await a_payment(store, due_ago_ms=-AN_HOUR_MS)
    end = paid(payment.attempt) if outcome == "succeeded" else failed()
    await payment.tell(_the_outcome(payment.attempt, outcome), end)
    await store.receive(message(store, payment, notified(payment, told)))

    assert await claimed(store) == []


@pytest.mark.parametrize(
    "told, outcome",
    [("succeeded", "declined"), ("succeeded", "not_sent"), ("look", "declined"), ("declined", "in_doubt")],
)
async def test_a_message_that_tells_something_new_takes_its_payment_over(
    store: Store, told: Literal["succeeded", "declined", "look"], outcome: str
) -> None:
    payment = await a_payment(store, due_ago_ms=-AN_HOUR_MS)
    await payment.tell(_the_outcome(payment.attempt, outcome))
    await store.receive(message(store, payment, notified(payment, told)))

    assert await claimed(store) == [payment.id]


async def test_a_late_success_that_is_yet_to_be_given_back_is_looked_at(store: Store) -> None:
    payment = Payment(store, ended_ms=store.now_ms() - AN_HOUR_MS)
    late = LateSuccessDetected(
        attempt_id=payment.attempt, gateway=ALPHA, gateway_reference="reference", kept=False
    )
    await payment.tell(payment.requested(), payment.started(due_ms=0), late)
    told = message(store, payment, notified(payment))
    await store.receive(told)

    assert (await the_takeover(store)).messages == (told.received,)


async def test_the_messages_of_an_ordinary_success_wait_for_its_end_and_are_used_up(store: Store) -> None:
    payment = await a_payment_in_progress(store, due_ago_ms=-AN_HOUR_MS)
    await store.receive(message(store, payment, notified(payment, "succeeded")))
    assert await claimed(store) == []
    await payment.tell(succeeded(payment.attempt), paid(payment.attempt), handed_over())
    await asyncio.sleep(1.1)

    assert await claimed(store) == []


async def test_what_was_told_long_ago_is_taken_up_as_soon_as_the_owner_has_certainly_gone(
    store: Store,
) -> None:
    payment = await a_payment(store, due_ago_ms=-AN_HOUR_MS, ended_ago_ms=-200)
    told = message(store, payment, notified(payment, "succeeded"), ago_ms=AN_HOUR_MS)
    await store.receive(told)
    assert await claimed(store) == []
    await asyncio.sleep((200 + 2 * GUARD_MS) / 1000 + 0.1)

    assert (await the_takeover(store)).messages == (told.received,)


async def test_a_message_about_a_payment_that_is_not_known_yet_waits_for_it(store: Store) -> None:
    payment = Payment(store, ended_ms=store.now_ms() - AN_HOUR_MS)
    told = message(store, payment, notified(payment, "succeeded"))
    await store.receive(told)
    assert await claimed(store) == []
    await payment.tell(payment.requested(), payment.started(due_ms=store.now_ms() + AN_HOUR_MS))

    takeover = await claimed_at_last(store)
    assert (takeover.payment_id, takeover.messages) == (payment.id, (told.received,))


async def test_a_message_about_a_payment_that_never_comes_is_given_up_after_a_day(store: Store) -> None:
    await a_settled_payment(store)
    payment = Payment(store, ended_ms=store.now_ms() - AN_HOUR_MS)
    await store.receive(message(store, payment, notified(payment), ago_ms=26 * AN_HOUR_MS))
    assert await claimed(store) == []
    await payment.tell(payment.requested(), payment.started(due_ms=store.now_ms() - 1))
    await asyncio.sleep(1.1)

    assert (await the_takeover(store)).messages == ()


async def test_a_day_that_the_projection_has_not_read_does_not_count(store: Store) -> None:
    """A message of before an outage waits until the projection has caught up."""
    await a_settled_payment(store, ended_ago_ms=25 * AN_HOUR_MS)
    payment = Payment(store, ended_ms=store.now_ms() - 24 * AN_HOUR_MS)
    told = message(store, payment, notified(payment), ago_ms=26 * AN_HOUR_MS)
    await store.receive(told)
    assert await claimed(store) == []
    await payment.tell(payment.requested(), payment.started(due_ms=store.now_ms() - 1))

    assert (await claimed_at_last(store)).messages == (told.received,)


async def test_a_queue_that_is_away_says_so(store: Store) -> None:
    payment = await a_payment(store)
    told = message(store, payment, notified(payment))
    await store.go_away()

    with pytest.raises(StoreUnavailable):
        await claimed(store)
    with pytest.raises(StoreUnavailable):
        await store.queue.used([told.received])


def _the_outcome(attempt: AttemptId, outcome: str) -> PaymentEvent:
    events: dict[str, PaymentEvent] = {
        "succeeded": succeeded(attempt),
        "declined": declined(attempt),
        "not_sent": not_sent(attempt),
        "in_doubt": in_doubt(attempt),
    }
    return events[outcome]
