"""`./dev bench metrics`: hot metrics under load, with one cell and with a thousand, and an hour of history come back.

Records are made in advance and put on a real topic. Their events lie in the hour before, as an hour of load would have
left them, so that the hour need not be waited for.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiohttp
import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from infra.clock import SystemClock
from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.topics import Topic, make_topics
from infra.local import LOCAL
from infra.local.ports import HOST, Ports, free_ports
from infra.local.processes import Service
from infra.local.stack import Stack
from infra.memory.metrics import MemoryMetricsCheckpoints
from infra.memory.projections import MemoryDeadLetters
from infra.redis.connection import connect
from infra.redis.shards import RedisShards
from infra.settings import Settings
from projections.hot_metrics import HotMetrics
from schemas.metrics import SNAPSHOT_CHANNEL, RoutingSnapshot
from tests.bench.history import Made, life, lives, messages_of, outcomes, publish
from tests.bench.machine import Machine, this_machine
from tests.folds import filled, fold_to
from tests.product import Product
from tests.projections.outcomes import SUCCESS, an_empty_shard

BATCH = 1_000
PAYMENTS_PER_SECOND = 200.0
FOUND_EVERY_S = 0.05
READ_AT_ONCE = 20_000


class Figures(msgspec.Struct, kw_only=True):
    machine: Machine
    absorbed_per_second: dict[str, int] = msgspec.field(default_factory=dict)
    """By number of cells: records read from Kafka, folded, and stored in Redis, in this process."""
    consumed_per_second: dict[str, int] = msgspec.field(default_factory=dict)
    """By number of cells: from the first record on the topic to the last below the worker's watermarks."""
    worker_cpu_share: dict[str, float] = msgspec.field(default_factory=dict)
    visible_ms: dict[str, float] = msgspec.field(default_factory=dict)
    """From an outcome's acknowledgement to the snapshot that has it, at 200 payments a second."""
    shown_ms: dict[str, float] = msgspec.field(default_factory=dict)
    """GET /metrics/gateways/{name}."""
    history_outcomes: int = 0
    recovered_s: dict[str, float] = msgspec.field(default_factory=dict)
    """With that history: until Redis has every partition again and equals a fold of the log."""
    worker_mib: float = 0.0
    wrong: list[str] = msgspec.field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--payments", type=int, default=20_000, help="of each measurement of throughput")
    parser.add_argument("--minutes", type=float, default=60.0, help="of history, at 200 payments a second")
    parser.add_argument("--issuers", type=int, default=20, help="in the history, of each gateway and method")
    parser.add_argument("--seconds", type=float, default=20.0, help="of load, to see how soon it is visible")
    parser.add_argument("--json", type=Path, metavar="FILE", default=LOCAL / "bench" / "metrics.json")


def run(args: argparse.Namespace) -> int:
    """1 when any figure was not that of the log."""
    console = Console()
    figures = uvloop.run(_measure(args, console.print))
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    _show(figures, console)
    return 1 if figures.wrong else 0


async def _measure(args: argparse.Namespace, say: Callable[[str], None]) -> Figures:
    figures = Figures(machine=this_machine())
    stack = Stack(LOCAL / "bench", Ports.free())
    product = Product(stack, stack.folder)
    try:
        say("starting the product …")
        await stack.start(empty=True)
        await product.start()
        for cells in (1, 1_000):
            async with _bench(product, f"bench-{cells}") as bench:
                say(f"{cells:,} cells: absorbing …")
                made = lives(args.payments, cells)
                await bench.publish(made)
                figures.absorbed_per_second[str(cells)] = await bench.absorb()
                await bench.redis.flushall()
                say(f"{cells:,} cells: consuming …")
                async with bench.worker(figures):
                    per_second, share = await bench.consume(made)
                figures.consumed_per_second[str(cells)] = per_second
                figures.worker_cpu_share[str(cells)] = share
        async with _bench(product, "bench-history") as bench:
            await _history(bench, args, figures, say)
    finally:
        await product.stop()
        await stack.stop()
    return figures


