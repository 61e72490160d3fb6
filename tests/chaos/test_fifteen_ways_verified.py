"""Lines 4 and 5 of `test_fifteen_ways` to their end: what is in doubt is really asked for, and told as it then is."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from infra.local.stack import Stack
from tests.chaos.test_one_key import ALMOST_TOO_LATE_MS, in_the_call, new_key
from tests.product import Answer, Client, Product, running

pytestmark = [pytest.mark.chaos, pytest.mark.safety]

SCHEDULE = "1,3,6,12,24,48,96"
"""Seconds since the attempt's start, instead of the 90 that the first look at a UPI payment waits."""
SETTLED_WITHIN_S = 120


@pytest.fixture(scope="module")
def verifying(stack: Stack, product: Product) -> Iterator[Product]:
    """APIs and a verifier of one schedule; the worker is the other product's."""
    verifying = Product(
        stack,
        stack.folder / "verified",
        apis=2,
        workers=0,
        verifiers=1,
        env={"VERIFICATION_SCHEDULE_UPI": SCHEDULE},
    )
    with running(verifying):
        yield verifying


@pytest.fixture
async def client(verifying: Product) -> AsyncIterator[Client]:
    client = Client(verifying)
    await client.set_profile("razorpay", seed=7, success_rate=1.0, latency={"fixed_ms": 30})
    try:
        yield client
    finally:
        await client.close()


async def in_doubt(client: Client, key: str, fault: str) -> Answer:
    await client.set_profile("razorpay", seed=7, success_rate=1.0, faults=[{"kind": fault}])
    pending = await client.pay(key)
    assert (pending.status, pending.body["status"]) == (202, "PENDING_VERIFICATION")
    await client.set_profile("razorpay", seed=7, success_rate=1.0)  # it answers again
    return pending


async def settled(client: Client, key: str) -> Answer:
    """Until it is, every replay says that it is pending, or that somebody is at it."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while (again := await client.pay(key, api=1)).status in (202, 409):
        assert time.monotonic() < deadline, again
        assert again.status == 409 or again.body["status"] == "PENDING_VERIFICATION"
        await asyncio.sleep(0.5)
    return again


async def captured(client: Client, payment_id: str) -> int:
    ours = "att_" + payment_id[4:]
    charges = [charge for charge in await client.ledger() if charge["reference"].startswith(ours)]
    return sum(charge["status"] == "captured" for charge in charges)


async def test_4_a_replay_says_pending_and_then_that_it_was_charged(client: Client) -> None:
    key = new_key()
    pending = await in_doubt(client, key, "effect_then_timeout")
    again = await settled(client, key)
    assert (again.status, again.body["status"], again.payment_id) == (201, "SUCCESS", pending.payment_id)
    assert await captured(client, pending.payment_id) == 1


async def test_5_what_never_reached_the_gateway_is_asked_for_and_then_said_to_have_failed(
    client: Client,
) -> None:
    key = new_key()
    pending = await in_doubt(client, key, "timeout_before_effect")
    again = await settled(client, key)
    assert (again.status, again.body["status"], again.payment_id) == (402, "FAILURE", pending.payment_id)
    told = await client.get(f"/payments/{pending.payment_id}/events")
    types = [record["event"]["type"] for record in told.body["events"]]
    assert (
        types.index("PaymentTakenOver") < types.index("VerificationPerformed") < types.index("PaymentFailed")
    )
    assert await captured(client, pending.payment_id) == 0


async def test_5_a_payment_whose_api_was_killed_in_the_call_is_settled_as_its_gateway_says(
    verifying: Product, client: Client
) -> None:
    key = new_key()
    post = await in_the_call(client, key, ALMOST_TOO_LATE_MS)
    verifying.api.kill()
    assert (await post).status == 0
    await verifying.api.start()
    again = await settled(client, key)
    assert (again.status, again.body["status"]) == (201, "SUCCESS")
    assert await captured(client, again.payment_id) == 1
    await verifying.api.wait_ready()
