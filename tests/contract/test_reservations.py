"""What every store of reservations promises: a key has one owner at a time, by the store's clock alone."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from itertools import count
from typing import Protocol
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from api.ports import Customers
from commands.ports import Reservations
from infra.clock import SystemClock
from infra.local.stack import Stack
from infra.memory.clock import MemoryClock
from infra.memory.reservations import MemoryReservations
from infra.postgres.customers import PostgresCustomers
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.postgres.payments import PostgresPaymentSink
from infra.postgres.reservations import PostgresReservations
from projections.payments import evolve
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Recorded, Window
from schemas.errors import StoreUnavailable
from schemas.ids import CustomerToken, PaymentId, customer_token
from schemas.payment import PaymentEvent
from schemas.reservation import Claimed, Held, Reservation, Reserved
from schemas.views import PaymentChanges, PaymentHistory
from tests.projections.story import handed_over, recorded, requested

WINDOW_MS = 5_000
GUARD_MS = 2_000
A_WHILE_MS = 1_000
"""What a busy machine may need for a call."""

_clock = SystemClock()
_keys = count(1)


class Store(Protocol):
    @property
    def reservations(self) -> Reservations: ...

    @property
    def customers(self) -> Customers: ...

    def now_ms(self) -> int: ...

    async def heal(self, *told: Recorded[PaymentEvent]) -> None:
        """The projection has read these records of one payment."""

    async def go_away(self) -> None: ...


class MemoryStore:
    def __init__(self) -> None:
        self._clock = MemoryClock()
        self.reservations = MemoryReservations(self._clock, guard_ms=GUARD_MS)
        self.customers = self.reservations.customers

    def now_ms(self) -> int:
        return self._clock.now_ms()

    async def heal(self, *told: Recorded[PaymentEvent]) -> None:
        for record in told:
            self.reservations.heal(record)

    async def go_away(self) -> None:
        self.reservations.is_available = False


class PostgresStore:
    def __init__(self, database: Database) -> None:
        self.reservations = PostgresReservations(database, _clock, GUARD_MS)
        self.customers = PostgresCustomers(database)
        self._database = database

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def heal(self, *told: Recorded[PaymentEvent]) -> None:
        history: PaymentHistory | None = None
        for record in told:
            history = evolve(history, record)
        assert history is not None
        async with PostgresPaymentSink(self._database).transaction(PAYMENTS_TOPIC, [0]) as transaction:
            await transaction.store(PaymentChanges(owners=[history.payment]))

    async def go_away(self) -> None:
        await self._database.close()


@pytest.fixture(scope="module")
def database_url(stack: Stack) -> str:
    url = urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/reservations_{os.getpid()}").geturl()
    asyncio.run(migrate(str(url)))
    return str(url)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def where(request: pytest.FixtureRequest) -> str | None:
    """Where Postgres is to be asked; None for the twin in memory."""
    return None if request.param == "memory" else request.getfixturevalue("database_url")


@pytest.fixture
async def store(where: str | None) -> AsyncIterator[Store]:
    if where is None:
        yield MemoryStore()
        return
    database = await Database.connect(where, min_size=1, max_size=4)
    yield PostgresStore(database)
    await database.close()


def a_wish(*, window_ms: int = WINDOW_MS) -> Reservation:
    """For a key that nobody has asked for yet."""
    number, payment_id = next(_keys), _clock.payment_id()
    return Reservation(
        merchant_id="merchant",
        key_hash=f"key {number}",
        fingerprint="fingerprint",
        payment_id=payment_id,
        window_ms=window_ms,
        customer_id=f"customer {number}",
        customer=customer_token(payment_id),
    )


def somebody_elses(wish: Reservation) -> Reservation:
    """Another wish for the same key."""
    payment_id = _clock.payment_id()
    return replace(wish, payment_id=payment_id, customer=customer_token(payment_id))


def another_by(customer: Reservation, **changes: str) -> Reservation:
    """A wish of the same customer for another key."""
    return replace(a_wish(), **{"customer_id": customer.customer_id, **changes})


async def token(store: Store, wish: Reservation) -> CustomerToken:
    reserved = await store.reservations.reserve(wish)
    assert isinstance(reserved, Reserved)
    return reserved.customer


async def held_until(store: Store, ended_ms: int, *, handed_over_at_ms: int | None = None) -> Reservation:
    """A key as the store has it from the log: requested in a window that ended then, and perhaps handed over."""
    wish = a_wish()
    window = Window(valid_from_ms=0, valid_until_ms=ended_ms)
    event = requested(wish.merchant_id, wish.key_hash)
    told: list[Recorded[PaymentEvent]] = [
        _recorded(event, wish.payment_id, 0, window, ended_ms - WINDOW_MS),
    ]
    if handed_over_at_ms is not None:
        told.append(_recorded(handed_over(), wish.payment_id, 1, window, handed_over_at_ms))
    await store.heal(*told)
    return wish


def _recorded(
    event: PaymentEvent, payment: PaymentId, offset: int, window: Window, stamp_ms: int
) -> Recorded[PaymentEvent]:
    told = recorded(event, offset, payment=payment, window=window, stamp_ms=stamp_ms)
    return Recorded(envelope=told.envelope, event=event, position=told.position, stamp_ms=told.stamp_ms)


# Reserving


async def test_a_free_key_is_reserved_until_its_window_has_passed_by_the_stores_clock(store: Store) -> None:
    before_ms = store.now_ms()
    reserved = await store.reservations.reserve(a_wish())

    assert isinstance(reserved, Reserved)
    assert reserved.window.valid_from_ms == 0
    assert before_ms + WINDOW_MS <= reserved.window.valid_until_ms <= store.now_ms() + WINDOW_MS


@pytest.mark.safety
async def test_of_fifty_wishes_at_once_one_has_the_key_and_the_others_hear_who(store: Store) -> None:
    wish = a_wish()
    wishes = [somebody_elses(wish) for _ in range(50)]
    answers = await asyncio.gather(*map(store.reservations.reserve, wishes))

    (winner,) = [wish for wish, answer in zip(wishes, answers, strict=True) if isinstance(answer, Reserved)]
    held = Held(payment_id=winner.payment_id, fingerprint="fingerprint", epoch=1, is_owned=True)
    assert [answer for answer in answers if answer == held] == [held] * 49


async def test_fifty_keys_at_once_are_all_reserved(store: Store) -> None:
    wishes = [a_wish(window_ms=WINDOW_MS + number * 100) for number in range(50)]
    before_ms = store.now_ms()
    answers = await asyncio.gather(*map(store.reservations.reserve, wishes))

    for wish, answer in zip(wishes, answers, strict=True):
        assert isinstance(answer, Reserved)
        assert before_ms + wish.window_ms <= answer.window.valid_until_ms <= store.now_ms() + wish.window_ms
        held = await store.reservations.find(wish.merchant_id, wish.key_hash)
        assert held is not None
        assert held.payment_id == wish.payment_id


async def test_a_key_that_was_reserved_is_held_for_everybody_after(store: Store) -> None:
    wish = a_wish()
    await store.reservations.reserve(wish)
    later = replace(somebody_elses(wish), fingerprint="another")

    held = Held(payment_id=wish.payment_id, fingerprint="fingerprint", epoch=1, is_owned=True)
    assert await store.reservations.reserve(later) == held


async def test_the_same_key_of_another_merchant_is_another_key(store: Store) -> None:
    wish = a_wish()
    other = replace(somebody_elses(wish), merchant_id="another")

    assert isinstance(await store.reservations.reserve(wish), Reserved)
    assert isinstance(await store.reservations.reserve(other), Reserved)
    for who in (wish, other):
        held = await store.reservations.find(who.merchant_id, who.key_hash)
        assert held is not None
        assert held.payment_id == who.payment_id


async def test_a_key_is_owned_until_its_window_ends_and_held_for_ever(store: Store) -> None:
    wish, brief = a_wish(), a_wish(window_ms=1)
    for each in (wish, brief):
        await store.reservations.reserve(each)
    held = Held(payment_id=wish.payment_id, fingerprint="fingerprint", epoch=1, is_owned=True)
    assert await store.reservations.find(wish.merchant_id, wish.key_hash) == held

    await asyncio.sleep(0.01)
    ended = replace(held, payment_id=brief.payment_id, is_owned=False)
    assert await store.reservations.find(brief.merchant_id, brief.key_hash) == ended
    assert await store.reservations.reserve(somebody_elses(brief)) == ended


async def test_a_caller_who_leaves_takes_nobody_along(store: Store) -> None:
    wishes = [a_wish() for _ in range(20)]
    tasks = [asyncio.ensure_future(store.reservations.reserve(wish)) for wish in wishes]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    assert all(isinstance(answer, Reserved) for answer in answers[1::2])


async def test_a_key_that_nobody_asked_for_is_not_found(store: Store) -> None:
    wish = a_wish()
    assert await store.reservations.find(wish.merchant_id, wish.key_hash) is None


# Claiming


async def test_a_key_is_not_claimed_while_it_is_owned(store: Store) -> None:
    wish = a_wish()
    await store.reservations.reserve(wish)

    assert await store.reservations.claim(wish, 1) is None


async def test_a_key_that_nobody_holds_cannot_be_claimed(store: Store) -> None:
    assert await store.reservations.claim(a_wish(), 1) is None


@pytest.mark.parametrize("ago_ms", [0, GUARD_MS, 2 * GUARD_MS - A_WHILE_MS])
async def test_a_window_that_ended_is_not_claimed_within_two_guards(store: Store, ago_ms: int) -> None:
    wish = await held_until(store, store.now_ms() - ago_ms)

    assert await store.reservations.claim(wish, 1) is None
    held = await store.reservations.find(wish.merchant_id, wish.key_hash)
    assert held == Held(payment_id=wish.payment_id, fingerprint="fingerprint", epoch=1, is_owned=False)


async def test_a_claim_is_the_next_epoch_and_begins_a_guard_after_the_old_window_ended(store: Store) -> None:
    ended_ms = store.now_ms() - 2 * GUARD_MS
    wish = await held_until(store, ended_ms)
    before_ms = store.now_ms()
    claimed = await store.reservations.claim(wish, 1)

    assert claimed is not None
    assert claimed.epoch == 2
    assert claimed.claim_id.startswith("clm_")
    assert claimed.window.valid_from_ms == ended_ms + GUARD_MS
    assert before_ms + WINDOW_MS <= claimed.window.valid_until_ms <= store.now_ms() + WINDOW_MS
    held = await store.reservations.find(wish.merchant_id, wish.key_hash)
    assert held == Held(payment_id=wish.payment_id, fingerprint="fingerprint", epoch=2, is_owned=True)


async def test_a_claim_of_an_epoch_that_is_not_the_present_one_is_refused(store: Store) -> None:
    wish = await held_until(store, store.now_ms() - 2 * GUARD_MS)

    assert await store.reservations.claim(wish, 2) is None
    assert await store.reservations.claim(wish, 0) is None
    assert await store.reservations.claim(wish, 1) is not None
    assert await store.reservations.claim(wish, 1) is None
    assert await store.reservations.claim(wish, 2) is None


@pytest.mark.safety
async def test_of_many_claims_at_once_one_wins(store: Store) -> None:
    wish = await held_until(store, store.now_ms() - 2 * GUARD_MS)
    answers = await asyncio.gather(*(store.reservations.claim(wish, 1) for _ in range(10)))

    (claimed,) = [answer for answer in answers if answer is not None]
    assert claimed.epoch == 2


async def test_claims_have_ids_of_their_own(store: Store) -> None:
    wishes = [await held_until(store, store.now_ms() - 2 * GUARD_MS) for _ in range(5)]
    answers = await asyncio.gather(*(store.reservations.claim(wish, 1) for wish in wishes))

    assert len({answer.claim_id for answer in answers if answer is not None}) == len(wishes)


async def test_what_was_handed_over_can_be_claimed_at_once_from_the_moment_of_the_hand_over(
    store: Store,
) -> None:
    stamp_ms = store.now_ms() - 1
    wish = await held_until(store, store.now_ms() + WINDOW_MS, handed_over_at_ms=stamp_ms)
    held = await store.reservations.find(wish.merchant_id, wish.key_hash)
    assert held == Held(payment_id=wish.payment_id, fingerprint="fingerprint", epoch=1, is_owned=False)

    claimed = await store.reservations.claim(wish, 1)
    assert claimed is not None
    assert claimed.window.valid_from_ms == stamp_ms


async def test_a_hand_over_ends_the_window_that_was_reserved(store: Store) -> None:
    wish = a_wish()
    reserved = await store.reservations.reserve(wish)
    assert isinstance(reserved, Reserved)
    event = requested(wish.merchant_id, wish.key_hash)
    stamp_ms = store.now_ms() - 1
    await store.heal(
        _recorded(event, wish.payment_id, 0, reserved.window, stamp_ms),
        _recorded(handed_over(), wish.payment_id, 1, reserved.window, stamp_ms),
    )

    assert isinstance(await store.reservations.claim(wish, 1), Claimed)


async def test_a_claim_is_no_hand_over_of_its_own(store: Store) -> None:
    """Who claims what was handed over has a window like anybody else's."""
    wish = await held_until(store, store.now_ms() + WINDOW_MS, handed_over_at_ms=store.now_ms() - 1)
    claimed = await store.reservations.claim(replace(wish, window_ms=1), 1)
    assert claimed is not None

    await asyncio.sleep(0.01)
    assert await store.reservations.claim(wish, 2) is None


