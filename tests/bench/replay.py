"""`./dev bench replay`: how fast the log is read again, beside a raw fetch of the same run, and in how much memory.

A core's rate is by the processor time of the replay's own processes, so that it says the same on a machine that does
other things; what brokers and Postgres take is in the time that passed.
"""

import argparse
import os
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from infra.kafka.partition import PAYMENT_PARTITIONS, partition_for
from infra.kafka.producer import Message, Publisher
from infra.kafka.topics import make_topics
from infra.local import LOCAL
from infra.local.ports import Ports
from infra.local.stack import Stack
from infra.settings import Settings
from projections.absorption import readable
from projections.payments import fold
from projections.ports import RawRecord
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Recorded
from schemas.ids import PaymentId
from schemas.views import PaymentHistory
from streams.replay.export import export
from streams.replay.into_file import payments_into_file
from streams.replay.into_postgres import PAYMENTS, REMEMBERED, into_postgres, prepare
from streams.replay.metrics import Question, metrics
from streams.replay.plan import Asked, Part, Plan
from streams.replay.processes import Monitor, in_processes
from streams.replay.source import Source
from tests.bench.history import life, messages_of
from tests.bench.machine import Machine, this_machine
from tests.builders import routed
from tests.projections.outcomes import SUCCESS
from tests.projections.story import BEGIN, PAYMENT, new_payment_id

