"""The analyzer as it runs: processes of its own, killed and cut off, against a real log and a real store."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from urllib.parse import urlsplit

import pytest

from commands.experiment import decide
from commands.experiment_state import INITIAL, Ended, Experiment, Paused, Running
from infra.clock import SystemClock, uuid7
from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.tail import TopicTail
from infra.kafka.topic_log import experiment_log
from infra.kafka.topics import make_topics
from infra.local.ports import free_ports
from infra.local.stack import Stack
from infra.memory.experiments import MemoryExperiments
from infra.memory.projections import MemoryDeadLetters
from infra.postgres.database import Database
from infra.postgres.experiments import PostgresExperiments
from infra.postgres.migrate import migrate
from infra.settings import Settings
from projections.experiment_intake import ExperimentIntake
from schemas.base import Event
from schemas.codec import EXPERIMENTS_TOPIC, PAYMENTS_TOPIC, encode
from schemas.envelope import Outgoing, unowned
from schemas.errors import Unavailable
from schemas.experiment import Design, ExperimentPaused, Guardrails, StartExperiment, Variant
from schemas.exposure import Tally
from schemas.ids import ExperimentId, experiment_id
from streams.heard_experiments import HeardExperiments
from tests.product import read_records
from tests.projections.exposed import FATES, assigned
from tests.projections.story import declined as a_decline
from tests.projections.story import failed, paid, renamed, requested, routed, started, succeeded
from tests.streams.worker import Worker
from tests.waiting import ACKNOWLEDGED_WITHIN_MS

pytestmark = pytest.mark.integration

WITHIN_S = 120
_numbers = count(1)
_clock = SystemClock()
GOOD: tuple[Event, ...] = (succeeded(), paid())
BAD: tuple[Event, ...] = (a_decline(), failed())


class TenDaysAgo(SystemClock):
    def now(self) -> datetime:
        return super().now() - timedelta(days=10)


class World:
    """A database and an experiment of its own, the shared topics, and at most two workers."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.name = f"experiments_{os.getpid()}_{next(_numbers)}"
        self.environment = {
            **os.environ,
            **stack.env,
            "DATABASE_URL": urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{self.name}").geturl(),
            "REDIS_URL": "redis://127.0.0.1:1/",
            "EXPERIMENT_CONSUMER_GROUP": self.name,
        }
        self.settings = Settings.from_environment(self.environment)
        self.worker, self.other = self._worker("first"), self._worker("second")

    def _worker(self, name: str) -> Worker:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        environment = {
            **self.environment,
            "EXPERIMENT_CONSUMER_NAME": name,
            "EXPERIMENT_ANALYZER_WEB": address,
        }
        return Worker(["streams", "experiment_analyzer"], environment, address)

    async def open(self) -> None:
        servers = self.settings.kafka_bootstrap_servers
        await make_topics(self.settings)
        await migrate(self.settings.database_url)
        self.database = await Database.connect(self.settings.database_url)
        self.store = PostgresExperiments(self.database)
        self.reader, self.publisher = LogReader(servers), Publisher(servers, ACKNOWLEDGED_WITHIN_MS)
        await self.publisher.start()
        self.heard = HeardExperiments(
            lambda take: TopicTail(servers, EXPERIMENTS_TOPIC, take, _clock),
            lambda: self.reader.end_offset(EXPERIMENTS_TOPIC, 0),
        )
        await self.heard.start()
        assert self.heard.is_current

    async def close(self) -> None:
        self.worker.close()
        self.other.close()
        await self.heard.stop()
        await self.publisher.stop()
        await self.reader.stop()
        await self.database.close()

    async def start(self, planned: int = 100_000, clock: SystemClock = _clock) -> ExperimentId:
        design = Design(
            name=self.name,
            variants=(Variant(name="control", weight=5_000), Variant(name="treatment", weight=5_000)),
            planned_customers=planned,
            planned_days=7,
            guardrails=Guardrails(min_samples=min(planned, 100)),
        )
        started_id = experiment_id(uuid7(round(_clock.now_ms()), os.urandom(10)))
        (event,) = decide(
            StartExperiment(experiment_id=started_id, design=design, gateways=(), by="asha", note=""),
            INITIAL,
        )
        await experiment_log(self.publisher, clock).append(event, _clock.event_id(), "req_1")
        await self.becomes(started_id, Running)
        return started_id

    async def pay(self, experiment: ExperimentId, variant: str, customer: str, fate: Sequence[Event]) -> None:
        """One exposed payment; its records are appended in their order."""
        payment = _clock.payment_id()
        events = [requested(), assigned(variant, customer, experiment), routed(), started(), *fate]
        messages = []
        for event in events:
            envelope = unowned(_clock.event_id(), payment, _clock.now())
            outgoing = Outgoing(envelope=envelope, event=renamed(event, payment))
            messages.append((payment.encode(), *encode(outgoing)))
        await self.publisher.publish(PAYMENTS_TOPIC, partition_for(payment), messages)

    async def pay_many(self, experiment: ExperimentId, payments: int, seed: int) -> None:
        chance = random.Random(seed)
        fates = [fate for fate in FATES if len(fate) > 1] + [GOOD] * 30
        for _ in range(payments // 10):
            await asyncio.gather(
                *(
                    self.pay(
                        experiment,
                        variant := chance.choice(("control", "treatment")),
                        f"{variant}_{chance.randint(1, 40)}",
                        chance.choice(fates),
                    )
                    for _ in range(10)
                )
            )

    async def becomes(self, experiment: ExperimentId, state: type[Experiment]) -> Experiment:
        async with asyncio.timeout(WITHIN_S):
            while True:
                known = self.heard.current.known.get(experiment)
                if isinstance(known, state):
                    return known
                await asyncio.sleep(0.02)

    async def reaches_the_end(self) -> None:
        ends = await self.reader.end_offsets(PAYMENTS_TOPIC)
        async with asyncio.timeout(WITHIN_S):
            while True:
                try:
                    marks = {p: one.next_offset for (_, p), one in (await self.store.watermarks()).items()}
                except Unavailable:
                    marks = {}
                if all(marks.get(partition, 0) >= end for partition, end in ends.items()):
                    return
                await asyncio.sleep(0.05)

    async def folded(self, experiment: ExperimentId) -> dict[str, Tally]:
        """What the log comes to, by one fold from its beginning."""
        memory = MemoryExperiments()
        intake = ExperimentIntake(PAYMENTS_TOPIC, memory, self.reader, MemoryDeadLetters(), partition_for)
        for partition in range(PAYMENT_PARTITIONS):
            end = await self.reader.end_offset(PAYMENTS_TOPIC, partition)
            if end:
                await intake.absorb(await self.reader.read(PAYMENTS_TOPIC, partition, end - 1, end))
        return (await memory.tallies(experiment))[0]


async def test_a_dead_treatment_is_paused_and_the_event_has_the_numbers(world: World) -> None:
    experiment = await world.start()
    world.worker.start()
    await world.worker.becomes(200)
    for number in range(20):
        await world.pay(experiment, "control", f"control_{number}", GOOD)
        await world.pay(experiment, "treatment", f"treatment_{number}", BAD)
    known = await world.becomes(experiment, Paused)
    assert isinstance(known, Paused)
    assert known.evidence is not None
    assert known.evidence.verdict == "harmful"
    assert known.evidence.figures["treatment"]["success_rate"] == 0
    assert world.worker.signal(signal.SIGTERM) == 0


async def test_a_worker_that_is_killed_in_the_middle_counts_every_payment_once(world: World) -> None:
    experiment = await world.start()
    await world.pay_many(experiment, 300, seed=1)
    world.worker.start()
    paying = asyncio.create_task(world.pay_many(experiment, 600, seed=2))
    await world.worker.becomes(200)
    for _ in range(2):
        await asyncio.sleep(0.4)
        world.worker.signal(signal.SIGKILL)
        world.worker.start()
        await world.worker.becomes(200)
    await paying
    await world.pay_many(experiment, 50, seed=3)
    await world.reaches_the_end()
    assert (await world.store.tallies(experiment))[0] == await world.folded(experiment)
    assert world.worker.signal(signal.SIGTERM) == 0


async def test_two_workers_share_the_partitions_and_one_event_counts(world: World) -> None:
    experiment = await world.start()
    world.worker.start()
    world.other.start()
    await world.worker.becomes(200)
    await world.other.becomes(200)
    for number in range(25):
        await world.pay(experiment, "control", f"control_{number % 12}", GOOD)
        await world.pay(experiment, "treatment", f"treatment_{number % 12}", BAD)
    await world.becomes(experiment, Paused)
    await world.pay_many(experiment, 200, seed=4)
    await world.reaches_the_end()
    assert (await world.store.tallies(experiment))[0] == await world.folded(experiment)
    told = Counter(
        type(one.event)
        for one in await read_records(world.stack, EXPERIMENTS_TOPIC)
        if one.envelope.aggregate_id == experiment
    )
    assert told[ExperimentPaused] >= 1
    known = world.heard.current.known[experiment]
    assert isinstance(known, Paused)


async def test_a_store_that_was_emptied_is_filled_again_to_the_same_sums(world: World) -> None:
    experiment = await world.start()
    await world.pay_many(experiment, 100, seed=5)
    world.worker.start()
    await world.reaches_the_end()
    before = (await world.store.tallies(experiment))[0]
    world.worker.signal(signal.SIGTERM)
    await world.database.fetch(
        "TRUNCATE experiment_exposures, experiment_customers, experiment_arms, experiment_counters, watermarks"
    )
    world.worker.start()
    await world.reaches_the_end()
    assert (await world.store.tallies(experiment))[0] == before == await world.folded(experiment)


async def test_an_experiment_is_concluded_at_its_planned_sample(world: World) -> None:
    experiment = await world.start(planned=20)
    world.worker.start()
    await world.worker.becomes(200)
    for number in range(24):
        for variant in ("control", "treatment"):
            await world.pay(experiment, variant, f"{variant}_{number}", GOOD)
    known = await world.becomes(experiment, Ended)
    assert isinstance(known, Ended)
    assert known.evidence is not None


async def test_an_experiment_whose_days_are_over_is_concluded_with_all_that_was_on_the_log(
    world: World,
) -> None:
    experiment = await world.start(clock=TenDaysAgo())
    await world.pay_many(experiment, 300, seed=8)
    world.worker.start()
    world.other.start()
    known = await world.becomes(experiment, Ended)
    assert isinstance(known, Ended)
    assert known.evidence is not None
    tallies = await world.folded(experiment)
    assert {name: figures["payments"] for name, figures in known.evidence.figures.items()} == {
        name: tally["payments"] for name, tally in tallies.items()
    }


async def test_a_store_that_does_not_answer_makes_the_worker_wait_and_lose_nothing(world: World) -> None:
    if world.stack.postgres not in world.stack.servers:
        pytest.skip("somebody else's Postgres is not ours to pause")
    experiment = await world.start()
    world.worker.start()
    await world.worker.becomes(200)
    world.stack.postgres.pause()
    await world.pay_many(experiment, 100, seed=6)
    await world.worker.becomes(503)
    world.stack.postgres.resume()
    await world.reaches_the_end()
    assert (await world.store.tallies(experiment))[0] == await world.folded(experiment)
    await world.worker.becomes(200)
