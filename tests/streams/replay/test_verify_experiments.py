"""Experiments' sums that are what the log says are found to be, and every sum that is not is named."""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from itertools import count
from urllib.parse import urlsplit

import pytest

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.postgres.experiments import PostgresExperiments
from infra.postgres.migrate import migrate
from infra.settings import Settings
from projections.experiment_intake import ExperimentIntake
from schemas.codec import EXPERIMENTS_TOPIC, PAYMENTS_TOPIC, encode
from schemas.envelope import Outgoing, unowned
from schemas.experiment import ExperimentStopped
from schemas.ids import ExperimentId
from streams.dead_letters import KafkaDeadLetters
from streams.replay.verify_experiments import stored_sums, verify_experiments
from streams.replay.verify_stores import Compared
from tests.bench.history import messages_of
from tests.commands.test_experiment import started as experiment_started
from tests.projections.exposed import FATES, assigned
from tests.projections.story import renamed, requested, routed, started
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

pytestmark = pytest.mark.integration
_numbers = count(1)


class World:
    """An experiment of this test's own, on the topic of all, counted into a database of its own."""

    def __init__(self, stack: Stack) -> None:
        name = f"summed_{os.getpid()}_{next(_numbers)}"
        url = str(urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{name}").geturl())
        self.settings = Settings.from_environment({**stack.env, "DATABASE_URL": url})
        self.clock = SystemClock()
        self.experiment = ExperimentId(f"exp_{self.clock.payment_id()[4:]}")
        self._chance = random.Random(1)

    async def open(self) -> None:
        await make_topics(self.settings)
        await migrate(self.settings.database_url)
        self.publisher = Publisher(self.settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
        await self.publisher.start()
        self.reader = LogReader(self.settings.kafka_bootstrap_servers)
        self.database = await Database.connect(self.settings.database_url)
        self.store = PostgresExperiments(self.database)
        letters = KafkaDeadLetters(self.publisher, self.settings.experiment_consumer_group)
        self.intake = ExperimentIntake(PAYMENTS_TOPIC, self.store, self.reader, letters, partition_for)

    async def close(self) -> None:
        await self.publisher.stop()
        await self.reader.stop()
        await self.database.close()

    async def pay(self, payments: int, customer: str = "") -> None:
        """Of few customers, so that each has payments in several partitions."""
        for _ in range(payments):
            payment = self.clock.payment_id()
            variant = self._chance.choice(("control", "treatment"))
            exposed = assigned(
                variant, customer or f"cus_{variant}_{self._chance.randint(1, 4)}", self.experiment
            )
            events = [requested(), exposed, routed(), started(), *self._chance.choice(FATES)]
            messages = messages_of(payment, [renamed(event, payment) for event in events])
            await self.publisher.publish(PAYMENTS_TOPIC, partition_for(payment), messages)

    async def count(self) -> None:
        """All that is on the log by now."""
        for partition, end in (await self.reader.end_offsets(PAYMENTS_TOPIC)).items():
            if end:
                last = await self.reader.read(PAYMENTS_TOPIC, partition, end - 1, end)
                await self.intake.absorb(last)

    async def verified(self, processes: int = 1) -> Compared:
        stored = await asyncio.to_thread(stored_sums, self.settings)
        work = partial(verify_experiments, self.settings, stored, processes)
        return await asyncio.to_thread(work)

    async def change(self, sql: str) -> None:
        await self.database.fetch(sql.replace("EXPERIMENT", self.experiment))

    async def tell_that_it_ended(self) -> None:
        """A hundred days ago, by the clock of whoever stopped it."""
        ended = ExperimentStopped(experiment_id=self.experiment, by="asha", note="")
        messages = []
        for event in (experiment_started(self.experiment), ended):
            at = self.clock.now() - timedelta(days=100)
            envelope = unowned(self.clock.event_id(), self.experiment, at)
            value, headers = encode(Outgoing(envelope=envelope, event=event))
            messages.append((self.experiment.encode(), value, headers))
        await self.publisher.publish(EXPERIMENTS_TOPIC, 0, messages)


@pytest.fixture
async def world(stack: Stack) -> AsyncIterator[World]:
    world = World(stack)
    await world.open()
    await world.pay(40)
    await world.count()
    yield world
    await world.close()


@pytest.mark.parametrize("processes", [1, 2])
async def test_sums_that_are_what_the_log_says_do_not_differ(world: World, processes: int) -> None:
    found = await world.verified(processes)
    assert found == Compared(entries=found.entries, differences=0, named=())
    assert found.entries > 40


async def test_a_sum_that_was_changed_lost_or_made_up_is_named(world: World) -> None:
    tallies, _ = await world.store.tallies(world.experiment)
    await world.change(
        "UPDATE experiment_arms SET succeeded_product = succeeded_product + 1"
        " WHERE experiment_id = 'EXPERIMENT' AND variant = 'control' AND partition ="
        " (SELECT min(partition) FROM experiment_arms WHERE experiment_id = 'EXPERIMENT' AND variant = 'control')"
    )
    await world.change(
        "DELETE FROM experiment_counters WHERE experiment_id = 'EXPERIMENT' AND variant = 'treatment'"
        " AND name = 'charged:INR'"
    )
    await world.change(
        "UPDATE experiment_customers SET payments = payments + 1"
        " WHERE experiment_id = 'EXPERIMENT' AND customer_id = 'cus_control_1'"
    )
    await world.change(
        "INSERT INTO experiment_customers VALUES ('EXPERIMENT', 'control', 'cus_nobody', 1, 0, 0, 0, 0, 0)"
    )
    found = await world.verified()
    names = [one.name.removeprefix(f"{world.experiment} ") for one in found.named]
    assert names == [
        "control customer cus_control_1",
        "control customer cus_nobody",
        "control succeeded_product",
        "treatment charged:INR",
    ]
    product, charged = found.named[2:]
    assert product.folded == tallies["control"]["succeeded_product"]
    assert product.stored == tallies["control"]["succeeded_product"] + 1
    assert (charged.stored, charged.folded) == (None, tallies["treatment"]["charged:INR"])


async def test_what_is_paid_and_counted_meanwhile_is_no_difference(world: World) -> None:
    is_over = asyncio.Event()

    async def go_on() -> int:
        counted = 0
        while not is_over.is_set():
            await world.pay(3)
            await world.count()
            counted += 1
        return counted

    traffic = asyncio.create_task(go_on())
    found = [await world.verified() for _ in range(5)]
    is_over.set()
    assert await traffic > 1
    assert [one.differences for one in found] == [0] * 5
    assert found[0].entries < found[-1].entries


async def test_what_postgres_could_not_hold_is_in_no_sum(world: World) -> None:
    await world.pay(2, customer="cus_\0")
    await world.count()
    assert world.intake.counts.dead > 0
    assert (await world.verified()).differences == 0


async def test_customers_of_an_experiment_that_is_over_for_long_may_be_forgotten_and_its_arms_may_not(
    world: World,
) -> None:
    gone = "WHERE experiment_id = 'EXPERIMENT' AND variant = 'control'"
    await world.change(f"DELETE FROM experiment_customers {gone}")
    assert (await world.verified()).differences > 0
    await world.tell_that_it_ended()
    assert (await world.verified()).differences == 0
    await world.change(f"DELETE FROM experiment_arms {gone}")
    assert {one.name.split()[1] for one in (await world.verified()).named} == {"control"}
