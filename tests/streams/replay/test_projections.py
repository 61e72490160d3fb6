"""Every projection made again is what the live code comes to, in a store or a file, and no store in use is filled."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.memory.audit import MemoryAudit
from infra.memory.projections import MemoryDeadLetters
from infra.postgres.audit import PostgresAudit
from infra.postgres.database import Database
from infra.settings import Settings
from schemas.audit import AuditEntry
from schemas.circuit import CircuitForcedOpen
from schemas.codec import CIRCUITS_TOPIC, PAYMENTS_TOPIC, encode
from schemas.envelope import Outgoing, unowned
from schemas.exposure import ArmKey
from schemas.ids import GatewayId
from streams.audit_keeper import AuditKeeper
from streams.replay.audit import audit_into_file, audit_into_postgres, audit_left, planned
from streams.replay.circuits import circuits_into_file, circuits_into_postgres
from streams.replay.errors import Stopped, StoreTaken
from streams.replay.hot_metrics import last_hour, metrics_into_file, metrics_into_redis
from streams.replay.into_file import experiments_into_file
from streams.replay.into_postgres import EXPERIMENTS, into_postgres, prepare
from streams.replay.plan import Asked, Plan
from streams.replay.processes import Monitor
from streams.replay.source import Source
from streams.replay.verify_experiments import projected, stored_sums, verify_experiments
from streams.replay.verify_stores import verify_circuits, verify_metrics
from tests.bench.history import messages_of
from tests.projections.outcomes import SUCCESS, told
from tests.projections.story import new_payment_id
from tests.streams.replay.test_verify_experiments import World as Counted
from tests.streams.replay.world import World

pytestmark = pytest.mark.integration
_numbers = count(1)
UNWATCHED = Monitor(lambda _: None)


def a_database(stack: Stack) -> str:
    name = f"again_{os.getpid()}_{next(_numbers)}"
    return str(urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{name}").geturl())


def rows(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
async def counted(stack: Stack) -> AsyncIterator[Counted]:
    world = Counted(stack)
    await world.open()
    await world.pay(30)
    await world.count()
    yield world
    await world.close()


async def of_experiments(counted: Counted) -> tuple[Source, Plan]:
    """What its live sums are made of."""
    stored = await asyncio.to_thread(stored_sums, counted.settings)
    servers = counted.settings.kafka_bootstrap_servers
    return Source(bootstrap_servers=servers, topic=PAYMENTS_TOPIC), projected(stored)


@pytest.mark.parametrize("processes", [1, 2])
async def test_experiments_counted_again_after_a_stop_are_what_the_log_says(
    counted: Counted, stack: Stack, processes: int
) -> None:
    def stop(read: int) -> None:
        raise Stopped

    url = a_database(stack)
    source, plan = await of_experiments(counted)
    for tell in (stop, lambda _: None):
        left = await prepare(EXPERIMENTS, url, plan)
        try:
            await asyncio.to_thread(partial(into_postgres, EXPERIMENTS, source, left, url, processes, tell))
        except Stopped:
            continue
    again = replace(counted.settings, database_url=url)
    stored = await asyncio.to_thread(stored_sums, again)
    assert projected(stored) == plan
    assert (await asyncio.to_thread(verify_experiments, again, stored, 1)).differences == 0
    assert stored.arms == (await asyncio.to_thread(stored_sums, counted.settings)).arms


async def test_experiments_as_a_file_are_the_live_sums_in_whatever_number_of_processes(
    counted: Counted, tmp_path: Path
) -> None:
    source, plan = await of_experiments(counted)
    for processes in (1, 2):
        path = tmp_path / str(processes)
        await asyncio.to_thread(partial(experiments_into_file, source, plan, path, processes))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    stored = await asyncio.to_thread(stored_sums, counted.settings)
    ours = [row for row in rows(tmp_path / "1") if row["experiment_id"] == counted.experiment]
    assert {row["variant"]: row["sums"] for row in ours if row["customer_id"] is None} == {
        variant: stored.arms[ArmKey(counted.experiment, variant)] for variant in ("control", "treatment")
    }
    customers = [one for one in stored.customers if one.experiment_id == counted.experiment]
    assert [(row["variant"], row["customer_id"]) for row in ours if row["customer_id"]] == sorted(
        (one.variant, one.customer_id) for one in customers if any(stored.customers[one])
    )


async def test_hot_metrics_made_again_are_what_the_log_says_and_a_redis_in_use_is_refused(
    stack: Stack, tmp_path: Path
) -> None:
    world, clock = World(stack.env, partitions=12), SystemClock()
    await world.open()
    for partition in (0, 5, 11):
        events = [told(SUCCESS, at=clock.now(), latency_ms=ms) for ms in (90, 120)]
        junk = (b"k", b"{", [("ce_type", b"AttemptSucceeded")])
        await world.publish([*messages_of(new_payment_id(partition), events), junk], partition)
    plan = await last_hour(world.source, await world.source.plan(Asked(topic=world.topic)))
    for processes in (1, 2):
        path = tmp_path / str(processes)
        dead = await asyncio.to_thread(partial(metrics_into_file, world.source, plan, path, processes))
        assert dead == 3
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert {row["partition"] for row in rows(tmp_path / "1")} == {0, 5, 11}
    assert {row["tally"]["succeeded"] for row in rows(tmp_path / "1")} == {2}

    url = str(urlsplit(stack.env["REDIS_URL"])._replace(path="/9").geturl())
    fill = partial(metrics_into_redis, world.source, plan, url, 1)
    assert await asyncio.to_thread(fill) == 3
    again = Settings.from_environment({**stack.env, "METRICS_STREAM_KEY": world.topic, "REDIS_URL": url})
    compared = await verify_metrics(again)
    assert (compared.differences, compared.entries) == (0, len(rows(tmp_path / "1")))
    with pytest.raises(StoreTaken):
        await asyncio.to_thread(fill)


class Changed:
    """Circuits of this test's own that operators open, on the topics of all."""

    def __init__(self, stack: Stack) -> None:
        self.settings = Settings.from_environment(stack.env)
        self.clock = SystemClock()
        self.source = Source(bootstrap_servers=self.settings.kafka_bootstrap_servers, topic=CIRCUITS_TOPIC)
        self.gateway = GatewayId(f"again{os.getpid()}{next(_numbers)}")

    async def force_open(self, by: str, sequence: int) -> None:
        publisher = Publisher(self.settings.kafka_bootstrap_servers)
        await publisher.start()
        circuit = f"{self.gateway}:UPI"
        event = CircuitForcedOpen(
            gateway=self.gateway,
            payment_method="UPI",
            at=self.clock.now(),
            by=by,
            note="",
            request_id="req_1",
        )
        envelope = unowned(self.clock.event_id(), circuit, self.clock.now(), sequence=sequence)
        value, headers = encode(Outgoing(envelope=envelope, event=event))
        await publisher.publish(CIRCUITS_TOPIC, 0, [(circuit.encode(), value, headers)])
        await publisher.stop()

    async def end(self) -> int:
        (part,) = (await self.source.plan(Asked(topic=CIRCUITS_TOPIC))).parts
        return part.stop

    async def audited(self) -> list[AuditEntry]:
        """As the live keeper has them, the oldest first."""
        reader, audit = LogReader(self.settings.kafka_bootstrap_servers), MemoryAudit()
        await AuditKeeper(audit, reader, MemoryDeadLetters()).look()
        await reader.stop()
        entries = await audit.entries(None, None, None, 100_000)
        return [one for one in reversed(entries) if one.aggregate.startswith(self.gateway)]


