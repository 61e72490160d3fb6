"""A treatment that does harm, from the operator's POST to the moment when nobody is treated any more."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from commands.experiment_state import INITIAL, evolve, is_void
from commands.routing.assignment import allocated, bucket_of, variant_of
from infra.kafka.partition import partition_for
from infra.kafka.reader import LogReader
from infra.local.stack import Stack
from infra.memory.experiments import MemoryExperiments
from infra.memory.projections import MemoryDeadLetters
from projections.experiment_intake import ExperimentIntake
from schemas.codec import EXPERIMENTS_TOPIC, PAYMENTS_TOPIC
from schemas.experiment import ExperimentPaused
from schemas.exposure import Tally
from schemas.ids import ExperimentId
from tests.chaos.test_experiments import everywhere
from tests.chaos.test_one_key import new_key
from tests.product import Client, Product, read_records, running

pytestmark = pytest.mark.chaos

MERCHANT = "m_guarded"
PAUSED_WITHIN_S = 90
COUNTED_WITHIN_S = 120
DESIGN = {
    "name": "dead",
    "variants": [
        {"name": "control", "weight": 5_000},
        {
            "name": "dead",
            "weight": 5_000,
            "override": {"order": ["payu"], "retry": {"enabled": False}},
        },
    ],
    "filter": {"merchant_ids": [MERCHANT]},
    "planned_customers": 100_000,
    "planned_days": 7,
    "by": "asha",
}


@pytest.fixture
def product(stack: Stack) -> Iterator[Product]:
    product = Product(stack, stack.folder / "guardrails", apis=2, experiment_analyzers=2)
    with running(product):
        yield product


@pytest.fixture
async def client(product: Product) -> AsyncIterator[Client]:
    client = Client(product)
    for gateway, rate in (("razorpay", 1.0), ("stripe", 1.0), ("payu", 0.0), ("cashfree", 1.0)):
        await client.set_profile(gateway, seed=7, success_rate=rate, latency={"fixed_ms": 5})
    yield client
    await client.close()


async def test_a_dead_treatment_is_paused_by_one_analyzer_and_nobody_is_treated_any_more(
    stack: Stack, product: Product, client: Client
) -> None:
    answer = await client.order("/experiments", DESIGN)
    assert answer.status == 201, answer
    experiment = ExperimentId(answer.body["experiment_id"])
    status: dict[str, Any] = {}
    async with asyncio.timeout(PAUSED_WITHIN_S):
        number = 0
        while (status := (await client.read(f"/experiments/{experiment}")).body)["status"] == "RUNNING":
            await pay(client, f"cust_{number % 80}", number % 2)
            number += 1
    assert status["status"] == "PAUSED", status

    treated = next(one for one in map("cust_{}".format, range(80)) if _variant(experiment, one) == "dead")
    await everywhere(client, experiment, "PAUSED")
    for api in (0, 1):
        routing = (await pay(client, treated, api)).body["routing"]
        assert (routing["experiment"], routing["variant"]) == (None, None)

    results = await counted(stack, client, experiment)
    dead = next(one for one in results["variants"] if one["variant"] == "dead")
    assert dead["any_attempt_success"]["naive"]["estimate"] == 0
    assert results["acted_on"]["figures"]["dead"]["payments"] >= 10
    winner = await client.get(f"/experiments/{experiment}/winner", api=1)
    assert (winner.body["verdict"], winner.body["winner"]) == ("harmful", None)
    assert await pauses_that_count(stack, experiment) == 1


async def pay(client: Client, customer: str, api: int) -> Any:
    answer = await client.pay(new_key(), api=api, merchant_id=MERCHANT, customer_id=customer)
    assert answer.status in (201, 402), answer
    return answer


def _variant(experiment: str, customer: str) -> str | None:
    return variant_of(bucket_of(experiment, customer), allocated({"control": 5_000, "dead": 5_000}))


async def counted(stack: Stack, client: Client, experiment: ExperimentId) -> dict[str, Any]:
    """The results, when they have counted what one fold of the log counts."""
    tallies = await folded(stack, experiment)
    expected = Counter({variant: tally["payments"] for variant, tally in tallies.items()})
    async with asyncio.timeout(COUNTED_WITHIN_S):
        while True:
            results: dict[str, Any] = (await client.get(f"/experiments/{experiment}/results")).body
            if Counter({one["variant"]: one["payments"] for one in results["variants"]}) == expected:
                return results
            await asyncio.sleep(0.1)


async def folded(stack: Stack, experiment: ExperimentId) -> dict[str, Tally]:
    store, reader = MemoryExperiments(), LogReader(stack.env["KAFKA_BOOTSTRAP_SERVERS"])
    intake = ExperimentIntake(PAYMENTS_TOPIC, store, reader, MemoryDeadLetters(), partition_for)
    for partition, end in (await reader.end_offsets(PAYMENTS_TOPIC)).items():
        if end:
            await intake.absorb(await reader.read(PAYMENTS_TOPIC, partition, end - 1, end))
    await reader.stop()
    return (await store.tallies(experiment))[0]


async def pauses_that_count(stack: Stack, experiment: ExperimentId) -> int:
    experiments, pauses = INITIAL, 0
    for record in await read_records(stack, EXPERIMENTS_TOPIC):
        counts = not is_void(experiments, record)  # type: ignore[arg-type]  # of this topic
        pauses += (
            counts and isinstance(record.event, ExperimentPaused) and record.event.experiment_id == experiment
        )
        experiments = evolve(experiments, record)  # type: ignore[arg-type]
    return pauses
