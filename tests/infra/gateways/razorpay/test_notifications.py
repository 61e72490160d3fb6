import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from infra.gateways.razorpay.notifications import RazorpayNotifications
from schemas.errors import BadSignature, Unreadable
from schemas.ids import GatewayId
from schemas.notification import GatewayNotified, IgnoredNotification

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ATTEMPT = "att_01jd0000000000000000000000_1_1"
READER = RazorpayNotifications(GatewayId("razorpay"), ["the new secret", "the old secret"])


def an_event(kind: str = "payment.captured", status: str = "captured", **fields: Any) -> bytes:
    payment = {
        "id": "pay_4Xyz",
        "entity": "payment",
        "amount": 129_900,
        "currency": "INR",
        "status": status,
        "method": "upi",
        "vpa": "test.user@okhdfcbank",
        "notes": {"attempt_id": ATTEMPT},
    } | fields
    return msgspec.json.encode(
        {
            "entity": "event",
            "account_id": "acc_1",
            "event": kind,
            "contains": ["payment"],
            "payload": {"payment": {"entity": payment}},
            "created_at": 1_772_323_200,
        }
    )


def signed(body: bytes, secret: str = "the new secret", **headers: str) -> dict[str, str]:
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Razorpay-Signature": signature, "X-Razorpay-Event-Id": "evt_1"} | headers


def read(body: bytes, headers: dict[str, str] | None = None) -> GatewayNotified | IgnoredNotification:
    return READER.read(signed(body) if headers is None else headers, body, NOW)


def notified(body: bytes) -> GatewayNotified:
    said = read(body)
    assert isinstance(said, GatewayNotified)
    return said


def event_id(body: bytes) -> str:
    return f"evt_1.{hashlib.sha256(body).hexdigest()[:16]}"


# What it says


def test_a_capture_proves_that_the_attempt_succeeded() -> None:
    body = an_event()
    assert read(body) == GatewayNotified(
        gateway=GatewayId("razorpay"),
        event_id=event_id(body),
        kind="payment.captured",
        attempt_id=ATTEMPT,  # type: ignore[arg-type]
        told="succeeded",
        gateway_reference="pay_4Xyz",
        amount_minor=129_900,
        currency="INR",
        happened_at=datetime(2026, 3, 1, tzinfo=UTC),
    )


def test_a_failure_proves_a_decline_for_now() -> None:
    body = an_event(
        "payment.failed",
        "failed",
        error_code="BAD_REQUEST_ERROR",
        error_source="customer",
        error_reason="insufficient_funds",
    )
    said = notified(body)
    assert said.told == "declined"
    assert said.decline is not None
    assert (said.decline.code, said.decline.blame) == ("insufficient_funds", "customer")


def test_a_failure_with_empty_words_is_a_decline_too() -> None:
    said = notified(an_event("payment.failed", "failed", error_code="", error_source="", error_reason=""))
    assert said.told == "declined"


@pytest.mark.parametrize(
    ("kind", "status", "fields"),
    [
        ("payment.authorized", "authorized", {}),
        ("payment.authorized", "captured", {"captured": True}),
        ("payment.captured", "refunded", {}),
        ("payment.failed", "captured", {}),
        ("payment.failed", "failed", {"error_reason": "deemed_transaction"}),
        ("payment.brand_new", "captured", {}),
        ("refund.failed", "captured", {}),
    ],
)
def test_what_proves_nothing_is_a_reason_to_look(kind: str, status: str, fields: dict[str, Any]) -> None:
    said = notified(an_event(kind, status, **fields))
    assert (said.told, said.decline) == ("look", None)


@pytest.mark.parametrize(
    "notes",
    [[], {}, {"attempt_id": "theirs"}, {"attempt_id": 7}, {"attempt_id": ATTEMPT + "_1"}, {"other": ATTEMPT}],
)
def test_what_is_not_about_an_attempt_of_ours_is_ignored(notes: object) -> None:
    body = an_event(notes=notes)
    assert read(body) == IgnoredNotification(kind="payment.captured", event_id=event_id(body))


def test_what_is_not_about_a_payment_is_ignored() -> None:
    downtime = {"event": "payment.downtime.started", "payload": {"payment.downtime": {"entity": {}}}}
    for body in (an_event("refund.processed"), an_event("order.paid"), msgspec.json.encode(downtime)):
        assert isinstance(read(body), IgnoredNotification)


def test_nothing_personal_is_taken_over() -> None:
    body = an_event(email="a.person@example.com", contact="+919876543210", error_description="to A Person")
    said = msgspec.json.encode(read(body))
    for personal in (b"okhdfcbank", b"example.com", b"9876543210", b"A Person"):
        assert personal not in said


def test_the_same_notification_has_the_same_id_however_often_it_comes() -> None:
    first, second = an_event(), an_event("payment.authorized", "authorized")
    assert read(first) == read(first)
    without = {"X-Razorpay-Event-Id": ""}
    ids = [read(body, signed(body, **without)).event_id for body in (first, first, second)]
    assert ids[0] == ids[1] != ids[2]
    assert all(len(event_id) <= 64 for event_id in ids)


def test_another_body_under_the_same_id_is_another_notification() -> None:
    """The id is not signed: whoever guesses one must not have the real notification taken for known."""
    first, second = an_event(), an_event("payment.failed", "failed")
    assert read(first).event_id != read(second).event_id


def test_an_id_that_could_be_anything_is_replaced() -> None:
    body = an_event()
    for strange in ("x" * 65, "a b", "a\nb", "é"):
        assert read(body, signed(body, **{"X-Razorpay-Event-Id": strange})).event_id.startswith("sha256_")


# Whether it is believed


@pytest.mark.parametrize("secret", ["the new secret", "the old secret"])
def test_while_secrets_are_changed_both_are_believed(secret: str) -> None:
    body = an_event()
    assert isinstance(read(body, signed(body, secret)), GatewayNotified)


def test_headers_are_known_in_any_case() -> None:
    body = an_event()
    for headers in (signed(body), {name.lower(): value for name, value in signed(body).items()}):
        assert read(body, headers).event_id == event_id(body)


def test_the_bytes_are_signed_and_not_what_they_mean() -> None:
    body = an_event()
    headers = signed(body)
    spaced = msgspec.json.format(body, indent=2)
    with pytest.raises(BadSignature):
        read(spaced, headers)
    assert isinstance(read(spaced, signed(spaced)), GatewayNotified)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Razorpay-Signature": ""},
        {"X-Razorpay-Signature": "é"},
        {"X-Razorpay-Signature": "0" * 64},
        signed(an_event(), "another secret"),
        signed(an_event(amount=1)),
        {"X-Razorpay-Signature": signed(an_event())["X-Razorpay-Signature"].upper()},
    ],
)
def test_what_is_not_signed_by_a_secret_of_ours_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BadSignature) as refusal:
        read(an_event(), headers)
    assert "secret" not in str(refusal.value)


def test_without_a_secret_nothing_is_believed() -> None:
    body = an_event()
    with pytest.raises(BadSignature):
        RazorpayNotifications(GatewayId("razorpay"), []).read(signed(body, ""), body, NOW)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"event": "payment.captured"}',
        an_event(kind="Payment Captured"),
        an_event(id="pay/../1"),
        an_event(amount="1"),
        an_event(status="settled"),
    ],
)
def test_what_is_well_signed_and_no_notification_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable) as refusal:
        read(body)
    assert refusal.value.__cause__ is None
    assert "4Xyz" not in str(refusal.value)
