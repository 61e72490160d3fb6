"""Experiments that operators lead at two processes: who is in which variant is the same everywhere, and stays so."""

import asyncio
from collections.abc import AsyncIterator
from itertools import cycle
from typing import Any

import pytest

from commands.routing.assignment import allocated, bucket_of, variant_of
from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from infra.local.stack import Stack
from schemas.codec import EXPERIMENTS_TOPIC, encode
from schemas.envelope import Outgoing, unowned
from schemas.experiment import ExperimentStopped
from schemas.ids import ExperimentId, is_customer_token
from schemas.payment import ExperimentAssigned, PaymentRequested
from tests.chaos.test_one_key import new_key
from tests.product import Answer, Client, Product, read_topic
from tests.waiting import ACKNOWLEDGED_WITHIN_MS, is_once_within, until

pytestmark = pytest.mark.chaos

IN_FORCE_WITHIN_S = 0.5
MERCHANT = "m_experiments"
CUSTOMERS = [f"cust_{number}" for number in range(12)]
GATEWAYS = {"control": "razorpay", "payu-first": "payu"}
DESIGN = {
    "name": "payu first",
    "variants": [
        {"name": "control", "weight": 5_000},
        {"name": "payu-first", "weight": 5_000, "override": {"order": ["payu"]}},
    ],
    "filter": {"merchant_ids": [MERCHANT]},
    "planned_customers": 1_000,
    "planned_days": 7,
    "by": "asha",
}
Seen = dict[str, tuple[str | None, str | None, str]]
"""By customer: the experiment, the variant, and the gateway."""


@pytest.fixture
async def experiment(client: Client) -> AsyncIterator[str]:
    answer = await client.order("/experiments", DESIGN)
    assert answer.status == 201, answer
    experiment = str(answer.body["experiment_id"])
    await everywhere(client, experiment, "RUNNING")
    yield experiment
    assert (await client.order(f"/experiments/{experiment}/stop")).status == 200
    await everywhere(client, experiment, "STOPPED")


async def everywhere(client: Client, experiment: str, status: str) -> None:
    async def is_so() -> bool:
        told = [await client.read(f"/experiments/{experiment}", api=api) for api in (0, 1)]
        return {answer.body.get("status") for answer in told} == {status}

    await until(is_so)


async def pay(client: Client, customer: str, api: int) -> Answer:
    answer = await client.pay(new_key(), api=api, merchant_id=MERCHANT, customer_id=customer)
    assert answer.status == 201, answer
    return answer


async def seen(client: Client, api: int) -> Seen:
    answers = await asyncio.gather(*(pay(client, customer, api) for customer in CUSTOMERS))
    return {
        customer: (
            answer.body["routing"]["experiment"],
            answer.body["routing"]["variant"],
            answer.body["gateway"],
        )
        for customer, answer in zip(CUSTOMERS, answers, strict=True)
    }


def expected(experiment: str) -> Seen:
    """As anybody can compute it from the documentation."""
    allocation = allocated({"control": 5_000, "payu-first": 5_000})
    variants = {one: variant_of(bucket_of(experiment, one), allocation) for one in CUSTOMERS}
    return {one: (experiment, variant, GATEWAYS[str(variant)]) for one, variant in variants.items()}


NOBODY: Seen = dict.fromkeys(CUSTOMERS, (None, None, "razorpay"))


async def test_a_customer_has_the_same_variant_at_every_process_and_the_log_says_so(
    stack: Stack, client: Client, experiment: str
) -> None:
    assert await seen(client, 0) == await seen(client, 1) == expected(experiment)
    paid = await pay(client, CUSTOMERS[0], 1)
    decision = await client.get(f"/payments/{paid.payment_id}/routing-decision")
    _, variant, _ = expected(experiment)[CUSTOMERS[0]]
    assert (decision.body["experiment"], decision.body["variant"]) == (experiment, variant)
    events = [record.event for record in (await read_topic(stack))[paid.payment_id]]
    assert [type(event).__name__ for event in events[:3]] == [
        "PaymentRequested",
        "ExperimentAssigned",
        "PaymentRouted",
    ]
    requested, assigned = events[:2]
    assert isinstance(requested, PaymentRequested)
    assert is_customer_token(requested.order.customer_id)
    assert assigned == ExperimentAssigned(
        experiment_id=experiment,
        variant=str(variant),
        treatment=variant != "control",
        customer_id=requested.order.customer_id,
    )


