"""`./dev bench results`: how soon results of a million customers are answered, and how fast payments become figures.

Customers are made by SQL, and their arms' sums from them, as a fold would have left them; the API is the real one.
"""

import argparse
import asyncio
import time
from array import array
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random

import aiohttp
import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from commands.experiment import decide
from commands.experiment_state import INITIAL
from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.topic_log import experiment_log
from infra.local import LOCAL
from infra.local.ports import Ports
from infra.local.stack import Stack
from infra.memory.experiments import MemoryExperiments
from infra.memory.projections import MemoryDeadLetters, MemoryRecords, RawRecord
from infra.postgres.database import Database
from infra.postgres.experiments import PostgresExperiments
from infra.settings import Settings
from projections.experiment_intake import ExperimentIntake
from projections.ports import ExposureSink
from schemas.codec import PAYMENTS_TOPIC
from schemas.experiment import Design, StartExperiment, Variant
from schemas.ids import ExperimentId
from tests.bench.json_figures import add_json_option, write_json
from tests.bench.machine import Machine, this_machine
from tests.bench.report import Latency, latency_of
from tests.product import Product
from tests.projections.exposed import assigned
from tests.projections.story import (
    declined,
    failed,
    new_payment_id,
    paid,
    raw,
    recorded,
    renamed,
    requested,
    routed,
    started,
    succeeded,
)

TARGET_P99_MS = 50.0
BATCH = 1_000
EXPERIMENT = ExperimentId("exp_bench")

CUSTOMERS = """
INSERT INTO experiment_customers
SELECT $1, CASE WHEN n % 2 = 0 THEN 'control' ELSE 'treatment' END, 'cus_' || n, 1 + n % 3, 1 + n % 3,
    (n % 11 < 10)::int * (1 + n % 3), (n % 7 < 6)::int * (1 + n % 3), 1 + n % 3, (1 + n % 3) * (5000 + n % 1000)
FROM generate_series(1, $2::bigint) AS n
"""
ARMS = """
INSERT INTO experiment_arms
SELECT experiment_id, variant, abs(hashtext(customer_id)) % 12, 1, count(*), sum(exposed), count(*), sum(payments),
    sum(payments ^ 2), sum(succeeded), sum(succeeded ^ 2), sum(succeeded * payments), sum(first_succeeded),
    sum(first_succeeded ^ 2), sum(first_succeeded * payments), count(*), sum(timed), sum(timed ^ 2), sum(log_units),
    sum(log_units::numeric ^ 2), sum(log_units * timed), 0, 0
FROM experiment_customers WHERE experiment_id = $1 GROUP BY 1, 2, 3
"""
COUNTERS = """
INSERT INTO experiment_counters
SELECT experiment_id, variant, partition, 'latency:' || bin, 100 + bin
FROM experiment_arms, generate_series(150, 449) AS bin WHERE experiment_id = $1
UNION ALL
SELECT experiment_id, variant, partition, kind || ':INR', 1000000
FROM experiment_arms, unnest(ARRAY['charged', 'cost']) AS kind WHERE experiment_id = $1
"""


