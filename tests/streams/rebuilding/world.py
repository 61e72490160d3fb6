"""A database of its own that the live projection keeps, on the topic that all tests share, and an operator."""

import asyncio
import os
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from itertools import count
from types import SimpleNamespace
from urllib.parse import urlsplit

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topics import make_topics
from infra.local import ROOT
from infra.local.ports import free_ports
from infra.local.processes import surroundings
from infra.local.stack import Stack
from infra.memory.projections import MemoryDeadLetters
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.postgres.payments import PaymentViews, PostgresPaymentSink
from infra.settings import Settings
from projections.project import Projection
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Window
from schemas.ids import PaymentId
from tests.projections.story import (
    BETA,
    FIRST,
    SECOND,
    declined,
    failed,
    handed_over,
    in_doubt,
    paid,
    raw,
    recorded,
    renamed,
    requested,
    routed,
    started,
    succeeded,
)
from tests.streams.worker import Worker

STORIES: list[list[Event]] = [
    [requested(), routed(), started(), succeeded(), paid()],
    [
        requested(),
        started(),
        declined(),
        started(SECOND, BETA, 20),
        succeeded(SECOND, BETA),
        paid(SECOND, BETA),
    ],
    [requested(), routed(), started(), declined(), failed()],
    [requested(), started(), in_doubt(), handed_over(FIRST)],
]
LONG = Window(valid_from_ms=0, valid_until_ms=2**50)
TABLES = {
    "payments": "payment_id",
    "attempts": "payment_id, attempt_id",
    "routing_decisions": "payment_id, sequence",
}
EFFECTS = {
    "reservations": "merchant_id, key_hash",
    "verifications": "payment_id",
    "projection_errors": 'partition, "offset"',
}
"""What the projection does beside its rows. A rebuild changes nothing of it, but for errors that are none any more."""

ENDS_WITHIN_S = 200
CATCHES_UP_WITHIN_S = 120

_numbers = count(1)
_clock = SystemClock()


class World:
    def __init__(self, stack: Stack) -> None:
        name = f"rebuilding_{os.getpid()}_{next(_numbers)}"
        self.env = {
            **stack.env,
            "DATABASE_URL": str(urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{name}").geturl()),
            "PROJECTION_CONSUMER_GROUP": name,
            "PROJECTION_CONSUMER_NAME": name,
        }
        self.settings = Settings.from_environment(self.env)

    def worker(self) -> Worker:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        environment = {**os.environ, **self.env, "PROJECTION_WORKER_WEB": address}
        return Worker(["streams", "projection_worker"], environment, address)

    async def reaches_the_end(self) -> None:
        """The worker does."""
        async with asyncio.timeout(CATCHES_UP_WITHIN_S):
            while not await self._is_at_the_end():  # noqa: ASYNC110  # it has no event
                await asyncio.sleep(0.1)

    async def _is_at_the_end(self) -> bool:
        ends, marks = await self.reader.end_offsets(PAYMENTS_TOPIC), await self.views.watermarks()
        return all(
            (mark := marks.get((PAYMENTS_TOPIC, partition))) is not None and mark.next_offset == end
            for partition, end in ends.items()
            if end
        )

    async def open(self) -> None:
        servers = self.settings.kafka_bootstrap_servers
        await make_topics(self.settings)
        await migrate(self.settings.database_url)
        self.database = await Database.connect(self.settings.database_url)
        self.views = PaymentViews(self.database, partition_for)
        self.reader, self.publisher = LogReader(servers), Publisher(servers, 30_000)
        await self.publisher.start()
        self.live = self.another_live()

    async def close(self) -> None:
        await self.publisher.stop()
        await self.reader.stop()
        await self.database.close()

    def another_live(self) -> Projection:
        sink = PostgresPaymentSink(self.database)
        return Projection(PAYMENTS_TOPIC, sink, self.reader, MemoryDeadLetters(), partition_for)

    async def tell(self, payments: int) -> list[PaymentId]:
        ids = [_clock.payment_id() for _ in range(payments)]
        async with asyncio.TaskGroup() as group:
            for number, payment in enumerate(ids):
                group.create_task(self.say(payment, STORIES[number % len(STORIES)]))
        return ids

    async def say(self, payment: PaymentId, events: Sequence[Event], already: int = 0) -> None:
        records = [
            raw(recorded(renamed(event, payment), offset, payment=payment, window=LONG))
            for offset, event in enumerate(events, start=already)
        ]
        messages = [(record.key or b"", record.value or b"", list(record.headers)) for record in records]
        await self.publisher.publish(PAYMENTS_TOPIC, partition_for(payment), messages)

    async def catch_up(self) -> None:
        """The live projection takes in all that is on the log."""
        for partition, end in (await self.reader.end_offsets(PAYMENTS_TOPIC)).items():
            if end:
                await self.live.absorb(await self.reader.read(PAYMENTS_TOPIC, partition, end - 1, end))

    async def misread(self, payment: PaymentId) -> None:
        """The live projection takes in what the log has of its partition, but cannot read its last record."""
        partition = partition_for(payment)
        end = await self.reader.end_offset(PAYMENTS_TOPIC, partition)
        *told, last = await self.reader.read(PAYMENTS_TOPIC, partition, end - 2, end)
        names = ("topic", "partition", "offset", "timestamp", "key", "headers")
        broken = SimpleNamespace(**{name: getattr(last, name) for name in names}, value=b"{")
        await self.live.absorb([*told, broken])

    async def rows(self, tables: dict[str, str] = TABLES) -> dict[str, list[str]]:
        return await rows_of(self.database, tables)

    async def schemas(self) -> set[str]:
        rows = await self.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'payments%'")
        return {row["nspname"] for row in rows}

    async def fetch(self, sql: str, *arguments: object) -> list[dict[str, str]]:
        rows = await self.database.fetch(sql, *arguments, timeout_s=30)
        return [dict(row) for row in rows]

    async def begins(self, *words: str) -> Process:
        return await self.begins_command("rebuild", *words)

    async def begins_command(self, *words: str) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "streams.cli", *words),
            cwd=ROOT,
            env=surroundings(self.env),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def types(self, *words: str) -> tuple[int | None, str]:
        return await ends(await self.begins(*words))

    async def types_command(self, *words: str) -> tuple[int | None, str]:
        return await ends(await self.begins_command(*words))


async def rows_of(database: Database, tables: dict[str, str] = TABLES) -> dict[str, list[str]]:
    return {
        table: [
            row["fields"]
            for row in await database.fetch(
                f"SELECT to_jsonb(t)::text AS fields FROM {table} AS t ORDER BY {key}", timeout_s=30
            )
        ]
        for table, key in tables.items()
    }


async def ends(process: Process) -> tuple[int | None, str]:
    """Its code, None where it had to be killed, and what it said."""
    saying = asyncio.create_task(process.communicate())
    await asyncio.wait([saying], timeout=ENDS_WITHIN_S)
    code = process.returncode
    if not saying.done():
        process.kill()
    said, _ = await saying
    return code, said.decode()
