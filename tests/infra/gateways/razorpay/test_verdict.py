"""What Razorpay's answers mean, where no server is needed to say it."""

from typing import Any

import msgspec
import pytest

from infra.gateways.http import Answer
from infra.gateways.razorpay.answers import Created, Order, Payment, Refund
from infra.gateways.razorpay.verdict import missing_of, next_action, refused, verdict
from schemas.charge import Found, NotFound, Unreachable
from schemas.outcome import AwaitingCustomer, Declined, InDoubt, NextAction, NotSent, Outcome, Succeeded

UNKNOWN = ("deemed_transaction", "payment_pending", "collect_request_pending")
TIMED_OUT = ("request_timed_out", "payment_timed_out", "server_error")


def payment(status: str, **fields: Any) -> Payment:
    plain = {"id": f"pay_{status}", "amount": 1000, "currency": "INR", "status": status, "method": "upi"}
    return msgspec.convert(plain | fields, Payment)


def failed(reason: str | None = None, source: str | None = None) -> Payment:
    return payment("failed", error_code="BAD_REQUEST_ERROR", error_reason=reason, error_source=source)


def outcome(*payments: Payment) -> Outcome:
    found = verdict((), payments)
    assert isinstance(found, Found)
    return found.outcome


def a_refusal(status: int, error: dict[str, Any] | None = None, **other: Any) -> Answer:
    content = other | ({} if error is None else {"error": error})
    return Answer(status=status, body=msgspec.json.encode(content))


# A standing


def test_one_payment_that_was_captured_outweighs_all_that_were_not() -> None:
    statuses = ("failed", "refunded", "created", "authorized", "captured")
    for length in range(1, 6):
        payments = [payment(status) for status in statuses[:length]]
        assert verdict((), payments) == verdict((), payments[::-1]) == verdict((), payments[-1:])


def test_what_is_authorised_succeeds_and_wants_a_capture() -> None:
    found = verdict((), [payment("authorized")])
    assert found == Found(
        outcome=Succeeded(gateway_reference="pay_authorized"),
        amount_minor=1000,
        currency="INR",
        needs_capture=True,
    )


@pytest.mark.parametrize(
    ("method", "upi", "kind"),
    [
        ("upi", {"flow": "intent"}, "upi_intent"),
        ("upi", {"flow": "collect"}, "upi_collect"),
        ("upi", None, "upi_intent"),
        ("card", None, "redirect"),
        ("netbanking", None, "redirect"),
    ],
)
def test_what_is_created_waits_for_the_customer(method: str, upi: object, kind: str) -> None:
    found = outcome(payment("created", method=method, upi=upi))
    assert isinstance(found, AwaitingCustomer)
    assert (found.next_action.type, found.next_action.url) == (kind, None)


def test_what_was_refunded_is_as_if_it_had_never_been() -> None:
    assert outcome(failed(), payment("refunded")) == NotSent(reason="burned")


def test_an_order_without_a_payment_is_nothing_unless_it_is_burned() -> None:
    def order(notes: object) -> Order:
        plain = {"id": "order_1", "amount": 1000, "currency": "INR", "notes": notes}
        return msgspec.convert(plain, Order)

    assert verdict((), ()) == verdict([order([])], ()) == verdict([order({"burned": "no"})], ()) == NotFound()
    burned = verdict([order([]), order({"burned": "true"})], ())
    assert burned == Found(outcome=NotSent(reason="burned"), amount_minor=1000, currency="INR")


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_failure_without_a_reason_is_a_decline_without_a_retry(nothing: str | None) -> None:
    found = outcome(failed(nothing, nothing))
    assert isinstance(found, Declined)
    assert (found.decline.code, found.decline.retryable) == ("payment_failed", False)
    assert found.decline.gateway_reason is None


@pytest.mark.parametrize("reason", TIMED_OUT)
def test_what_timed_out_and_failed_has_failed_for_now(reason: str) -> None:
    found = outcome(failed(reason, "gateway"))
    assert isinstance(found, Declined)
    assert not found.decline.retryable


@pytest.mark.parametrize("reason", UNKNOWN)
def test_some_failures_are_none_that_can_be_believed(reason: str) -> None:
    assert outcome(failed(reason, "issuer_bank")) == InDoubt(
        reason="server_error", gateway_reference="pay_failed"
    )


def test_what_could_hide_a_card_number_is_not_written_down() -> None:
    found = outcome(failed("4111 1111 1111 1111", "issuer_bank"))
    assert isinstance(found, Declined)
    assert found.decline.gateway_reason is None


