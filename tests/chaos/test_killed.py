"""`kill -9`, SIGSTOP and outages in the middle of load: nothing acknowledged is lost, nothing is charged twice."""

import asyncio
import time

import pytest

from infra.local.servers import Server
from projections.payments import evolve
from schemas.payment import AttemptStarted
from schemas.views import PaymentHistory
from tests.chaos.load import Load, assert_nothing_is_lost_or_charged_twice
from tests.chaos.test_one_key import ALMOST_TOO_LATE_MS, charges_of, in_the_call, new_key
from tests.product import WINDOW_S, Answer, Client, Product, plain, read_topic
from tests.waiting import HANGS_AFTER_S

pytestmark = [pytest.mark.chaos, pytest.mark.safety]

OUTAGE_S = 8
ANSWER_BOUND_S = 12
"""No request may take longer, whatever is away: reservation, appends and the gateway call are each bounded."""


async def pay_until(client: Client, status: int, seconds: float) -> Answer:
    """Try new payments until one is answered so."""
    deadline = time.monotonic() + seconds
    while (answer := await client.pay(new_key())).status != status:
        assert time.monotonic() < deadline, f"no {status} within {seconds} s, last was {answer}"
        await asyncio.sleep(0.1)
    return answer


async def test_an_api_that_is_killed_loses_no_acknowledged_payment(product: Product, client: Client) -> None:
    async with Load(client) as load:
        await asyncio.sleep(2)
        product.api.kill()
        await asyncio.sleep(0.5)
        await product.api.start()
        await product.api.wait_ready()
        await asyncio.sleep(2)
    assert load.statuses[201] > 100
    await assert_nothing_is_lost_or_charged_twice(product.stack, client, load)


async def test_a_payment_whose_api_was_killed_in_the_call_is_pending_and_not_charged_again(
    product: Product, client: Client
) -> None:
    key = new_key()
    post = await in_the_call(client, key, ALMOST_TOO_LATE_MS)
    product.api.kill()
    assert (await post).status == 0
    assert (await client.pay(key, api=1)).status == 409
    await product.api.start()
    await asyncio.sleep(WINDOW_S + 1)
    again = await client.pay(key, api=1)
    assert (again.status, again.body["status"]) == (202, "PENDING_VERIFICATION")
    assert len(await charges_of(client, again.payment_id)) == 1
    await product.api.wait_ready()


async def test_a_worker_that_is_killed_misses_nothing(product: Product, client: Client) -> None:
    async with Load(client) as load:
        await asyncio.sleep(2)
        product.worker.kill()
        await asyncio.sleep(1)
        await product.worker.start()
        await asyncio.sleep(3)
    await assert_nothing_is_lost_or_charged_twice(product.stack, client, load)
    await assert_reads_equal_a_fold_of_the_topic(product, client, load)


async def test_workers_that_come_go_and_die_share_the_partitions_and_miss_nothing(
    product: Product, client: Client
) -> None:
    others = [product.another_worker(), product.another_worker()]
    try:
        async with Load(client) as load:
            for worker in others:
                await worker.start()
                await worker.wait_ready()
                await asyncio.sleep(2)
            others[0].kill()
            await asyncio.sleep(9)  # longer than its session: its partitions move
            await others[1].stop()
            await asyncio.sleep(3)
    finally:
        for worker in others:
            await worker.stop()
    await assert_nothing_is_lost_or_charged_twice(product.stack, client, load)
    await assert_reads_equal_a_fold_of_the_topic(product, client, load)


async def assert_reads_equal_a_fold_of_the_topic(product: Product, client: Client, load: Load) -> None:
    topic = await read_topic(product.stack)
    for answer in load.with_status(201)[:100]:
        history: PaymentHistory | None = None
        for record in topic[answer.payment_id]:
            history = evolve(history, record)
        assert history is not None
        read = await projected(client, answer)
        assert read.body["status"] == history.payment.status
        assert read.body["updated_at"] == plain(history.payment.updated_at)
        attempts = await client.get(f"/payments/{answer.payment_id}/attempts")
        assert [a["attempt_id"] for a in attempts.body["attempts"]] == [
            a.attempt_id for a in history.attempts
        ]


async def projected(client: Client, answer: Answer) -> Answer:
    """Until the projection has come so far a payment is read from the log."""
    async with asyncio.timeout(HANGS_AFTER_S):
        while True:
            read = await client.get(
                f"/payments/{answer.payment_id}", Consistency_Token=answer.headers["Consistency-Token"]
            )
            assert read.status == 200, read
            if read.headers["X-Read-Source"] == "projection":
                return read
            await asyncio.sleep(0.1)


