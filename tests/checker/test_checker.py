"""The checker objects: a clean payment is made by hand, then one thing about it is spoilt."""

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from projections.payments import evolve
from schemas.ids import GatewayId, PaymentId
from schemas.payment import (
    AttemptStarted,
    ChargeCompensated,
    Failure,
    LateSuccessDetected,
    PaymentEvent,
    PaymentFailed,
)
from schemas.reliability import DuplicateChargeDetected
from schemas.routing_configuration import RetryPolicy
from schemas.views import PaymentHistory
from tests.builders import (
    PAYMENT,
    attempt,
    attempt_declined,
    attempt_not_sent,
    attempt_succeeded,
    declined,
    minted,
    payment_succeeded,
    recorded,
    requested,
    routed,
    started,
)
from tests.checker.checker import Checker, Violation
from tests.checker.evidence import Charge, Contact, Evidence, Record, Told

WHO = "customer 1"
PAID: tuple[PaymentEvent, ...] = (
    requested(),
    routed(),
    started(),
    attempt_succeeded(),
    payment_succeeded(),
)


def on_log(*events: PaymentEvent) -> list[Record]:
    return [recorded(event, offset=offset) for offset, event in enumerate(events)]


def a_charge(number: int = 1, **changes: Any) -> Charge:
    captured = Charge(
        who=WHO,
        attempt_id=attempt(number),
        gateway=GatewayId("alpha"),
        at_ms=2_000,
        status="captured",
        succeeded_at_once=True,
        was_declined=False,
        holds_money=True,
        is_captured=True,
        is_given_back=False,
    )
    return replace(captured, **changes)


def a_decline(number: int = 1) -> Charge:
    return a_charge(
        number,
        status="declined",
        succeeded_at_once=False,
        was_declined=True,
        holds_money=False,
        is_captured=False,
    )


def given_back(charge: Charge) -> Charge:
    return replace(charge, status="refunded", holds_money=False, is_captured=False, is_given_back=True)


def told(**changes: Any) -> Told:
    success = Told(who=WHO, payment_id=PAYMENT, at_ms=3_000, says="201", paid_by=attempt())
    return replace(success, **changes)


def evidence(
    history: Sequence[Record] | None = None,
    charges: Sequence[Charge] = (a_charge(),),
    **changes: Any,
) -> Evidence:
    records = on_log(*PAID) if history is None else history
    shown: PaymentHistory | None = None
    for record in records:
        shown = evolve(shown, record)
    paid = Evidence(
        run="by hand",
        records={PAYMENT: records} if records else {},
        histories={PAYMENT: shown} if shown else {},
        charges=charges,
        contacts=[
            Contact(who=one.who, attempt_id=one.attempt_id, gateway=one.gateway, at_ms=one.at_ms)
            for one in charges
        ],
        told=(),
        alarms=(),
    )
    return replace(paid, **changes)


def objections(to: Evidence) -> list[str]:
    return [str(violation).partition("\n")[0] for violation in Checker(to).violations()]


def assert_objects(to: Evidence, what: str) -> None:
    assert any(what in objection for objection in objections(to)), objections(to)


def test_a_payment_that_went_well_is_not_objected_to() -> None:
    assert objections(evidence(told=(told(),))) == []


def test_one_more_captured_charge_in_the_ledger_is_a_second_charge() -> None:
    twice = evidence(charges=(a_charge(), a_charge(gateway=GatewayId("beta"))))
    assert_objects(twice, "customer 1: charged 2 times")
    assert_objects(twice, "charged 2 times at once")


def test_a_payment_that_no_ledger_has_charged_is_not_paid() -> None:
    assert_objects(evidence(charges=()), "paid by what is in no ledger")
    assert_objects(evidence(charges=(a_decline(),)), "paid by what is in no ledger")


def test_a_second_charge_that_was_given_back_was_there_for_a_while() -> None:
    once = evidence(charges=(a_charge(), given_back(a_charge(2))))
    assert_objects(once, "charged 2 times at once")


def test_a_charge_that_no_record_knows_is_a_call_without_a_start() -> None:
    assert_objects(evidence([]), "contacted without a valid start")
    late_start = [replace(record, stamp_ms=2_001) for record in on_log(*PAID)]
    assert_objects(evidence(late_start), "contacted without a valid start")


@pytest.mark.parametrize("charge", [a_decline(), given_back(a_charge())])
def test_a_success_whose_money_is_not_held_is_none(charge: Charge) -> None:
    assert_objects(evidence(charges=(charge,)), "money and log do not agree")
    assert_objects(evidence(charges=(charge,), told=(told(),)), "in no ledger")


def test_money_that_is_only_held_pays_nothing() -> None:
    assert_objects(evidence(charges=(a_charge(is_captured=False),)), "never captured")


