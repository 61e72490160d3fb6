import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any

import pytest

from infra.gateways.stripe.notifications import StripeNotifications
from schemas.errors import BadSignature, Unreadable
from schemas.ids import GatewayId
from schemas.notification import GatewayNotified, IgnoredNotification
from schemas.outcome import Decline
from tests.builders import AT
from tests.infra.gateways.stripe.intents import ATTEMPT, INTENT_ID, NO_FUNDS, an_intent

OLD, NEW = "whsec_old", "whsec_new"
EVENT_ID = "evt_1NG8Du2eZvKYlo2CUI79vXWy"
AT_S = int(AT.timestamp())
A_REFUND = {"object": "refund", "id": "re_1", "currency": "inr", "metadata": {"attempt_id": ATTEMPT}}

reader = StripeNotifications(GatewayId("stripe"), [OLD, NEW])


def an_event(kind: str, about: dict[str, Any] | None = None, **other: Any) -> bytes:
    event = {
        "id": EVENT_ID,
        "object": "event",
        "created": AT_S - 2,
        "type": kind,
        "data": {"object": an_intent() if about is None else about},
    }
    return json.dumps(event | other).encode()


def signed(body: bytes, *secrets: str, at_s: int = AT_S) -> dict[str, str]:
    text = f"{at_s}.".encode() + body
    each = [hmac.new(secret.encode(), text, hashlib.sha256).hexdigest() for secret in secrets]
    return {"Stripe-Signature": ",".join([f"t={at_s}", *(f"v1={one}" for one in each), "v0=6ffbb59b"])}


def told(body: bytes) -> GatewayNotified:
    notified = reader.read(signed(body, NEW), body, AT)
    assert isinstance(notified, GatewayNotified)
    return notified


# What it says


def test_a_success_is_told_with_the_amount_that_was_received() -> None:
    assert told(an_event("payment_intent.succeeded")) == GatewayNotified(
        gateway=GatewayId("stripe"),
        event_id=EVENT_ID,
        kind="payment_intent.succeeded",
        attempt_id=ATTEMPT,
        told="succeeded",
        gateway_reference=INTENT_ID,
        amount_minor=129_900,
        currency="INR",
        happened_at=(AT - timedelta(seconds=2)).replace(microsecond=0),
    )


def test_a_failure_is_told_with_its_decline() -> None:
    failed = an_intent("requires_payment_method", last_payment_error=NO_FUNDS)
    notified = told(an_event("payment_intent.payment_failed", failed))
    assert notified.told == "declined"
    assert notified.decline == Decline(
        code="insufficient_funds",
        blame="customer",
        retryable=False,
        gateway_code="card_declined",
        gateway_reason="insufficient_funds",
    )


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        ("payment_intent.canceled", an_intent("canceled")),
        ("payment_intent.amount_capturable_updated", an_intent("requires_capture")),
        ("payment_intent.requires_action", an_intent("requires_action")),
        ("payment_intent.processing", an_intent("processing")),
        ("payment_intent.succeeded", an_intent("processing")),
        ("payment_intent.payment_failed", an_intent("succeeded")),
        ("payment_intent.payment_failed", an_intent("requires_payment_method")),
        ("charge.refunded", {"object": "charge", "id": "ch_1", "metadata": {"attempt_id": ATTEMPT}}),
        ("charge.refund.updated", A_REFUND | {"status": "succeeded"}),
        ("charge.refund.updated", A_REFUND | {"status": "failed"}),
        ("refund.failed", A_REFUND | {"status": "failed"}),
    ],
)
def test_what_proves_nothing_by_itself_is_a_reason_to_look(kind: str, about: dict[str, Any]) -> None:
    notified = told(an_event(kind, about))
    assert (notified.told, notified.attempt_id, notified.amount_minor) == ("look", ATTEMPT, None)


@pytest.mark.parametrize(
    "metadata", [{}, {"order": "17"}, {"attempt_id": "att_of_another_shop"}, {"burned": ATTEMPT}]
)
def test_what_carries_no_reference_of_ours_is_ignored(metadata: dict[str, str]) -> None:
    body = an_event("payment_intent.succeeded", an_intent(metadata=metadata))
    ignored = IgnoredNotification(kind="payment_intent.succeeded", event_id=EVENT_ID)
    assert reader.read(signed(body, NEW), body, AT) == ignored


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"id":"evt_1"}',
        an_event("a kind with spaces"),
        an_event("payment_intent.succeeded", created=10**15),
        an_event("payment_intent.succeeded", an_intent(id="4242 4242 4242 4242")),
        an_event("payment_intent.succeeded", an_intent(currency="a secret")),
    ],
)
def test_what_is_well_signed_but_no_notification_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        reader.read(signed(body, NEW), body, AT)


# Who says it


@pytest.mark.parametrize("secrets", [[OLD], [NEW], [OLD, NEW], ["whsec_of_the_future", OLD]])
def test_either_secret_signs_while_one_replaces_the_other(secrets: list[str]) -> None:
    body = an_event("payment_intent.succeeded")
    assert isinstance(reader.read(signed(body, *secrets), body, AT), GatewayNotified)


@pytest.mark.parametrize("away_s", [-300, 0, 300])
def test_five_minutes_are_tolerated(away_s: int) -> None:
    body = an_event("payment_intent.succeeded")
    now = AT.replace(microsecond=0)
    notified = reader.read(signed(body, NEW, at_s=AT_S + away_s), body, now)
    assert isinstance(notified, GatewayNotified)


@pytest.mark.parametrize("away_s", [-301, 301])
def test_what_was_signed_at_another_time_is_a_replay(away_s: int) -> None:
    body = an_event("payment_intent.succeeded")
    with pytest.raises(BadSignature):
        reader.read(signed(body, NEW, at_s=AT_S + away_s), body, AT.replace(microsecond=0))


def test_a_body_that_was_changed_is_not_what_was_signed() -> None:
    body = an_event("payment_intent.succeeded")
    with pytest.raises(BadSignature):
        reader.read(signed(body, NEW), body.replace(b"129900", b"999900"), AT)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=",
        f"t={AT_S}",
        f"t={AT_S},v1=",
        f"t={AT_S},v1=é",
        f"t={AT_S},v0={'0' * 64}",
        "t=soon,v1=00",
        "t=²,v1=00",
        f"t={'9' * 400},v1=00",
        ",".join([f"t={AT_S}", *["v1=00"] * 10_000]),
    ],
)
def test_a_header_that_signs_nothing_is_a_bad_signature(header: str) -> None:
    with pytest.raises(BadSignature):
        reader.read({"stripe-signature": header}, an_event("payment_intent.succeeded"), AT)


def test_a_notification_without_the_header_is_a_bad_signature() -> None:
    with pytest.raises(BadSignature):
        reader.read({}, an_event("payment_intent.succeeded"), AT)


def test_nothing_is_signed_where_there_is_no_secret() -> None:
    body = an_event("payment_intent.succeeded")
    with pytest.raises(BadSignature):
        StripeNotifications(GatewayId("stripe"), []).read(signed(body, ""), body, AT)