@pytest.mark.parametrize(
    ("refunds", "missing"),
    [
        ([], "refund_failed"),
        ([("processed", 1000)], None),
        ([("processed", 400), ("processed", 600)], None),
        ([("processed", 400)], "refund_failed"),
        ([("processed", 400), ("pending", 600)], "refund_pending"),
        ([("failed", 1000)], "refund_failed"),
        ([("failed", 1000), ("pending", 1000)], "refund_pending"),
        ([("failed", 1000), ("processed", 1000)], None),
    ],
)
def test_a_payment_is_given_back_once_all_of_it_was_processed(
    refunds: list[tuple[str, int]], missing: str | None
) -> None:
    seen = [
        msgspec.convert({"payment_id": "pay_1", "status": status, "amount": amount}, Refund)
        for status, amount in refunds
    ]
    assert missing_of(payment("refunded"), seen) == (None if missing is None else Unreachable(reason=missing))


# A payment that was refused


@pytest.mark.parametrize("reason", UNKNOWN + TIMED_OUT)
def test_a_refusal_that_does_not_know_is_in_doubt(reason: str) -> None:
    error = {"code": "BAD_REQUEST_ERROR", "reason": reason, "source": "gateway"}
    metadata = {"payment_id": "pay_1", "order_id": "order_1"}
    assert refused(a_refusal(400, error | {"metadata": metadata})) == InDoubt(
        reason="server_error", gateway_reference="pay_1", http_status=400
    )


@pytest.mark.parametrize("status", [400, 401, 404])
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"reason": "NA", "source": "NA"},
        {"reason": "brand_new", "source": "business"},
        {"reason": "brand_new", "source": "gateway"},
        {"source": "customer"},
    ],
)
def test_a_refusal_that_names_a_payment_but_no_reason_that_is_known_is_in_doubt(
    said: dict[str, Any], status: int
) -> None:
    error = {"code": "BAD_REQUEST_ERROR", "metadata": {"payment_id": "pay_1"}} | said
    assert refused(a_refusal(status, error)) == InDoubt(
        reason="server_error", gateway_reference="pay_1", http_status=status
    )


def test_a_refusal_that_names_a_payment_and_why_it_failed_is_a_decline() -> None:
    error = {"reason": "insufficient_funds", "source": "customer", "metadata": {"payment_id": "pay_1"}}
    outcome = refused(a_refusal(400, error))
    assert isinstance(outcome, Declined)
    assert (outcome.decline.code, outcome.gateway_reference) == ("insufficient_funds", "pay_1")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (a_refusal(400, message="The amount is invalid"), "invalid_request"),
        (a_refusal(400, {"code": "BAD_REQUEST_ERROR", "metadata": []}), "invalid_request"),
        (a_refusal(400, {"reason": "NA", "source": "NA", "step": "NA"}), "invalid_request"),
        (a_refusal(404, {"code": "BAD_REQUEST_ERROR"}), "invalid_request"),
        (a_refusal(400, {"reason": "brand_new", "source": "business"}), "invalid_request"),
        (a_refusal(400, {"reason": "insufficient_funds", "source": "customer"}), "insufficient_funds"),
        (a_refusal(401, {"code": "BAD_REQUEST_ERROR"}), "configuration_error"),
        (a_refusal(429), "gateway_busy"),
    ],
)
def test_a_refusal_has_a_code_of_ours(answer: Answer, code: str) -> None:
    outcome = refused(answer)
    assert isinstance(outcome, Declined)
    assert outcome.decline.code == code


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=400, body=b"<html>"), "unreadable_answer"),
        (Answer(status=400, body=b"\xff{"), "unreadable_answer"),
        (Answer(status=400, body=b"{}"), "unreadable_answer"),
        (Answer(status=502, body=b""), "server_error"),
        (Answer(status=302, body=b""), "server_error"),
        (a_refusal(504, {"reason": "insufficient_funds"}), "server_error"),
        (a_refusal(400, {"reason": "brand_new", "source": "gateway"}), "server_error"),
        (a_refusal(400, {"reason": "payment_failed", "source": "internal"}), "server_error"),
        (a_refusal(429, {"metadata": {"payment_id": "pay_1"}}), "rate_limited"),
    ],
)
def test_a_refusal_that_proves_nothing_is_in_doubt(answer: Answer, reason: str) -> None:
    outcome = refused(answer)
    assert isinstance(outcome, InDoubt)
    assert outcome.reason == reason


# What the customer has to do


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (None, None),
        ([], None),
        ([{"action": "otp_generate", "url": "https://a.example/"}], None),
        ([{"action": "poll", "url": "https://a.example/"}], NextAction(type="upi_collect")),
        (
            [{"action": "intent", "url": "upi://pay?x=1"}, {"action": "poll", "url": "https://a.example/"}],
            NextAction(type="upi_intent", url="upi://pay?x=1"),
        ),
        (
            [{"action": "redirect", "url": "https://b.example/"}, {"action": "otp_generate"}],
            NextAction(type="redirect", url="https://b.example/"),
        ),
    ],
)
def test_the_next_step_is_one_that_a_customer_can_take(steps: object, expected: NextAction | None) -> None:
    created = msgspec.convert({"razorpay_payment_id": "pay_1", "next": steps}, Created)
    assert next_action(created) == expected