class Figures(msgspec.Struct, kw_only=True):
    machine: Machine
    customers: int
    results_ms: Latency | None = None
    winner_ms: Latency | None = None
    results_bytes: int = 0
    query_ms: Latency | None = None
    """Of the one query, without HTTP and statistics."""
    folded_per_second: dict[str, int] = msgspec.field(default_factory=dict)
    """Events, by where figures are stored; four in five payments are exposed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--payments", type=int, default=10_000, help="that are folded")
    add_json_option(parser, "results")


def run(args: argparse.Namespace) -> int:
    """1 where results take longer than their target."""
    console = Console(stderr=args.json == Path("-"))
    figures = uvloop.run(_measure(args, console.print))
    write_json(figures, args.json)
    _show(figures, console)
    return 0 if figures.results_ms is not None and figures.results_ms.p99 <= TARGET_P99_MS else 1


async def _measure(args: argparse.Namespace, say: Callable[[str], None]) -> Figures:
    figures = Figures(machine=this_machine(), customers=args.customers)
    stack = Stack(LOCAL / "bench", Ports.free())
    product = Product(stack, stack.folder)
    try:
        say("starting the product …")
        await stack.start(empty=True)
        await product.start()
        settings = Settings.from_environment(product.env)
        database = await Database.connect(settings.database_url)
        say(f"{args.customers:,} customers …")
        await _start_experiment(settings)
        await database.fetch(CUSTOMERS, EXPERIMENT, args.customers, timeout_s=600)
        for made in (ARMS, COUNTERS):
            await database.fetch(made, EXPERIMENT, timeout_s=600)
        await database.fetch(
            "ANALYZE experiment_customers, experiment_arms, experiment_counters", timeout_s=600
        )
        store = PostgresExperiments(database)
        say("asking for results …")
        url = f"{product.api.url}/experiments/{EXPERIMENT}"
        figures.results_ms, figures.results_bytes = await _asked(f"{url}/results", args.requests)
        figures.winner_ms, _ = await _asked(f"{url}/winner", args.requests)
        figures.query_ms = await _timed(lambda: store.tallies(EXPERIMENT), args.requests)
        say("folding …")
        records = _payments(args.payments)
        figures.folded_per_second["memory"] = await _folded(MemoryExperiments(), records)
        figures.folded_per_second["postgres"] = await _folded(store, records)
        await database.close()
    finally:
        await product.stop()
        await stack.stop()
    return figures


async def _start_experiment(settings: Settings) -> None:
    design = Design(
        name="bench",
        variants=(Variant(name="control", weight=5_000), Variant(name="treatment", weight=5_000)),
        planned_customers=10_000_000,
        planned_days=30,
    )
    command = StartExperiment(experiment_id=EXPERIMENT, design=design, gateways=(), by="bench", note="")
    clock, publisher = SystemClock(), Publisher(settings.kafka_bootstrap_servers)
    await publisher.start()
    (event,) = decide(command, INITIAL)
    await experiment_log(publisher, clock).append(event, clock.event_id(), "bench")
    await publisher.stop()


async def _asked(url: str, requests: int) -> tuple[Latency | None, int]:
    size = 0
    async with aiohttp.ClientSession() as http:

        async def ask() -> None:
            nonlocal size
            async with http.get(url) as answer:
                size = len(await answer.read())
                assert answer.status == 200, answer.status

        await _known(http, url)
        return await _timed(ask, requests), size


async def _known(http: aiohttp.ClientSession, url: str) -> None:
    """The process hears of the experiment within half a second."""
    async with asyncio.timeout(10):
        while True:
            async with http.get(url) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.05)


async def _timed(ask: Callable[[], Awaitable[object]], times: int) -> Latency | None:
    took = array("d")
    for _ in range(times):
        begun = time.perf_counter()
        await ask()
        took.append(time.perf_counter() - begun)
        await asyncio.sleep(0.002)
    return latency_of(took)


def _payments(number: int) -> list[RawRecord]:
    """In the order in which a busy log has them: the payments of a second interleaved."""
    chance, offsets = Random(1), dict[int, int]()
    lives = []
    for one in range(1, number + 1):
        payment = new_payment_id(one)
        variant = chance.choice(("control", "treatment"))
        exposed = [assigned(variant, f"cus_{chance.randrange(number // 2)}", "exp_fold")] if one % 5 else []
        fate = [succeeded(), paid()] if chance.random() < 0.9 else [declined(), failed()]
        lives.append((payment, [requested(), *exposed, routed(), started(), *fate]))
    records = []
    for first in range(0, number, 300):
        begun = lives[first : first + 300]
        for place in range(6):
            for payment, life in begun:
                if place < len(life):
                    partition = partition_for(payment)
                    offset = offsets.get(partition, 0)
                    offsets[partition] = offset + 1
                    event = renamed(life[place], payment)
                    records.append(raw(recorded(event, offset, payment=payment, stamp_ms=1)))
    return records


async def _folded(store: ExposureSink, records: Sequence[RawRecord]) -> int:
    """Events a second, in batches of 1,000, in this process."""
    intake = ExperimentIntake(PAYMENTS_TOPIC, store, MemoryRecords(), MemoryDeadLetters(), partition_for)
    begun = time.perf_counter()
    for first in range(0, len(records), BATCH):
        await intake.absorb(records[first : first + BATCH])
    assert intake.counts.taken_in == len(records)
    return round(len(records) / (time.perf_counter() - begun))


def _show(figures: Figures, console: Console) -> None:
    table = Table(title=f"Results of {figures.customers:,} customers")
    for column in ("figure", "p50", "p95", "p99", "max", "target"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for name, latency, target in (
        ("GET …/results, ms", figures.results_ms, f"p99 ≤ {TARGET_P99_MS:g}"),
        ("GET …/winner, ms", figures.winner_ms, ""),
        ("the query alone, ms", figures.query_ms, ""),
    ):
        if latency is not None:
            shown = (latency.p50, latency.p95, latency.p99, latency.max)
            table.add_row(name, *(f"{one:.1f}" for one in shown), target)
    console.print(table)
    for where, per_second in figures.folded_per_second.items():
        console.print(f"folded into {where}: {per_second:,} events/s")