async def _history(
    bench: "Bench", args: argparse.Namespace, figures: Figures, say: Callable[[str], None]
) -> None:
    figures.history_outcomes = round(args.minutes * 60 * PAYMENTS_PER_SECOND)
    say(f"{figures.history_outcomes:,} outcomes of history …")
    begin = bench.clock.now() - timedelta(minutes=args.minutes)
    for first in range(0, figures.history_outcomes, READ_AT_ONCE):
        await bench.publish(
            outcomes(begin, range(first, first + READ_AT_ONCE), PAYMENTS_PER_SECOND, args.issuers)
        )
    async with bench.worker(figures) as worker:
        begun = time.perf_counter()
        await bench.reaches_the_end()
        figures.recovered_s["nothing but the log"] = round(time.perf_counter() - begun, 2)
        await bench.check("after the first start", figures)
        say(f"{args.seconds:g} s of load …")
        figures.visible_ms = await bench.visibility(args.seconds)
        figures.shown_ms = await bench.shown()
        await asyncio.sleep(11)  # two checkpoints
        say("FLUSHALL under load …")
        telling = asyncio.create_task(bench.load(8.0))
        await asyncio.sleep(2)
        await bench.redis.flushall()
        begun = time.perf_counter()
        await bench.has_every_partition()
        figures.recovered_s["FLUSHALL under load"] = round(time.perf_counter() - begun, 2)
        await telling
        await bench.reaches_the_end()
        await bench.check("after FLUSHALL under load", figures)
        await asyncio.sleep(11)
        say("FLUSHALL, and the worker killed …")
        figures.worker_mib = round(worker.resident_bytes() / 2**20, 1)
        worker.kill()
        await bench.redis.flushall()
        begun = time.perf_counter()
        await worker.start()
        await bench.reaches_the_end()
        figures.recovered_s["FLUSHALL, and the worker killed"] = round(time.perf_counter() - begun, 2)
        await bench.check("after FLUSHALL and a kill", figures)


