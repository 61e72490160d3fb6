"""`./dev bench redis-loss`: FLUSHALL while the whole product takes payments, with a short history and an hour of it.

Nobody acts. Timed is how soon Redis has the windows again, how soon they are published, and how soon the API chooses
by them; checked is that all of it, circuits and beliefs included, equals a fold of the log, then and at the end, and
that no payment failed. (`./dev bench metrics` times the way back of one worker by itself, also after its death.)
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import msgspec
import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from infra.clock import SystemClock
from infra.kafka.group_start import begin_at
from infra.kafka.partition import PAYMENT_PARTITIONS
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.local import LOCAL
from infra.local.ports import Ports
from infra.local.stack import Stack
from infra.postgres.payments import PROJECTION
from infra.redis.connection import connect
from infra.redis.shards import RedisShards
from infra.settings import Settings
from projections.beliefs import Beliefs
from projections.posteriors import Forgetting
from projections.shard import Shard
from schemas.codec import CIRCUITS_TOPIC, CONFIGURATION_TOPIC, PAYMENTS_TOPIC
from schemas.metrics import SNAPSHOT_CHANNEL, Published, RoutingSnapshot, StoredShard
from schemas.routing import UNKNOWN
from tests.bench.audit import Audit, audit
from tests.bench.generator import Answer, Plan, drive
from tests.bench.history import outcomes, publish
from tests.bench.machine import Machine, this_machine
from tests.bench.payments import payment_requests
from tests.folds import cells_of, filled, fold_to, known_circuits, to_publish
from tests.product import Client, Product, read_records
from tests.projections.outcomes import an_empty_shard

BACK_WITHIN_S = 10.0
"""What was asked for."""
PATIENCE_S = 90.0
LOOK_EVERY_S = 0.05
MADE_AT_ONCE = 20_000
ISSUERS = 20
SETTLES_S = 5
"""Buckets that ended so long before the loss do not change any more: their outcomes are known."""
EXPECTED = (201, 402)
_PUT_WATERMARK = """
INSERT INTO watermarks (projection, version, topic, partition, next_offset, last_stamp_ms)
VALUES ($1, $2, $3, $4, $5, $6)
"""


class Loss(Struct, kw_only=True):
    """Seconds from FLUSHALL."""

    history_outcomes: int
    payments: int = 0
    """Answered after the loss."""
    statuses: dict[int, int] = msgspec.field(default_factory=dict)
    """Of these: 201 is charged, and 402 declined by a gateway."""
    failed: int = 0
    """Answered in any other way, or not at all."""
    stored_s: float = 0.0
    """Until Redis had everything of every partition again that was on the log at the loss."""
    published_s: float = 0.0
    """Until that was published."""
    in_force_s: float = 0.0
    """Until an API process chose by it."""
    wrong: list[str] = msgspec.field(default_factory=list)
    """What did not equal a fold of the log."""
    audit: Audit | None = None

    @property
    def is_clean(self) -> bool:
        return not (self.failed or self.wrong or self.audit is None) and self.audit.is_clean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, default=200.0, help="payments per second")
    parser.add_argument(
        "--seconds", type=float, default=45.0, help="of load; Redis is lost after a third of it"
    )
    parser.add_argument(
        "--minutes", default="0,60", help="of history at that rate, of a product each (default 0,60)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", default=LOCAL / "bench" / "redis-loss.json")


def run(args: argparse.Namespace) -> int:
    """1 when a payment failed, was lost or doubled, or something was not that of the log."""
    console, machine = Console(), this_machine()
    losses = [
        uvloop.run(_measure(round(float(minutes) * 60 * args.rate), args, console.print))
        for minutes in args.minutes.split(",")
    ]
    args.json.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "losses": losses}
    args.json.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    _show(losses, machine, console)
    return 0 if all(loss.is_clean for loss in losses) else 1


async def _measure(history: int, args: argparse.Namespace, say: Callable[[str], None]) -> Loss:
    stack = Stack(LOCAL / "bench", Ports.free())
    product = Product(
        stack,
        stack.folder,
        verifiers=1,
        circuit_writers=1,
        metrics_workers=1,
        env={"RETRY_LATENCY_BUDGET_MS": "10000", "GATEWAY_TIMEOUT_MS": "2500"},
    )
    try:
        say(f"{history:,} outcomes of history …")
        await stack.start(empty=True)
        await product.prepare()
        async with _drill(product) as drill:
            await drill.past(history, args.rate)
            say("  starting the product …")
            await product.start()
            return await drill.lose(Loss(history_outcomes=history), args, say)
    finally:
        await product.stop()
        await stack.stop()


@asynccontextmanager
async def _drill(product: Product) -> AsyncIterator["Drill"]:
    drill = Drill(product)
    await drill.publisher.start()
    try:
        yield drill
    finally:
        await drill.publisher.stop()
        await drill.reader.stop()
        await drill.redis.aclose()
        await drill.client.close()


class Drill:
    def __init__(self, product: Product) -> None:
        self.product = product
        self.settings = Settings.from_environment(product.env)
        self.client = Client(product)
        self.redis = connect(self.settings.redis_url, timeout_s=10)
        self.reader = LogReader(self.settings.kafka_bootstrap_servers)
        self.publisher = Publisher(self.settings.kafka_bootstrap_servers, acknowledgement_timeout_ms=30_000)
        self._shards = RedisShards(self.redis, PAYMENTS_TOPIC, PAYMENT_PARTITIONS)
        self._clock = SystemClock()
        self._since: Mapping[int, int] = {}
        self._answers: list[tuple[float, int, str]] = []
        self._snapshots: dict[int, tuple[float, RoutingSnapshot]] = {}
        """By version, with the moment at which each was heard."""

    async def past(self, history: int, per_second: float) -> None:
        """Outcomes of gateways, which only the metrics worker is to read: to all others they lie behind them."""
        if not history:
            return
        await self._adopted()
        begin = self._clock.now() - timedelta(seconds=history / per_second)
        for first in range(0, history, MADE_AT_ONCE):
            numbers = range(first, min(first + MADE_AT_ONCE, history))
            await publish(self.publisher, PAYMENTS_TOPIC, outcomes(begin, numbers, per_second, ISSUERS))
        self._since = await self.reader.end_offsets(PAYMENTS_TOPIC)
        now_ms = round(self._clock.now_ms())
        for group in (self.settings.projection_consumer_group, self.settings.circuit_consumer_group):
            await begin_at(self.settings.kafka_bootstrap_servers, group, PAYMENTS_TOPIC, now_ms + 1_000)
        connection = await asyncpg.connect(self.settings.database_url)
        try:
            rows = [
                (*PROJECTION, PAYMENTS_TOPIC, partition, end, now_ms)
                for partition, end in self._since.items()
            ]
            await connection.executemany(_PUT_WATERMARK, rows)
        finally:
            await connection.close()

    async def _adopted(self) -> None:
        """An API process has taken the new Postgres for its own, before there is a log that it should know."""
        await self.product.api.start()
        async with asyncio.timeout(PATIENCE_S):
            while not any((await self.reader.end_offsets(CONFIGURATION_TOPIC)).values()):  # noqa: ASYNC110  # its word
                await asyncio.sleep(LOOK_EVERY_S)
        await self.product.api.stop()

    async def lose(self, loss: Loss, args: argparse.Namespace, say: Callable[[str], None]) -> Loss:
        for path in ("/bandit/policy/*/enable", "/circuit-breaker/force-open/payu/WALLET"):
            answer = await self.client.order(path)
            assert answer.status == 200, answer
        await self._stored_to(await self.reader.end_offsets(PAYMENTS_TOPIC))
        async with self._listening():
            say(f"  {args.rate:g} payments/s for {args.seconds:g} s …")
            paying = asyncio.create_task(self._pay(args.rate, args.seconds))
            await asyncio.sleep(args.seconds / 3)
            say("  FLUSHALL …")
            ends, lost_s = await self.reader.end_offsets(PAYMENTS_TOPIC), time.time()
            await self.redis.flushall()
            loss.stored_s, (loss.published_s, published) = await asyncio.gather(
                self._stored(ends, lost_s), self._published(lost_s)
            )
            loss.in_force_s = await self._in_force(published, lost_s)
            stored = await self._now(ends)  # only now: reading it costs Redis a second
            loss.wrong += await self._wrong_circuits("after the loss")
            errors = await paying
            answers = [(status, payment_id) for at_s, status, payment_id in self._answers if at_s >= lost_s]
            loss.payments, loss.statuses = len(answers), dict(sorted(Counter(s for s, _ in answers).items()))
            loss.failed = sum(status not in EXPECTED for status, _ in answers) + errors
            say("  comparing with the log …")
            loss.wrong += await self._wrong(stored, published, lost_s)
        told = [(status, payment_id) for _, status, payment_id in self._answers]
        loss.audit = await audit(self.product, self.client, told, self._since)
        return loss

    async def _pay(self, rate_per_s: float, seconds: float) -> int:
        """How many were not answered."""

        def note(answer: Answer) -> None:
            start = answer.body.find(b'"pay_')
            payment_id = answer.body[start + 1 : start + 31].decode() if start >= 0 else ""
            self._answers.append((time.time(), answer.status, payment_id))

        parts = urlsplit(self.product.api.url)
        plan = Plan(
            host=parts.hostname or "",
            port=parts.port or 0,
            request=payment_requests(self.product.api.url),
            connections=256,
            duration_s=seconds,
            rate_per_s=rate_per_s,
            receive=note,
        )
        return sum((await drive(plan)).errors.values())

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """To all that is published."""
        decoder = msgspec.msgpack.Decoder(RoutingSnapshot)

        async def listen() -> None:
            async with self.redis.pubsub(ignore_subscribe_messages=True) as pushes:
                await pushes.subscribe(SNAPSHOT_CHANNEL)
                async for message in pushes.listen():
                    snapshot = decoder.decode(message["data"])
                    self._snapshots[snapshot.version] = (time.time(), snapshot)

        listening = asyncio.create_task(listen())
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.wait([listening])

    async def _stored_to(self, ends: Mapping[int, int]) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                marks = await self._shards.watermarks()
                reached = {partition: mark.next_offset for (_, partition), mark in marks.items()}
                if all(reached.get(partition, 0) >= end for partition, end in ends.items()):
                    return
                await asyncio.sleep(LOOK_EVERY_S)

    async def _stored(self, ends: Mapping[int, int], lost_s: float) -> float:
        await self._stored_to(ends)
        return round(time.time() - lost_s, 2)

    async def _now(self, partitions: Iterable[int]) -> dict[int, StoredShard]:
        """What is there: under load each shard has a watermark of its own."""
        loaded = {partition: await self._shards.load(partition) for partition in partitions}
        return {partition: shard for partition, shard in loaded.items() if shard is not None}

    async def _published(self, lost_s: float) -> tuple[float, RoutingSnapshot]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for at_s, snapshot in self._snapshots.values():
                    if snapshot.through is not None and snapshot.through.timestamp() >= lost_s:
                        return round(at_s - lost_s, 2), snapshot
                await asyncio.sleep(LOOK_EVERY_S)

    async def _in_force(self, published: RoutingSnapshot, lost_s: float) -> float:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                state = await self.client.get("/bandit/state")
                if state.body["health_version"] >= published.version:
                    return round(time.time() - lost_s, 2)
                await asyncio.sleep(LOOK_EVERY_S)

    async def _wrong(
        self, stored: Mapping[int, StoredShard], published: RoutingSnapshot, lost_s: float
    ) -> list[str]:
        """Of what there was right after the loss, and of what there is when all is quiet."""
        wrong, shards = list[str](), list[Shard]()
        await asyncio.sleep(2)
        ends = await self.reader.end_offsets(PAYMENTS_TOPIC)
        await self._stored_to(ends)
        for partition, end in ends.items():
            shard, before = an_empty_shard(partition), stored.get(partition)
            shards.append(shard)
            if before is not None:
                await fold_to(self.reader, shard, before.watermark.next_offset)
            if before is None or filled(before.buckets) != filled(shard.buckets):
                wrong.append(f"partition {partition} after the loss")
            await fold_to(self.reader, shard, end)
            now = await self._shards.load(partition)
            if now is None or filled(now.buckets) != filled(shard.buckets):
                wrong.append(f"partition {partition} at the end")
        wrong += wrong_histories(published, shards, lost_s - SETTLES_S)
        wrong += await self._wrong_circuits("at the end")
        return wrong + await self._wrong_beliefs(shards)

    async def _wrong_circuits(self, when: str) -> list[str]:
        known = known_circuits(await read_records(self.product.stack, CIRCUITS_TOPIC)).known
        shown = (await self.client.get("/circuit-breaker/status")).body["circuits"]
        versions = {(one["gateway"], one["payment_method"]): (one["status"], one["version"]) for one in shown}
        return [
            f"circuit {':'.join(key)} {when}"
            for key, circuit in known.items()
            if versions.get(key) != (circuit.view.status, circuit.sequence)
        ]

    async def _wrong_beliefs(self, shards: Sequence[Shard]) -> list[str]:
        """Of the snapshot that an API process has now, and of what it believes by it."""
        state = (await self.client.get("/bandit/state")).body
        await asyncio.sleep(LOOK_EVERY_S)
        _, heard = self._snapshots[state["health_version"]]
        expected = to_publish(
            shards, Published(version=heard.version, as_of=heard.as_of, through=heard.through)
        )
        cells, folded = cells_of(heard), cells_of(expected)
        wrong = [
            f"published {':'.join(cell)}"
            for cell in cells.keys() | folded.keys()
            if cells.get(cell) != folded.get(cell)
        ]
        circuits = known_circuits(await read_records(self.product.stack, CIRCUITS_TOPIC)).views
        believed = Beliefs(Forgetting()).learn(expected, circuits).posteriors
        for segment in state["segments"]:  # those of the usual configuration: a method each
            for arm in segment["arms"]:
                key = arm["gateway"], segment["segment"]
                belief = believed.get(key, UNKNOWN)
                if (arm["alpha"], arm["beta"]) != (belief.alpha, belief.beta):
                    wrong.append(f"belief of {':'.join(key)}")
        return wrong


def wrong_histories(published: RoutingSnapshot, shards: Sequence[Shard], until_s: float) -> list[str]:
    """Of what was published under load, compared by the buckets that do not change any more: those before that moment
    are in it whole, whatever it has of later ones."""
    last = int(until_s) // published.bucket_s
    again = Published(version=published.version, as_of=published.as_of, through=published.through)
    told, folded = (
        {
            cell: [one for one in figures.history if one[0] < last]
            for cell, figures in cells_of(snapshot).items()
        }
        for snapshot in (published, to_publish(shards, again))
    )
    return [
        f"history of {':'.join(cell)} after the loss"
        for cell in told.keys() | folded.keys()
        if told.get(cell, []) != folded.get(cell, [])
    ]


def _show(losses: Sequence[Loss], machine: Machine, console: Console) -> None:
    names = [f"{loss.history_outcomes:,} of history" for loss in losses]
    table = Table(
        "seconds after FLUSHALL", *names, title=f"Redis forgets all (asked for: {BACK_WITHIN_S:g} s)"
    )
    for row in zip(*map(_column, losses), strict=True):
        table.add_row(row[0][0], *(value for _, value in row))
    console.print(table)
    console.print(machine.sentence(), soft_wrap=True)


def _column(loss: Loss) -> list[tuple[str, str]]:
    return [
        ("windows in Redis again", f"{loss.stored_s:g}"),
        ("published", f"{loss.published_s:g}"),
        ("an API process chooses by it", f"{loss.in_force_s:g}"),
        ("payments answered after the loss", f"{loss.payments:,}"),
        ("  by status", ", ".join(f"{status}: {count:,}" for status, count in loss.statuses.items())),
        ("  failed (asked for: 0)", f"{loss.failed}"),
        ("not equal to a fold of the log", ", ".join(loss.wrong[:5]) or "nothing"),
        ("lost / doubled", f"{loss.audit.lost} / {loss.audit.doubled}" if loss.audit else "not known"),
    ]
