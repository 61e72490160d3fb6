"""Fifteen ways in which a payment router charges twice or forgets a charge, and where each is proven not to be ours.

1. Fifty posts of one key at once charge fifty times.
   `test_one_key.test_fifty_posts_at_once_over_two_processes_are_one_charge`
2. Two bodies under one key at once are both charged.
   `test_one_key.test_two_bodies_under_one_key_are_one_charge_and_a_refusal`
3. A replay is another payment, or another body is taken for one.
   `test_one_key.test_a_replay_tells_the_same_result_at_every_process`, and below
4. The replay of a payment in doubt says FAILURE.
   `test_one_key.test_a_timed_out_payment_is_pending_and_its_replay_says_pending_too`, and to its end in
   `test_fifteen_ways_verified`
5. What is pending is never asked for, and given up.
   `test_fifteen_ways_verified`, and below
6. `kill -9` or SIGTERM in the call forgets the charge.
   `test_killed.test_a_payment_whose_api_was_killed_in_the_call_is_pending_and_not_charged_again`,
   `test_killed.test_a_drained_api_cuts_no_payment`
7. A client that hangs up cancels the payment after its charge.
   `test_one_key.test_a_client_that_hangs_up_changes_nothing`
8. Redis dies or stands still in the call: the charge is forgotten, or nobody is answered.
   `test_killed.test_payments_go_on_without_redis`, and below
9. Postgres dies in the call: the charge is forgotten, or everybody waits half a minute.
   `test_killed.test_postgres_killed_under_load`, `..._standing_still_under_load`, and below
10. An event stays in an outbox for ever.
    There is no outbox: what the log did not acknowledge is not told as certain (below), and what it did is projected
    after any outage (`tests/streams/test_projection_worker.py`).
11. A connection that breaks, or a 500, after the charge is retried at another gateway.
    `test_one_key.test_no_unreadable_or_broken_answer_is_taken_for_a_result`
12. A timeout is retried elsewhere; a payment that failed everywhere is forgotten, and charged by its replay. Below.
13. Any 2xx is a success.
    `test_one_key.test_no_unreadable_or_broken_answer_is_taken_for_a_result`
14. A slow receiver of webhooks uses up the payment's budget.
    A payment waits for its log, its row and its gateways, and for nobody else: below, with every consumer away.
15. What circuits know is lost with Redis, or invented without it. No payment depends on Redis: 8.
"""

import asyncio

import pytest

from infra.local.servers import Server
from tests.chaos.test_killed import pay_until
from tests.chaos.test_one_key import ALMOST_TOO_LATE_MS, charges_of, in_the_call, new_key
from tests.product import WINDOW_S, Answer, Client, Product
from tests.waiting import is_once_within

pytestmark = [pytest.mark.chaos, pytest.mark.safety]

GATEWAYS = ("razorpay", "stripe", "payu", "cashfree")
BOUND_S = 8
"""No answer takes longer, whatever dies meanwhile: three appends and a call, each bounded."""


async def is_back(server: Server) -> None:
    await server.start()
    await server.wait_ready()


async def assert_told_again(client: Client, key: str, first: Answer) -> None:
    """At every process, of the one charge that was made."""
    for api in (0, 1):
        again = await client.pay(key, api=api)
        assert (again.status, again.headers.get("Idempotent-Replayed")) == (first.status, "true"), again
        assert again.payment_id == first.payment_id
    assert len(await charges_of(client, first.payment_id)) == 1


async def test_3_a_key_that_was_paid_with_one_body_is_refused_with_another(client: Client) -> None:
    key = new_key()
    paid = await client.pay(key)
    for api, change in ((0, {"amount_minor": 1001}), (1, {"customer_id": "cust_002"})):
        refused = await client.pay(key, api=api, **change)
        assert (refused.status, refused.body["type"]) == (422, "/problems/idempotency-key-reused")
    await assert_told_again(client, key, paid)


async def test_5_a_payment_in_doubt_is_never_given_up_for_failed(client: Client) -> None:
    await client.set_profile("razorpay", seed=7, success_rate=1.0, faults=[{"kind": "effect_then_timeout"}])
    key = new_key()
    pending = await client.pay(key)
    assert (pending.status, pending.body["status"]) == (202, "PENDING_VERIFICATION")
    await asyncio.sleep(WINDOW_S + 2)  # when somebody else may own it
    await assert_told_again(client, key, pending)
    read = await client.get(f"/payments/{pending.payment_id}", api=1)
    assert read.body["status"] == "PENDING_VERIFICATION"


