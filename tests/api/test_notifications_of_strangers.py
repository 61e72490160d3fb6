"""Whatever comes to the path of a real gateway's notifications, signed or not, has an answer, and never a 500."""

import asyncio
import copy
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.app import create_app
from infra.gateways.razorpay.notifications import RazorpayNotifications
from infra.gateways.stripe.notifications import StripeNotifications
from schemas.ids import GatewayId
from tests.api.client import Client
from tests.api.stand_ins import ATTEMPT, START, World

SECRET = "whsec_of_a_test"
NOW_S = round(START.timestamp())
RAZORPAY: Any = {
    "event": "payment.captured",
    "payload": {
        "payment": {
            "entity": {
                "id": "pay_1",
                "amount": 1000,
                "currency": "INR",
                "status": "captured",
                "notes": {"attempt_id": ATTEMPT},
                "error_code": None,
                "error_reason": None,
            }
        }
    },
    "created_at": NOW_S,
}
STRIPE: Any = {
    "id": "evt_1",
    "type": "payment_intent.succeeded",
    "created": NOW_S,
    "data": {
        "object": {
            "object": "payment_intent",
            "id": "pi_1",
            "status": "succeeded",
            "metadata": {"attempt_id": ATTEMPT},
            "amount_received": 1000,
            "currency": "inr",
            "last_payment_error": {
                "type": "card_error",
                "code": "card_declined",
                "decline_code": "insufficient_funds",
            },
        }
    },
}
WORDS = [
    "payment.failed",
    "failed",
    "payment_intent.payment_failed",
    "requires_payment_method",
    "usd",
    ATTEMPT,
]

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS)
anything = leaves | st.lists(leaves, max_size=3) | st.dictionaries(st.text(), leaves, max_size=3)


def places(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*path, name)
            yield from places(inner, (*path, name))


def with_changes(of: Any, changes: list[tuple[tuple[str, ...], object]]) -> bytes:
    """The notification with other values, or nothing at all (`...`), in some places."""
    changed = copy.deepcopy(of)
    for path, value in changes:
        holder: Any = changed
        for name in path[:-1]:
            holder = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder.pop(path[-1], None) if value is ... else holder.__setitem__(path[-1], value)
    return json.dumps(changed).encode()


def changed(of: Any) -> st.SearchStrategy[bytes]:
    change = st.tuples(st.sampled_from(list(places(of))), anything | st.just(...))
    return st.builds(with_changes, st.just(of), st.lists(change, max_size=4))


bodies = st.binary(max_size=200) | changed(RAZORPAY) | changed(STRIPE)
signatures = st.none() | st.binary(max_size=80)


def client() -> Client:
    world = World()
    world.notification_readers = {
        "razorpay": RazorpayNotifications(GatewayId("razorpay"), [SECRET]),
        "stripe": StripeNotifications(GatewayId("stripe"), [SECRET]),
    }
    return Client(create_app(world.services()))


def signed(gateway: str, body: bytes) -> tuple[str, str]:
    if gateway == "razorpay":
        return "X-Razorpay-Signature", hmac.digest(SECRET.encode(), body, "sha256").hex()
    signature = hmac.digest(SECRET.encode(), b"%d." % NOW_S + body, "sha256").hex()
    return "Stripe-Signature", f"t={NOW_S},v1={signature}"


@pytest.mark.parametrize("gateway", ["razorpay", "stripe"])
async def test_what_these_tests_change_is_accepted_as_it_is(gateway: str) -> None:
    body = with_changes(RAZORPAY if gateway == "razorpay" else STRIPE, [])
    answer = await client().post(f"/gateway-notifications/{gateway}", [signed(gateway, body)], body)
    assert answer.json == {"status": "accepted"}


@given(gateway=st.sampled_from(["razorpay", "stripe"]), body=bodies)
@settings(max_examples=300, deadline=None)
def test_what_is_signed_is_accepted_ignored_or_unreadable(gateway: str, body: bytes) -> None:
    path = f"/gateway-notifications/{gateway}"
    answer = asyncio.run(client().post(path, [signed(gateway, body)], body))
    assert answer.status in (200, 400), answer


@given(gateway=st.sampled_from(["razorpay", "stripe"]), body=bodies, signature=signatures)
@settings(max_examples=200, deadline=None)
def test_what_is_not_signed_is_refused(gateway: str, body: bytes, signature: bytes | None) -> None:
    name, _ = signed(gateway, body)
    headers = [] if signature is None else [(name, signature)]
    answer = asyncio.run(client().post(f"/gateway-notifications/{gateway}", headers, body))
    assert answer.status == 401, answer
