"""Given a stretch of the log, who owns the payments in it."""

from infra.kafka.partition import partition_for
from projections.owners import Stretch, owners_in
from projections.ports import RawRecord
from schemas.base import Event
from schemas.payment import PaymentTakenOver
from schemas.views import PaymentView
from tests.projections.story import (
    BEGIN_MS,
    PAYMENT,
    WINDOW,
    handed_over,
    in_doubt,
    junk,
    new_payment_id,
    raw,
    recorded,
    requested,
    started,
)

LATER = WINDOW.valid_until_ms + 1


def told(*records: RawRecord) -> Stretch:
    return owners_in(records, partition_for)


def told_of(*events: Event) -> PaymentView:
    (owner,) = told(*(raw(recorded(event, offset)) for offset, event in enumerate(events))).owners
    return owner


def test_a_request_names_the_key_and_its_window() -> None:
    owner = told_of(requested("merchant", "hash"), started())
    assert owner.order is not None
    assert (owner.order.merchant_id, owner.key_hash, owner.fingerprint) == ("merchant", "hash", "fingerprint")
    assert (owner.epoch, owner.owned_until_ms, owner.handed_over) == (1, WINDOW.valid_until_ms, False)


def test_a_hand_over_ends_the_window() -> None:
    owner = told_of(requested(), started(), in_doubt(), handed_over())
    assert (owner.owned_until_ms, owner.handed_over) == (BEGIN_MS + 30, True)


def test_a_stretch_may_begin_in_the_middle_of_a_payment() -> None:
    taken = raw(recorded(PaymentTakenOver(claim_id="claim", by="payment_verifier"), 9, epoch=2))
    (owner,) = told(taken).owners
    assert (owner.key_hash, owner.epoch, owner.attempts) == (None, 2, 0)


def test_an_attempt_without_its_request_is_told_too() -> None:
    owner = told_of(started())
    assert (owner.key_hash, owner.attempts) == (None, 1)


def test_what_was_written_outside_its_window_owns_nothing() -> None:
    assert told(raw(recorded(requested(), stamp_ms=LATER))).owners == ()


def test_what_nobody_can_read_is_counted_and_stops_nothing() -> None:
    stray = new_payment_id(5)
    elsewhere = raw(recorded(requested(), payment=stray))._replace(partition=partition_for(stray) + 1)
    stretch = told(junk(0, 0), elsewhere, raw(recorded(requested())))
    assert ([owner.payment_id for owner in stretch.owners], stretch.unreadable) == ([PAYMENT], 2)
