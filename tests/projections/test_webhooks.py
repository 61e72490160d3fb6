"""What an event means to those who are told of it."""

from typing import Any

import msgspec
import pytest

from projections.webhooks import body_of, delivery, delivery_id, first_id_of, payment_of
from schemas.base import Event
from schemas.circuit import CircuitForcedOpen, CircuitHalfOpened
from schemas.codec import CIRCUITS_TOPIC, RELIABILITY_TOPIC
from schemas.envelope import Position, Recorded, unowned
from schemas.ids import GatewayId
from schemas.payment import (
    AttemptInDoubt,
    ChargeCompensated,
    LateSuccessDetected,
    PaymentFailed,
    PaymentSucceeded,
    ReviewRequested,
)
from schemas.reliability import DuplicateChargeDetected, VerificationOverdueEnded
from schemas.webhook import SubscriptionId
from schemas.webhook_types import TYPES, WANTABLE, is_wanted
from tests.builders import AT, AT_MS, PAYMENT, an_order, attempt, recorded
from tests.schemas.instances import INSTANCES

ONE, TWO = SubscriptionId("whs_1"), SubscriptionId("whs_2")
TOLD = [event for event in INSTANCES if type(event) in TYPES]


def told(event: Event, *, with_order: bool = True) -> dict[str, Any]:
    body = body_of(recorded(event), an_order() if with_order else None)  # type: ignore[arg-type]  # of any topic
    fields: dict[str, Any] = msgspec.json.decode(body)
    return fields


def an_instance(kind: type[Event]) -> Event:
    return next(event for event in INSTANCES if type(event) is kind)


def test_every_event_that_may_be_told_is_named_for_ever() -> None:
    assert sorted(TYPES.values()) == [
        "circuit.closed",
        "circuit.forced_closed",
        "circuit.forced_open",
        "circuit.half_opened",
        "circuit.opened",
        "circuit.released",
        "payment.compensated",
        "payment.failed",
        "payment.in_doubt",
        "payment.late_success",
        "payment.needs_review",
        "payment.succeeded",
        "reliability.duplicate_charge_compensated",
        "reliability.duplicate_charge_detected",
        "reliability.gateway_degradation_ended",
        "reliability.gateway_degraded",
        "reliability.projection_stall_ended",
        "reliability.projection_stalled",
        "reliability.success_rate_drop_ended",
        "reliability.success_rate_dropped",
        "reliability.verification_overdue",
        "reliability.verification_overdue_ended",
    ]


def test_a_family_names_all_of_its_types_and_no_other() -> None:
    assert is_wanted("circuit.opened", ("payment.failed", "circuit.*"))
    assert not is_wanted("circuit.opened", ("payment.*", "circuit.closed"))
    assert {"payment.*", "circuit.*", "reliability.*"} <= WANTABLE
    assert "*" not in WANTABLE


@pytest.mark.parametrize("event", TOLD, ids=lambda event: type(event).__name__)
def test_a_body_is_that_of_standard_webhooks_and_small(event: Event) -> None:
    body = told(event)
    assert set(body) == {"type", "timestamp", "data"}
    assert body["type"] == TYPES[type(event)]
    assert body["timestamp"] == "2026-11-23T09:30:00.123000Z"
    assert len(msgspec.json.encode(body)) < 4_096


@pytest.mark.parametrize("event", TOLD, ids=lambda event: type(event).__name__)
def test_nothing_of_an_instrument_is_told(event: Event) -> None:
    body = msgspec.json.encode(told(event)).decode()
    for secret in ("vpa", "okhdfcbank", "te***", "instrument", "attributes", "token", "last4"):
        assert secret not in body


def test_a_success_is_told_with_what_was_ordered_and_where_it_was_paid() -> None:
    event = PaymentSucceeded(attempt_id=attempt(1), gateway=GatewayId("alpha"), gateway_reference="txn_1")
    assert told(event)["data"] == {
        "payment_id": PAYMENT,
        "sequence": 1,
        "merchant_id": "mrc_1",
        "customer_id": "cus_1",
        "amount_minor": 129_900,
        "currency": "INR",
        "payment_method": "UPI",
        "attempt_id": attempt(1),
        "gateway": "alpha",
        "gateway_reference": "txn_1",
    }


def test_a_payment_whose_request_is_missing_is_told_without_it() -> None:
    data = told(an_instance(PaymentSucceeded), with_order=False)["data"]
    assert data["payment_id"] == PAYMENT
    assert "merchant_id" not in data


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (PaymentFailed, "failure"),
        (AttemptInDoubt, "attempt_id"),
        (ReviewRequested, "unsettled"),
        (LateSuccessDetected, "kept"),
        (ChargeCompensated, "compensated_by"),
    ],
)
def test_whatever_else_becomes_of_a_payment_is_told_with_what_it_says(kind: type[Event], field: str) -> None:
    assert field in told(an_instance(kind))["data"]


def test_circuits_and_alarms_are_told_as_they_are() -> None:
    data = told(an_instance(CircuitHalfOpened))["data"]
    assert data["gateway"] == "alpha"
    assert "type" not in data
    assert told(an_instance(CircuitForcedOpen))["type"] == "circuit.forced_open"


def of_topic(event: Event, topic: str, aggregate: str) -> Recorded[Event]:
    return Recorded(
        envelope=unowned("evt_1", aggregate, AT),
        event=event,
        position=Position(topic=topic, partition=0, offset=0),
        stamp_ms=AT_MS,
    )


def test_an_alarm_about_a_payment_is_of_its_merchant_and_a_circuit_is_of_none() -> None:
    assert payment_of(of_topic(an_instance(DuplicateChargeDetected), RELIABILITY_TOPIC, "x")) is not None
    ended = of_topic(an_instance(VerificationOverdueEnded), RELIABILITY_TOPIC, PAYMENT)
    assert payment_of(ended) == PAYMENT
    assert payment_of(of_topic(an_instance(CircuitHalfOpened), CIRCUITS_TOPIC, "alpha:UPI")) is None


def test_a_deliverys_id_follows_from_the_event_and_the_subscriber_and_sorts_by_time() -> None:
    record = recorded(an_instance(PaymentSucceeded))  # type: ignore[arg-type]  # one of a payment
    one, two = delivery(record, ONE, "m_1", "{}"), delivery(record, TWO, "m_1", "{}")
    assert one.delivery_id == delivery_id(AT, record.envelope.event_id, ONE)
    assert one.delivery_id != two.delivery_id
    assert first_id_of(AT_MS) <= one.delivery_id < first_id_of(AT_MS + 1)
    assert "." not in one.delivery_id
    assert len(one.delivery_id) == 30
