"""Every program of the product, pointed at a database that a replay filled, says so and leaves it as it is."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest

from infra.clock import SystemClock
from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.kafka.producer import Publisher
from infra.kafka.topics import make_topics
from infra.local import ROOT
from infra.local.ports import HOST, free_ports
from infra.local.processes import surroundings
from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.settings import Settings
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import FilledByReplay
from streams.__main__ import WORKERS
from streams.replay.into_postgres import PAYMENTS, prepare
from streams.replay.plan import Part, Plan
from tests.bench.history import life, messages_of
from tests.databases import new_database
from tests.product import BODY
from tests.projections.outcomes import DOUBT
from tests.waiting import ACKNOWLEDGED_WITHIN_MS, HANGS_AFTER_S, until

pytestmark = pytest.mark.integration
WHY = "filled by a replay"
COMPLAINTS = 4


class World:
    """A database that a replay has begun, and a payment on the log that it has not come to."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.address = f"{HOST}:{free_ports(1)[0]}"

    async def open(self) -> None:
        self._url = await new_database(self._stack.env["DATABASE_URL"])
        nothing = [Part(partition=one, start=0, stop=0) for one in range(PAYMENT_PARTITIONS)]
        await prepare(PAYMENTS, self._url, Plan(topic=PAYMENTS_TOPIC, parts=tuple(nothing)))
        clock, settings = SystemClock(), Settings.from_environment(self._stack.env)
        await make_topics(settings)
        payment = clock.payment_id()
        publisher = Publisher(settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
        await publisher.start()
        messages = messages_of(payment, life(DOUBT, "alpha", "bank", clock.now()))
        await publisher.publish(PAYMENTS_TOPIC, partition_for(payment), messages)
        await publisher.stop()

    async def close(self) -> None: ...

    async def stored(self) -> Sequence[tuple[object, ...]]:
        """Every row of every table."""
        database = await Database.connect(self._url)
        rows = await database.fetch(
            "SELECT table_schema, table_name, "
            "query_to_xml(format('TABLE %I.%I', table_schema, table_name), true, true, '')::text "
            "FROM information_schema.tables WHERE table_type = 'BASE TABLE' "
            "AND table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2",
            timeout_s=HANGS_AFTER_S,
        )
        await database.close()
        return [tuple(row) for row in rows]

    @asynccontextmanager
    async def running(self, *module: str, **environment: str) -> AsyncIterator[Process]:
        redis = urlsplit(self._stack.env["REDIS_URL"])._replace(path="/7").geturl()
        ours: Mapping[str, str] = {"DATABASE_URL": self._url, "REDIS_URL": redis, **environment}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *module,
            cwd=ROOT,
            env=surroundings({**self._stack.env, **ours}),
            stdout=DEVNULL,
            stderr=PIPE,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def complains(process: Process) -> None:
    """Again and again: it goes on, and might write."""
    assert process.stderr is not None
    complaints = 0
    async with asyncio.timeout(HANGS_AFTER_S):
        while complaints < COMPLAINTS:
            line = (await process.stderr.readline()).decode()
            assert line, "it ended"
            complaints += WHY in line


@pytest.mark.parametrize("worker", WORKERS)
async def test_a_worker_says_what_it_is_pointed_at_and_writes_nothing(world: World, worker: str) -> None:
    before = await world.stored()
    async with world.running("streams", worker, **{f"{worker.upper()}_WEB": world.address}) as process:
        await complains(process)
    assert await world.stored() == before


async def test_the_api_stays_unready_saying_why_and_admits_no_payment(world: World) -> None:
    before, url = await world.stored(), f"http://{world.address}"
    async with world.running("api", BIND_ADDR=world.address), aiohttp.ClientSession() as client:

        async def says_why() -> bool:
            """The gate before payments, in words, and the pool that everything else goes through."""
            try:
                async with client.get(f"{url}/ops/readiness") as answer:
                    said = await answer.text()
                    return answer.status == 503 and WHY in said and FilledByReplay.__name__ in said
            except aiohttp.ClientError:
                return False

        await until(says_why)
        async with client.post(f"{url}/payments", json=BODY, headers={"Idempotency-Key": "k"}) as answer:
            assert answer.status == 503
    assert await world.stored() == before


@pytest.mark.parametrize("words", [("rebuild", "payments"), ("reservations", "rebuild")])
async def test_nothing_is_rebuilt_in_it(world: World, words: tuple[str, ...]) -> None:
    before = await world.stored()
    async with world.running("streams.cli", *words) as process:
        assert process.stderr is not None
        async with asyncio.timeout(HANGS_AFTER_S):
            complained = (await process.stderr.read()).decode()
            assert await process.wait() == 4
    assert (complained.startswith("refused: "), WHY in complained) == (True, True), complained
    assert await world.stored() == before