# Customers


async def test_who_is_met_first_goes_by_the_token_of_that_payment_and_by_it_ever_after(store: Store) -> None:
    wish = a_wish()
    assert await token(store, wish) == wish.customer
    assert await token(store, another_by(wish)) == wish.customer
    assert await store.customers.ids_of([wish.customer]) == {wish.customer: wish.customer_id}
    assert await store.customers.token_of(wish.merchant_id, wish.customer_id) == wish.customer


async def test_a_customer_of_many_first_payments_at_once_has_one_token(store: Store) -> None:
    wish = a_wish()
    wishes = [another_by(wish) for _ in range(600)]
    tokens = await asyncio.gather(*(token(store, one) for one in wishes))
    assert len(set(tokens)) == 1
    assert await store.customers.ids_of(tokens) == {tokens[0]: wish.customer_id}


async def test_the_same_id_at_another_merchant_is_another_customer(store: Store) -> None:
    wish = a_wish()
    other = another_by(wish, merchant_id="another")
    assert await token(store, wish) != await token(store, other)
    tokens = [wish.customer, other.customer]
    assert await store.customers.ids_of(tokens) == dict.fromkeys(tokens, wish.customer_id)


async def test_who_is_forgotten_is_met_anew_and_nothing_ties_him_to_what_was(store: Store) -> None:
    wish, bystander = a_wish(), a_wish()
    await token(store, wish)
    await token(store, bystander)
    for _ in range(2):
        await store.customers.forget([wish.customer])
    assert await store.customers.token_of(wish.merchant_id, wish.customer_id) is None

    later = another_by(wish)
    assert await token(store, later) == later.customer
    known = await store.customers.ids_of([wish.customer, later.customer, bystander.customer])
    assert known == {later.customer: wish.customer_id, bystander.customer: bystander.customer_id}


