"""Whatever comes to the path of a real gateway's notifications, signed or not, has an answer, and never a 500."""

import asyncio
import hmac

import msgspec
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
NAMES = [
    *(
        "event",
        "payload",
        "payment",
        "entity",
        "notes",
        "attempt_id",
        "created_at",
        "error_code",
        "error_reason",
    ),
    *("type", "data", "object", "metadata", "created", "last_payment_error", "amount_received"),
    *("id", "status", "amount", "currency", "method"),
]
WORDS = (
    "payment.captured",
    "captured",
    "payment_intent.succeeded",
    "succeeded",
    "failed",
    "INR",
    "inr",
    ATTEMPT,
)

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
)
payments = st.fixed_dictionaries(
    {"id": leaves, "status": leaves, "notes": st.just({"attempt_id": ATTEMPT}) | anything}
)
razorpays = st.fixed_dictionaries(
    {"event": st.sampled_from(WORDS) | leaves},
    optional={
        "created_at": leaves,
        "payload": st.fixed_dictionaries({"payment": st.fixed_dictionaries({"entity": payments | anything})}),
    },
)
stripes = st.fixed_dictionaries(
    {
        "id": st.just("evt_1") | leaves,
        "type": st.sampled_from(WORDS) | leaves,
        "created": st.integers(),
        "data": st.fixed_dictionaries(
            {
                "object": st.fixed_dictionaries(
                    {"object": leaves, "metadata": st.just({"attempt_id": ATTEMPT})}
                )
            }
        ),
    }
)
bodies = st.binary(max_size=200) | (anything | razorpays | stripes).map(msgspec.json.encode)
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