EVENTS_OF_A_LIFE = 5
PUBLISHED_AT_ONCE = 5_000
TARGETS = {"payments in memory": 100_000, "payments into Postgres": 50_000, "Parquet": 80_000}
"""Events a second: of the first for a core, of the others in all."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    seconds: float
    processor_s: float
    per_second: int
    per_core_second: int
    of_raw: float
    """Of the rate of a raw fetch, per core."""
    largest_mib: float
    """The largest process of the replay so far."""


class Figures(msgspec.Struct, kw_only=True):
    machine: Machine
    events: int
    processes: int
    beginning_s: float = 0.0
    """Of processor time, that processes take to begin; it is in no other figure."""
    measured: dict[str, Measured] = msgspec.field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", type=int, default=1_000_000, help="of history (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", default=LOCAL / "bench" / "replay.json")


def run(args: argparse.Namespace) -> int:
    console = Console()
    stack = Stack(LOCAL / "bench", Ports.free())
    try:
        uvloop.run(stack.start(empty=True))
        figures = _measure(args, Settings.from_environment(stack.env), console.print)
    finally:
        uvloop.run(stack.stop())
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    _show(figures, console)
    return 0


def _measure(args: argparse.Namespace, settings: Settings, say: Callable[[str], None]) -> Figures:
    figures = Figures(machine=this_machine(), events=args.events, processes=args.processes)
    say(f"{args.events:,} events of history …")
    uvloop.run(_make_history(settings, args.events))
    source = Source(bootstrap_servers=settings.kafka_bootstrap_servers, topic=PAYMENTS_TOPIC)
    plan = uvloop.run(source.plan(Asked(topic=PAYMENTS_TOPIC)))
    url = str(urlsplit(settings.database_url)._replace(path="/replayed").geturl())
    uvloop.run(prepare(PAYMENTS, url, plan))
    with tempfile.TemporaryDirectory() as folder:
        stages: dict[str, Callable[[], object]] = {
            "raw fetch": partial(
                in_processes, partial(_read, source, len), plan.parts, args.processes, _quiet
            ),
            "decoded": partial(
                in_processes, partial(_read, source, _decode), plan.parts, args.processes, _quiet
            ),
            "payments in memory": partial(
                in_processes, partial(_read, source, _fold), plan.parts, args.processes, _quiet
            ),
            "metrics": partial(metrics, source, plan, Question(by=("gateway", "method")), args.processes),
            "payments into Postgres": partial(into_postgres, PAYMENTS, source, plan, url, args.processes),
            "payments into a file": partial(
                payments_into_file, source, plan, Path(folder) / "payments.jsonl", args.processes
            ),
            "Parquet": partial(export, source, plan, Path(folder), "parquet", args.processes),
        }
        used = _processor_s()
        in_processes(_begin, plan.parts, args.processes, _quiet)
        figures.beginning_s = _processor_s() - used
        for name, stage in stages.items():
            figures.measured[name] = _timed(stage, plan, figures)
            say(f"{name}: {figures.measured[name].per_core_second:,}/s of a core")
    return figures


def _timed(stage: Callable[[], object], plan: Plan, figures: Figures) -> Measured:
    begun, used, raw = time.perf_counter(), _processor_s(), figures.measured.get("raw fetch")
    stage()
    seconds, processor_s = time.perf_counter() - begun, _processor_s() - used - figures.beginning_s
    per_core_second = round(plan.records / processor_s)
    return Measured(
        seconds=round(seconds, 2),
        processor_s=round(processor_s, 2),
        per_second=round(plan.records / seconds),
        per_core_second=per_core_second,
        of_raw=round(per_core_second / raw.per_core_second, 3) if raw else 1.0,
        largest_mib=round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, 1),
    )


def _processor_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


Take = Callable[[Sequence[RawRecord]], object]


async def _read(source: Source, take: Take, parts: Sequence[Part], monitor: Monitor) -> None:
    for part in parts:
        async with aclosing(source.batches(part)) as batches:
            async for batch in batches:
                take(batch)
                monitor.read(len(batch))


def _decode(records: Sequence[RawRecord]) -> None:
    for record in records:
        readable(record)


_histories: dict[str, PaymentHistory] = {}


def _fold(records: Sequence[RawRecord]) -> None:
    """As many payments are remembered as a replay into Postgres remembers."""
    if len(_histories) > REMEMBERED:
        _histories.clear()
    runs: defaultdict[str, list[Recorded[Event]]] = defaultdict(list)
    for record in records:
        recorded = readable(record)
        runs[recorded.envelope.aggregate_id].append(recorded)
    for payment_id, run in runs.items():
        _histories[payment_id] = fold(_histories.get(payment_id), run)


async def _begin(parts: Sequence[Part], monitor: Monitor) -> None:
    pass


def _quiet(_: int) -> None:
    pass


async def _make_history(settings: Settings, events: int) -> None:
    """Lives that differ in their ids alone: made by replacing them, a hundred thousand a second."""
    await make_topics(settings)
    template = messages_of(PAYMENT, life(SUCCESS, "alpha", "bank", BEGIN))
    template[1] = messages_of(PAYMENT, [routed("alpha", "beta", "gamma")])[0]
    publisher = Publisher(settings.kafka_bootstrap_servers, 60_000)
    await publisher.start()
    made: dict[int, list[Message]] = {partition: [] for partition in range(PAYMENT_PARTITIONS)}
    for number in range(events // EVENTS_OF_A_LIFE):
        payment = new_payment_id(number + 1)
        waiting = made[partition_for(payment)]
        waiting += [_of(payment, message) for message in template]
        if len(waiting) >= PUBLISHED_AT_ONCE:
            await publisher.publish(PAYMENTS_TOPIC, partition_for(payment), waiting)
            waiting.clear()
    for partition, waiting in made.items():
        if waiting:
            await publisher.publish(PAYMENTS_TOPIC, partition, waiting)
    await publisher.stop()


def _of(payment: PaymentId, message: Message) -> Message:
    _, value, headers = message
    old, new = PAYMENT[4:].encode(), payment[4:].encode()
    return (
        payment.encode(),
        value.replace(old, new),
        [(name, text.replace(old, new)) for name, text in headers],
    )


def _show(figures: Figures, console: Console) -> None:
    table = Table(
        title=f"{figures.events:,} events, {figures.processes} processes; {figures.machine.sentence()}"
    )
    for column in ("", "events/s", "of a core", "of a raw fetch", "MiB", "target"):
        table.add_column(column, justify="left" if not column else "right")
    for name, one in figures.measured.items():
        target = f"{TARGETS[name]:,}" if name in TARGETS else ""
        table.add_row(
            name,
            f"{one.per_second:,}",
            f"{one.per_core_second:,}",
            f"{one.of_raw:.0%}",
            f"{one.largest_mib:,.0f}",
            target,
        )
    console.print(table)