async def test_when_it_is_paused_no_process_routes_by_it_and_resumed_everybody_is_where_they_were(
    client: Client, experiment: str
) -> None:
    assert (await client.order(f"/experiments/{experiment}/pause")).status == 200
    await everywhere(client, experiment, "PAUSED")
    assert await seen(client, 0) == await seen(client, 1) == NOBODY
    assert (await client.order(f"/experiments/{experiment}/resume", api=1)).status == 200
    await everywhere(client, experiment, "RUNNING")
    assert await seen(client, 0) == await seen(client, 1) == expected(experiment)


async def test_what_is_ordered_at_one_process_is_in_force_at_the_other_half_a_second_later(
    client: Client, experiment: str
) -> None:
    orders = cycle((("pause", "PAUSED"), ("resume", "RUNNING")))
    status = "RUNNING"

    async def ordered() -> None:
        nonlocal status
        order, status = next(orders)
        assert (await client.order(f"/experiments/{experiment}/{order}")).status == 200

    async def is_in_force() -> None:
        await everywhere(client, experiment, status)

    await is_once_within(IN_FORCE_WITHIN_S, is_in_force, before=ordered)


async def test_a_payment_that_no_variant_routes_otherwise_is_in_no_experiment(
    client: Client, experiment: str
) -> None:
    other = await client.pay(new_key(), customer_id=CUSTOMERS[0])
    assert (other.status, other.body["routing"]["experiment"]) == (201, None)


async def test_a_process_that_was_killed_knows_everybodys_variant_again(
    product: Product, client: Client, experiment: str
) -> None:
    product.api.kill()
    await product.api.start()
    await product.api.wait_ready()
    assert await seen(client, 0) == expected(experiment)


async def test_what_is_started_at_two_processes_at_once_is_one_experiment(
    client: Client, experiment: str
) -> None:
    """Also where it is the same POST again, whose first answer was lost."""
    again = await client.order("/experiments", DESIGN, api=1)
    assert (again.status, again.body["experiment_id"]) == (200, experiment)
    for turn in range(10):
        design = {**DESIGN, "name": f"turn {turn}"}
        one, other = await asyncio.gather(*(client.order("/experiments", design, api=api) for api in (0, 1)))
        assert sorted([one.status, other.status]) == [200, 201], (one, other)
        assert one.body == other.body
        stopped = await asyncio.gather(
            *(client.order(f"/experiments/{one.body['experiment_id']}/stop", api=api) for api in (0, 1))
        )
        assert [answer.body["status"] for answer in stopped] == ["STOPPED", "STOPPED"]


async def test_a_design_of_a_newer_version_routes_nobody_and_readiness_says_so(
    stack: Stack, client: Client
) -> None:
    newer = ExperimentId("exp_of_a_newer_version")
    publisher = Publisher(stack.env["KAFKA_BOOTSTRAP_SERVERS"], ACKNOWLEDGED_WITHIN_MS)
    await publisher.start()
    stopped = ExperimentStopped(experiment_id=newer, by="asha", note="")
    envelope = unowned("evt_newer", newer, SystemClock().now())
    value, headers = encode(Outgoing(envelope=envelope, event=stopped))
    started = b"""{"type":"ExperimentStarted","experiment_id":"exp_of_a_newer_version","by":"asha","note":"",
        "salt":"exp_of_a_newer_version","allocation":[{"variant":"a","first":0,"end":10000}],
        "design":{"name":"newer","variants":[{"name":"a","weight":10000,"override":{"moon":1}}]}}"""
    try:
        await publisher.publish(EXPERIMENTS_TOPIC, 0, [(newer.encode(), started, headers)])
        for api in (0, 1):
            assert newer in (await told(client, api, ok=False))["detail"]
            assert (await client.pay(new_key(), api=api)).body["routing"]["experiment"] is None
    finally:
        await publisher.publish(EXPERIMENTS_TOPIC, 0, [(newer.encode(), value, headers)])
        await publisher.stop()
    for api in (0, 1):
        await told(client, api, ok=True)


async def told(client: Client, api: int, *, ok: bool) -> dict[str, Any]:
    """What readiness says of experiments, when it says so."""
    async with asyncio.timeout(60):
        while True:
            dependencies = (await client.get("/ops/readiness", api=api)).body["dependencies"]
            state: dict[str, Any] = next(one for one in dependencies if one["name"] == "experiments")
            if state["ok"] is ok:
                return state
            await asyncio.sleep(0.05)