async def test_a_key_that_is_held_makes_nobody_known(store: Store) -> None:
    wish = a_wish()
    await token(store, wish)
    await store.reservations.reserve(replace(somebody_elses(wish), customer_id="another"))
    assert await store.customers.token_of(wish.merchant_id, "another") is None


async def test_a_take_over_by_the_same_key_goes_by_the_customers_token(store: Store) -> None:
    customer = a_wish()
    await token(store, customer)
    for wish in (a_wish(), another_by(customer)):
        held = await held_until(store, store.now_ms() - 2 * GUARD_MS)
        mine = replace(held, customer_id=wish.customer_id, customer=wish.customer)
        claimed = await store.reservations.claim(mine, 1)
        assert claimed is not None
        is_known = wish.customer_id == customer.customer_id
        assert claimed.customer == (customer.customer if is_known else wish.customer)


# What the log knows


async def test_what_the_store_has_forgotten_the_log_brings_back(store: Store) -> None:
    wish = await held_until(store, store.now_ms() + WINDOW_MS)

    held = Held(payment_id=wish.payment_id, fingerprint="fingerprint", epoch=1, is_owned=True)
    assert await store.reservations.reserve(somebody_elses(wish)) == held


async def test_another_payment_of_the_key_does_not_take_it_over_by_the_log(store: Store) -> None:
    wish = a_wish()
    await store.reservations.reserve(wish)
    other = somebody_elses(wish)
    window = Window(valid_from_ms=0, valid_until_ms=store.now_ms() + WINDOW_MS)
    event = requested(wish.merchant_id, wish.key_hash)
    await store.heal(
        _recorded(event, other.payment_id, 0, window, store.now_ms()),
        _recorded(handed_over(), other.payment_id, 1, window, store.now_ms()),
    )

    held = Held(payment_id=wish.payment_id, fingerprint="fingerprint", epoch=1, is_owned=True)
    assert await store.reservations.find(wish.merchant_id, wish.key_hash) == held


async def test_a_store_that_is_away_is_never_taken_for_a_free_or_a_held_key(store: Store) -> None:
    wish = a_wish()
    await store.reservations.reserve(wish)
    await store.go_away()

    with pytest.raises(StoreUnavailable):
        await store.reservations.reserve(somebody_elses(wish))
    with pytest.raises(StoreUnavailable):
        await store.reservations.find(wish.merchant_id, wish.key_hash)
    with pytest.raises(StoreUnavailable):
        await store.reservations.claim(wish, 1)