async def outage(product: Product, client: Client, server: Server, *, pause: bool) -> Load:
    """Load, with the server stopped or standing still in the middle; every answer comes in bounded time."""
    async with Load(client, per_second=30) as load:
        await asyncio.sleep(1)
        if pause:
            server.pause()
        else:
            server.kill()
        await asyncio.sleep(2.5)
        begun = time.monotonic()
        refused = await client.pay(new_key())
        assert refused.status == 503, refused
        assert "Retry-After" in refused.headers
        assert time.monotonic() - begun < ANSWER_BOUND_S
        begun = time.monotonic()
        readiness = await client.get("/ops/readiness")
        assert readiness.status == 503
        await client.get("/ops/lag")
        assert time.monotonic() - begun < ANSWER_BOUND_S
        assert (await client.get("/ops/liveness")).status == 200
        await asyncio.sleep(OUTAGE_S - 2.5)
        if pause:
            server.resume()
        else:
            await server.start()
            await server.wait_ready()
        await pay_until(client, 201, 40)
        await product.worker.wait_ready()
    assert 0 not in load.statuses, load.statuses
    await product.api.wait_ready()
    await assert_nothing_is_lost_or_charged_twice(product.stack, client, load)
    return load


async def test_kafka_killed_under_load(product: Product, client: Client) -> None:
    await outage(product, client, product.stack.kafka, pause=False)


async def test_kafka_standing_still_under_load(product: Product, client: Client) -> None:
    await outage(product, client, product.stack.kafka, pause=True)


async def test_postgres_killed_under_load(product: Product, client: Client) -> None:
    await outage(product, client, product.stack.postgres, pause=False)


async def test_postgres_standing_still_under_load(product: Product, client: Client) -> None:
    await outage(product, client, product.stack.postgres, pause=True)


async def test_payments_go_on_without_redis(product: Product, client: Client) -> None:
    product.stack.redis.kill()
    try:
        assert (await client.pay(new_key())).status == 201
        assert (await client.get("/ops/readiness")).status == 200
    finally:
        await product.stack.redis.start()
        await product.stack.redis.wait_ready()


async def test_an_api_that_slept_past_its_window_contacts_nobody_and_writes_nothing_that_counts(
    product: Product, client: Client
) -> None:
    await client.set_profile("razorpay", seed=7, success_rate=1.0, latency={"fixed_ms": 300})
    async with Load(client, per_second=80) as load:
        await asyncio.sleep(1)
        product.api.pause()
        await asyncio.sleep(3)  # whatever was in a call has been charged by now
        asleep = len(await client.ledger())
        await asyncio.sleep(WINDOW_S - 2)
        product.api.resume()
        woken = time.time() * 1000
        await asyncio.sleep(1)
    topic, ledger = await read_topic(product.stack), await client.ledger()
    for records in topic.values():
        owned = [r for r in records if not r.is_void and isinstance(r.event, AttemptStarted)]
        for record in records:
            if record.stamp_ms >= woken and owned and owned[0].stamp_ms < woken - (WINDOW_S + 0.5) * 1000:
                assert record.is_void, record
    after = {charge["reference"] for charge in ledger[asleep:]}
    for records in topic.values():
        for record in records:
            if isinstance(record.event, AttemptStarted) and record.stamp_ms < woken - (WINDOW_S + 0.5) * 1000:
                assert record.event.attempt_id not in after
    await assert_nothing_is_lost_or_charged_twice(product.stack, client, load)


async def test_a_drained_api_cuts_no_payment(product: Product, client: Client) -> None:
    await asyncio.gather(*(client.pay(new_key()) for _ in range(20)))  # connections are there by then
    await client.set_profile("razorpay", seed=7, success_rate=1.0, latency={"fixed_ms": 700})
    before = (await client.ledger_summary())["requests"]
    posts = [asyncio.create_task(client.pay(new_key())) for _ in range(20)]
    await client.at_the_gateways(before + 20)
    await product.api.stop()
    answers = await asyncio.gather(*posts)
    await product.api.start()
    await product.api.wait_ready()
    for answer in answers:
        if answer.status != 201:
            await assert_it_ran_out_of_time(client, answer)
    assert 201 in [answer.status for answer in answers]


async def assert_it_ran_out_of_time(client: Client, answer: Answer) -> None:
    """As it would have without a drain, where the machine takes most of the budget before the call."""
    assert answer.status == 202, answer
    read = await client.get(f"/payments/{answer.payment_id}/attempts")
    assert [attempt["detail"] for attempt in read.body["attempts"]] == ["read_timeout"], read