async def test_8_redis_that_dies_in_the_call_forgets_no_charge(product: Product, client: Client) -> None:
    key = new_key()
    post = await in_the_call(client, key)
    product.stack.redis.kill()
    try:
        paid = await post
        assert paid.status == 201
        await assert_told_again(client, key, paid)
    finally:
        await is_back(product.stack.redis)


async def test_8_redis_that_stands_still_keeps_nobody_waiting(product: Product, client: Client) -> None:
    async def all_are_answered() -> None:
        assert (await client.pay(new_key())).status == 201
        for path in ("/ops/liveness", "/ops/readiness", "/ops/lag"):
            assert (await client.get(path)).status == 200

    product.stack.redis.pause()
    try:
        await is_once_within(2, all_are_answered)
    finally:
        product.stack.redis.resume()


@pytest.mark.parametrize("pause", [False, True], ids=["killed", "standing still"])
async def test_9_postgres_that_leaves_in_the_call_forgets_no_charge(
    product: Product, client: Client, pause: bool
) -> None:
    key = new_key()
    post = await in_the_call(client, key)
    postgres = product.stack.postgres
    try:
        postgres.pause() if pause else postgres.kill()
        paid = await post
        assert paid.status == 201
        assert (await client.pay(key, timeout_s=BOUND_S)).status == 503
    finally:
        postgres.resume() if pause else await is_back(postgres)
    await pay_until(client, 201, 30)
    await assert_told_again(client, key, paid)


async def test_10_a_charge_whose_outcome_the_log_does_not_take_is_pending_and_never_made_again(
    product: Product, client: Client
) -> None:
    key = new_key()
    post = await in_the_call(client, key, ALMOST_TOO_LATE_MS)
    product.stack.kafka.kill()
    try:
        pending = await post
        assert (pending.status, pending.body["status"]) == (202, "PENDING_VERIFICATION")
    finally:
        await is_back(product.stack.kafka)
    await pay_until(client, 201, 40)
    await asyncio.sleep(WINDOW_S + 2)  # nobody handed it over
    await assert_told_again(client, key, pending)


async def test_12_a_payment_that_failed_everywhere_is_kept_and_its_replay_tries_nobody(
    client: Client,
) -> None:
    for gateway in GATEWAYS:
        await client.set_profile(gateway, seed=7, capacity=0, latency={"fixed_ms": 5})
    key = new_key()
    failed = await client.pay(key)
    assert (failed.status, failed.body["status"], failed.body["attempts"]) == (402, "FAILURE", 3)
    for gateway in GATEWAYS:
        await client.set_profile(gateway, seed=7, success_rate=1.0, latency={"fixed_ms": 5})
    for api in (0, 1):
        again = await client.pay(key, api=api)
        assert (again.status, again.body) == (402, failed.body)
    read = await client.get(f"/payments/{failed.payment_id}")
    assert (read.status, read.body["status"]) == (200, "FAILURE")
    assert await charges_of(client, failed.payment_id) == []


@pytest.mark.parametrize("fault", ["effect_then_timeout", "timeout_before_effect"])
async def test_12_a_timeout_at_the_second_gateway_is_not_retried_at_the_third(
    client: Client, fault: str
) -> None:
    await client.set_profile("razorpay", seed=7, capacity=0, latency={"fixed_ms": 5})
    await client.set_profile("stripe", seed=7, success_rate=1.0, faults=[{"kind": fault}])
    key = new_key()
    pending = await client.pay(key)
    assert (pending.status, pending.body["attempts"]) == (202, 2)
    again = await client.pay(key, api=1)
    assert (again.status, again.body["attempts"]) == (202, 2)
    charges = await charges_of(client, pending.payment_id)
    assert len(charges) == (1 if fault == "effect_then_timeout" else 0)


async def test_14_no_payment_waits_for_those_who_only_read_the_log(product: Product, client: Client) -> None:
    for worker in product.workers:
        worker.pause()
    try:
        answers = await asyncio.gather(*(client.pay(new_key(), api=n % 2) for n in range(20)))
        assert {answer.status for answer in answers} == {201}
    finally:
        for worker in product.workers:
            worker.resume()
        await product.worker.wait_ready()