@pytest.fixture
async def changed(stack: Stack) -> Changed:
    changed = Changed(stack)
    await make_topics(changed.settings)
    for sequence, by in enumerate(("asha", "ravi"), 1):
        await changed.force_open(by, sequence)
    return changed


async def test_circuits_made_again_are_those_of_the_ranges_end(
    changed: Changed, stack: Stack, tmp_path: Path
) -> None:
    end, url = await changed.end(), a_database(stack)
    for stop, by in ((end - 1, "asha"), (end, "ravi")):
        await circuits_into_file(changed.source, stop, tmp_path / by, UNWATCHED)
        (ours,) = [row for row in rows(tmp_path / by) if row["gateway"] == changed.gateway]
        assert (ours["view"]["status"], ours["view"]["by"]) == ("FORCED_OPEN", by)
        await circuits_into_postgres(changed.source, stop, url, UNWATCHED)
        assert (await verify_circuits(replace(changed.settings, database_url=url))).agrees
    with pytest.raises(StoreTaken, match="are of offset"):
        await circuits_into_postgres(changed.source, end - 1, url, UNWATCHED)


async def test_the_audit_made_again_is_what_the_live_keeper_has(
    changed: Changed, stack: Stack, tmp_path: Path
) -> None:
    plans = await planned(changed.source, Asked(topic=CIRCUITS_TOPIC))
    await audit_into_file(plans, tmp_path / "audit", UNWATCHED)
    ours = [row for row in rows(tmp_path / "audit") if row["aggregate"].startswith(changed.gateway)]
    assert [(row["by"], row["position"]["offset"]) for row in ours] == [
        (one.by, one.position.offset) for one in await changed.audited()
    ]
    assert [row["before"] is None for row in ours] == [True, False]

    url = a_database(stack)
    for _ in range(2):  # the second time there is nothing to add
        await audit_into_postgres(await audit_left(plans, url), url, UNWATCHED)
    database = await Database.connect(url)
    kept = await PostgresAudit(database).entries(f"{changed.gateway}:UPI", None, None, 10)
    marks = await PostgresAudit(database).watermarks()
    await database.close()
    assert list(reversed(kept)) == await changed.audited()
    assert marks[CIRCUITS_TOPIC, 0].next_offset == await changed.end()


