"""One idempotency key, asked in every unfortunate way: one payment, one charge."""

import asyncio
import uuid

import pytest

from tests.product import Answer, Client, Product

pytestmark = [pytest.mark.chaos, pytest.mark.safety]


def new_key() -> str:
    return f"key-{uuid.uuid4()}"


async def charges_of(client: Client, payment_id: str) -> list[str]:
    ledger = await client.ledger()
    return [c["reference"] for c in ledger if c["reference"].startswith("att_" + payment_id[4:])]


IN_TIME_MS, ALMOST_TOO_LATE_MS = 900, 2_400
"""Of the 2.5 s that a gateway has: a stall makes the first not too late, and lets the second not answer too early."""


async def in_the_call(client: Client, key: str, takes_ms: int = IN_TIME_MS) -> "asyncio.Task[Answer]":
    """A payment that its gateway is charging just now."""
    await client.set_profile("razorpay", seed=7, success_rate=1.0, latency={"fixed_ms": takes_ms})
    before = (await client.ledger_summary())["requests"]
    post = asyncio.create_task(client.pay(key))
    await client.at_the_gateways(before + 1)
    return post


async def test_fifty_posts_at_once_over_two_processes_are_one_charge(client: Client) -> None:
    key = new_key()
    answers = await asyncio.gather(*(client.pay(key, api=n % 2) for n in range(50)))
    first = [
        answer for answer in answers if answer.status == 201 and "Idempotent-Replayed" not in answer.headers
    ]
    assert len(first) == 1
    assert {answer.status for answer in answers} <= {201, 409}
    assert {a.payment_id for a in answers if a.status == 201} == {first[0].payment_id}
    assert all("Retry-After" in answer.headers for answer in answers if answer.status == 409)
    assert len(await charges_of(client, first[0].payment_id)) == 1


async def test_two_bodies_under_one_key_are_one_charge_and_a_refusal(client: Client) -> None:
    key = new_key()
    one, other = await asyncio.gather(client.pay(key), client.pay(key, api=1, amount_minor=2000))
    assert sorted([one.status, other.status]) == [201, 422]
    paid = one if one.status == 201 else other
    assert len(await charges_of(client, paid.payment_id)) == 1


async def test_a_replay_tells_the_same_result_at_every_process(client: Client) -> None:
    key = new_key()
    first = await client.pay(key)
    for api in (0, 1):
        again = await client.pay(key, api=api)
        assert (again.status, again.headers.get("Idempotent-Replayed")) == (201, "true")
        assert again.body == first.body


async def test_a_timed_out_payment_is_pending_and_its_replay_says_pending_too(client: Client) -> None:
    await client.set_profile(
        "razorpay",
        seed=7,
        success_rate=1.0,
        faults=[{"kind": "effect_then_timeout"}],
        latency={"fixed_ms": 5},
    )
    key = new_key()
    first = await client.pay(key)
    assert (first.status, first.body["status"]) == (202, "PENDING_VERIFICATION")
    again = await client.pay(key, api=1)
    assert (again.status, again.body["status"]) == (202, "PENDING_VERIFICATION")
    assert again.payment_id == first.payment_id
    assert len(await charges_of(client, first.payment_id)) == 1


async def test_no_unreadable_or_broken_answer_is_taken_for_a_result(client: Client) -> None:
    """Each is charged or may be: in doubt, never retried elsewhere, never told as a success or a failure."""
    for fault in (
        "effect_then_500",
        "error_500_before_effect",
        "effect_then_reset",
        "reset_before_effect",
        "garbage_body",
        "truncated_body",
        "empty_200",
        "wrong_amount",
        "unavailable_503_before_effect",
        "slow_drip",
    ):
        await client.set_profile(
            "razorpay", seed=7, success_rate=1.0, faults=[{"kind": fault}], latency={"fixed_ms": 5}
        )
        answer = await client.pay(new_key())
        assert (answer.status, answer.body["status"]) == (202, "PENDING_VERIFICATION"), (fault, answer)
        assert answer.body["attempts"] == 1, fault
        assert len(await charges_of(client, answer.payment_id)) <= 1, fault


async def test_a_client_that_hangs_up_changes_nothing(client: Client) -> None:
    key = new_key()
    hangs_up = await in_the_call(client, key)
    hangs_up.cancel()
    while (again := await client.pay(key, api=1)).status == 409:  # noqa: ASYNC110  # asked, not told
        await asyncio.sleep(0.1)
    assert (again.status, again.headers.get("Idempotent-Replayed")) == (201, "true")
    assert len(await charges_of(client, again.payment_id)) == 1


async def test_an_unreachable_gateway_is_passed_over_for_the_next(product: Product, client: Client) -> None:
    await client.set_profile("razorpay", seed=7, success_rate=1.0, capacity=0, latency={"fixed_ms": 5})
    answer = await client.pay(new_key())
    assert (answer.status, answer.body["gateway"], answer.body["attempts"]) == (201, "stripe", 2)
    attempts = await client.get(f"/payments/{answer.payment_id}/attempts")
    assert [attempt["status"] for attempt in attempts.body["attempts"]] == ["DECLINED", "SUCCEEDED"]