def test_a_success_that_was_told_before_the_charge_was_made_up() -> None:
    assert_objects(evidence(told=(told(at_ms=1_999),)), "in no ledger")


FAILURE = PaymentFailed(failure=Failure(code="insufficient_funds", blame="customer", customer_may_retry=True))
LATE = LateSuccessDetected(
    attempt_id=attempt(), gateway=GatewayId("alpha"), gateway_reference="txn_1", kept=False
)


def without_horizon() -> AttemptStarted:
    """So that nothing is left to be done for it."""
    return replace(started(), final_check_at=None)


def failed(*more: PaymentEvent, verified: bool = False) -> list[Record]:
    decline = replace(attempt_declined(declined()), verified=verified)
    return on_log(requested(), routed(), without_horizon(), decline, FAILURE, *more)


def test_a_failure_that_charged_is_objected_to() -> None:
    told_failure = told(says="402", paid_by=None, has_failed=True)
    assert objections(evidence(failed(), charges=(a_decline(),), told=(told_failure,))) == []
    charged = evidence(failed(), told=(told_failure,))
    assert_objects(charged, "a failure was told, and the customer was charged")
    assert_objects(charged, "declined by assumption")


def test_a_decline_that_is_in_no_ledger_is_an_assumption_unless_the_gateway_refused_by_itself() -> None:
    assert_objects(evidence(failed(), charges=()), "declined by assumption")
    assert objections(evidence(failed(), charges=(), refusals_leave_no_trace=True)) == []
    verified = evidence(failed(verified=True), charges=(), refusals_leave_no_trace=True)
    assert_objects(verified, "declined by assumption")


def test_a_late_success_that_nobody_heard_of_is_objected_to() -> None:
    charge = given_back(replace(a_charge(), succeeded_at_once=False, was_declined=True))
    compensated = ChargeCompensated(
        attempt_id=attempt(), gateway=GatewayId("alpha"), gateway_reference="txn_1", by="refund"
    )
    late = evidence(failed(attempt_succeeded(), LATE, compensated), charges=(charge,))
    assert_objects(late, "nobody heard of a late success")
    alarm = DuplicateChargeDetected(
        payment_id=PAYMENT,
        attempt_id=attempt(),
        gateway=GatewayId("alpha"),
        gateway_reference="txn_1",
        kept=False,
    )
    assert objections(replace(late, alarms=(alarm,))) == []
    twice = evidence(failed(attempt_succeeded(), LATE, compensated, compensated), charges=(charge,))
    assert_objects(twice, "given back twice")


def test_a_reference_that_was_burnt_is_never_charged() -> None:
    verified = replace(attempt_not_sent(reason="burned"), verified=True)
    records = on_log(requested(), routed(), without_horizon(), verified, FAILURE)
    assert_objects(evidence(records), "charged although verified as not sent")


def test_an_end_that_changes_is_objected_to() -> None:
    assert_objects(evidence(on_log(*PAID, FAILURE)), "ended, and then failed")
    assert_objects(evidence(on_log(*PAID, payment_succeeded())), "ended, and then succeeded")
    kept = routed(policy=RetryPolicy(keep_late_success=True))
    late = [*failed(attempt_succeeded(), payment_succeeded())]
    assert_objects(evidence(late), "ended, and then succeeded")
    late[1] = replace(late[1], event=kept)
    assert not any("ended" in objection for objection in objections(evidence(late)))


def test_a_payment_without_an_end_is_objected_to() -> None:
    assert_objects(evidence(on_log(*PAID[:3])), "not settled in time")
    assert_objects(evidence(on_log(*PAID[:3])), "verification never ended")
    assert_objects(evidence(histories={}), "not in the read model")


def test_two_writers_of_one_epoch_are_objected_to() -> None:
    records = on_log(*PAID)
    other = replace(records[-1], envelope=replace(records[-1].envelope, correlation_id="req_2"))
    assert_objects(evidence([*records[:-1], other]), "epoch 1 was written by 2 writers")


def test_a_key_that_became_two_payments_is_objected_to() -> None:
    other = minted(1)
    assert_objects(evidence(told=(told(), told(payment_id=other))), "one key became 2 payments")
    records = on_log(*PAID)
    moved = [replace(one, envelope=replace(one.envelope, aggregate_id=other)) for one in records]
    twice = evidence(records={PAYMENT: records, PaymentId(other): moved})
    assert_objects(twice, "one key was requested as 2 payments")


def test_a_violation_tells_the_whole_story() -> None:
    twice = evidence(charges=(a_charge(), a_charge(gateway=GatewayId("beta"))), told=(told(),))
    with pytest.raises(Violation) as violation:
        Checker(twice).check()
    story = str(violation.value)
    for line in ("PaymentRequested", "AttemptStarted", "charge beta", "call   alpha", "told   201"):
        assert line in story