async def test_the_audit_of_a_range_knows_what_was_there_before_it(
    changed: Changed, stack: Stack, tmp_path: Path
) -> None:
    await asyncio.sleep(0.01)
    since = changed.clock.now()
    await changed.force_open("mina", 3)
    plans = await planned(changed.source, Asked(topic=CIRCUITS_TOPIC, since=since))
    await audit_into_file(plans, tmp_path / "audit", UNWATCHED)
    (entry,) = rows(tmp_path / "audit")
    whole = await changed.audited()
    assert (entry["by"], entry["before"]["at"]) == (
        "mina",
        whole[-1].before["at"] if whole[-1].before else None,
    )
    url = a_database(stack)
    await audit_into_postgres(await audit_left(plans, url), url, UNWATCHED)
    database = await Database.connect(url)
    kept = await PostgresAudit(database).entries(None, None, None, 10)
    await database.close()
    assert kept == whole[-1:]


@pytest.mark.timeout(300)
async def test_every_projection_can_be_typed_into_a_file_and_into_a_store(
    counted: Counted, changed: Changed, stack: Stack, tmp_path: Path
) -> None:
    """Those of Postgres share a database."""
    payment = counted.clock.payment_id()
    outcome = messages_of(payment, [told(SUCCESS, at=counted.clock.now(), latency_ms=90)])
    await counted.publisher.publish(PAYMENTS_TOPIC, partition_for(payment), outcome)
    typed, url = World(stack.env, partitions=1), a_database(stack)
    redis = str(urlsplit(stack.env["REDIS_URL"])._replace(path="/8").geturl())
    for name in ("payments", "metrics", "circuits", "experiments", "audit"):
        code, said, complained = await typed.types("replay", name, "--file", str(tmp_path / name))
        assert (code, "records were read" in said) == (0, True), complained
        assert rows(tmp_path / name)
        code, _, complained = await typed.types("replay", name, "--into", redis if name == "metrics" else url)
        assert code == 0, complained
    code, said, complained = await typed.types("verify", "experiments", DATABASE_URL=url)
    assert (code, ": 0 differences" in said) == (0, True), complained


@pytest.mark.timeout(300)
async def test_a_database_that_a_product_works_with_is_refused_by_whatever_is_replayed(
    counted: Counted, stack: Stack
) -> None:
    typed = World(stack.env, partitions=1)
    for name in ("payments", "circuits", "experiments", "audit"):
        code, _, complained = await typed.types("replay", name, "--into", counted.settings.database_url)
        assert (code, "not begun by a replay" in complained) == (4, True), complained


@pytest.mark.timeout(300)
async def test_a_database_that_begins_at_a_moment_goes_on_and_refuses_what_was_before(
    counted: Counted, changed: Changed, stack: Stack
) -> None:
    """Whatever is replayed; circuits have no other start than the first event."""
    await asyncio.sleep(0.01)
    since = counted.clock.now()
    await counted.pay(5)
    await changed.force_open("mina", 3)
    typed, url = World(stack.env, partitions=1), a_database(stack)
    for name in ("payments", "experiments", "audit"):
        for number in range(2):
            code, _, complained = await typed.types(
                "replay", name, "--into", url, "--from", since.isoformat()
            )
            assert (code, "goes on after" in complained) == (0, number == 1), complained
        code, _, complained = await typed.types("replay", name, "--into", url)
        assert (code, "ask for no earlier start" in complained) == (4, True), complained
        later = ("replay", name, "--into", url, "--from", counted.clock.now().isoformat())
        code, said, complained = await typed.types(*later)
        assert (code, said) == (0, "0 records were read\n"), complained
        assert "which begins before what was asked for" in complained