class Bench:
    """A topic of its own, and what is seen of it."""

    def __init__(self, product: Product, topic: str) -> None:
        self.product, self.topic = product, topic
        web = f"{HOST}:{free_ports(1)[0]}"
        self.env = {
            **product.env,
            "METRICS_STREAM_KEY": topic,
            "METRICS_STREAM_GROUP": topic,
            "METRICS_WORKER_WEB": web,
        }
        self.settings = Settings.from_environment(self.env)
        self.clock = SystemClock()
        self.redis = connect(self.settings.redis_url, timeout_s=10)
        self.shards = RedisShards(self.redis, topic, PAYMENT_PARTITIONS)
        self.reader = LogReader(self.settings.kafka_bootstrap_servers)
        self.publisher = Publisher(self.settings.kafka_bootstrap_servers, acknowledgement_timeout_ms=30_000)
        self._service = Service(
            topic,
            ["streams", "metrics_worker"],
            product.folder,
            env=self.env,
            url=f"http://{web}",
            ready="/ops/liveness",
        )

    @asynccontextmanager
    async def worker(self, figures: Figures) -> AsyncIterator[Service]:
        await self._service.start()
        try:
            await self._service.wait_ready()
            yield self._service
        finally:
            await self._service.stop()

    async def publish(self, payments: Made) -> None:
        await publish(self.publisher, self.topic, payments)

    async def absorb(self) -> int:
        """Records a second, as the worker's agent takes them in."""
        metrics = HotMetrics(
            self.topic, self.shards, MemoryMetricsCheckpoints(), self.reader, MemoryDeadLetters(), lambda: 0.0
        )
        records, spent_s = 0, 0.0
        ends = await self.reader.end_offsets(self.topic)
        for start in range(0, max(ends.values()), BATCH // PAYMENT_PARTITIONS):
            stop = start + BATCH // PAYMENT_PARTITIONS
            batch = [
                record
                for partition, end in ends.items()
                if start < end
                for record in await self.reader.read(
                    self.topic, partition, start, min(stop, end), timeout_s=30
                )
            ]
            begun = time.perf_counter()
            await metrics.absorb(batch)
            spent_s += time.perf_counter() - begun
            records += len(batch)
        return round(records / spent_s)

    async def consume(self, payments: Made) -> tuple[int, float]:
        """Once the worker has caught up, so that it is Faust that brings what comes now."""
        await self.reaches_the_end()
        cpu_s, begun = self._service.cpu_seconds(), time.perf_counter()
        await self.publish(payments)
        await self.reaches_the_end()
        elapsed_s = time.perf_counter() - begun
        records = sum(len(messages) for _, messages in payments)
        return round(records / elapsed_s), round((self._service.cpu_seconds() - cpu_s) / elapsed_s, 2)

    async def visibility(self, seconds: float) -> dict[str, float]:
        """Every outcome of the load is of a cell that nothing else is counted in."""
        subscriber = self.redis.pubsub()
        await subscriber.subscribe(SNAPSHOT_CHANNEL)
        seen: list[tuple[float, int]] = []

        async def listen() -> None:
            decoder = msgspec.msgpack.Decoder(RoutingSnapshot)
            async for message in subscriber.listen():
                if message["type"] == "message":
                    snapshot = decoder.decode(message["data"])
                    own = sum(
                        c.succeeded_15m for c in snapshot.cells if c.gateway == "probe" and c.kind == "method"
                    )
                    seen.append((time.perf_counter(), own))

        listening = asyncio.create_task(listen())
        acknowledged = await self.load(seconds, gateway="probe")
        await asyncio.sleep(1)
        listening.cancel()
        await subscriber.aclose()
        acknowledged.sort()
        waited, place = [], 0
        for at, counted in seen:
            while place < min(counted, len(acknowledged)):
                waited.append(max(0.0, (at - acknowledged[place]) * 1000))
                place += 1
        return _percentiles(waited) | {"outcomes": len(acknowledged), "seen": place}

    async def load(self, seconds: float, gateway: str = "razorpay") -> list[float]:
        """When each outcome was acknowledged."""
        acknowledged: list[float] = []

        async def pay(number: int) -> None:
            at = self.clock.now()
            payment = self.clock.payment_id()
            events = life(SUCCESS, gateway, f"bank{number % 20}", at)
            await self.publisher.publish(self.topic, partition_for(payment), messages_of(payment, events))
            acknowledged.append(time.perf_counter())

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(round(seconds * PAYMENTS_PER_SECOND)):
                late_s = begun + number / PAYMENTS_PER_SECOND - time.perf_counter()
                if late_s > 0:
                    await asyncio.sleep(late_s)
                group.create_task(pay(number))
        return acknowledged

    async def shown(self, requests: int = 1_000) -> dict[str, float]:
        took, size = [], 0
        async with aiohttp.ClientSession() as http:
            for _ in range(requests):
                begun = time.perf_counter()
                async with http.get(f"{self.product.api.url}/metrics/gateways/razorpay") as answer:
                    size = len(await answer.read())
                    assert answer.status == 200, answer.status
                took.append((time.perf_counter() - begun) * 1000)
                await asyncio.sleep(0.005)
        return _percentiles(took) | {"bytes": size}

    async def reaches_the_end(self) -> None:
        ends = await self.reader.end_offsets(self.topic)
        async with asyncio.timeout(600):
            while True:
                marks = await self.shards.watermarks()
                reached = {partition: mark.next_offset for (_, partition), mark in marks.items()}
                if all(reached.get(partition, 0) >= end for partition, end in ends.items()):
                    return
                await asyncio.sleep(FOUND_EVERY_S)

    async def has_every_partition(self) -> None:
        async with asyncio.timeout(600):
            while len(await self.shards.watermarks()) < PAYMENT_PARTITIONS:  # noqa: ASYNC110  # another process
                await asyncio.sleep(FOUND_EVERY_S)

    async def check(self, when: str, figures: Figures) -> None:
        for partition, end in (await self.reader.end_offsets(self.topic)).items():
            shard = an_empty_shard(partition)
            await fold_to(self.reader, shard, end, self.topic)
            stored = await self.shards.load(partition)
            if stored is None or filled(stored.buckets) != filled(shard.buckets):
                figures.wrong.append(f"partition {partition} {when}")


@asynccontextmanager
async def _bench(product: Product, topic: str) -> AsyncIterator[Bench]:
    bench = Bench(product, topic)
    await make_topics(bench.settings, [Topic(topic, PAYMENT_PARTITIONS)])
    await bench.publisher.start()
    try:
        yield bench
    finally:
        await bench.publisher.stop()
        await bench.reader.stop()
        await bench.redis.aclose()


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    ascending = sorted(values)
    return {
        name: round(ascending[int(share * (len(ascending) - 1))], 2)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
        if ascending
    }


def _show(figures: Figures, console: Console) -> None:
    table = Table("what", "figure", title="hot metrics", caption=figures.machine.sentence())
    for row in _rows(figures):
        table.add_row(*row)
    console.print(table)


def _rows(figures: Figures) -> Iterator[tuple[str, str]]:
    for cells, rate in figures.absorbed_per_second.items():
        yield f"records absorbed a second, {cells} cells", f"{rate:,}"
    for cells, rate in figures.consumed_per_second.items():
        share = figures.worker_cpu_share[cells]
        yield f"records consumed a second by the worker, {cells} cells", f"{rate:,} ({share:.0%} of a core)"
    yield "outcome to snapshot, ms", str(figures.visible_ms)
    yield "GET /metrics/gateways/{name}, ms", str(figures.shown_ms)
    for what, seconds in figures.recovered_s.items():
        yield f"{figures.history_outcomes:,} outcomes back after: {what}", f"{seconds:g} s"
    yield "memory of the worker", f"{figures.worker_mib:g} MiB"
    yield "not equal to a fold of the log", ", ".join(figures.wrong) or "nothing"
