"""`./dev bench rebuild`: the payments' tables are made anew and switched while payments arrive, and switched back.

The log is filled in bulk; the live projection takes all of it in first. Then it is watched how late it is, with and
without a rebuild, while payments are posted at a fixed rate. At the end both generations must say the same.
"""

import argparse
import asyncio
import sys
import time
from array import array
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.local import LOCAL, ROOT
from infra.local.ports import Ports
from infra.local.processes import surroundings
from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.postgres.payments import PaymentViews
from infra.settings import Settings
from schemas.codec import PAYMENTS_TOPIC
from streams.rebuilding.lateness import Lateness
from tests.bench.generator import Plan, drive
from tests.bench.history import lives, publish
from tests.bench.json_figures import add_json_option, write_json
from tests.bench.machine import Machine, this_machine
from tests.bench.payments import payment_requests
from tests.bench.report import Latency, latency_of
from tests.product import Product

MADE_AT_ONCE = 10_000
PATIENCE_S = 1_800.0
LOOK_EVERY_S = 0.1
STRETCH_S = 10.0
LATE_P99_MS = 2_000.0
"""What was asked for."""
EXPECTED = frozenset((201, 202, 402))
"""Paid, not known yet, declined."""


class Spell(msgspec.Struct, kw_only=True):
    """A while of load."""

    seconds: float = 0.0
    statuses: dict[int, int] = msgspec.field(default_factory=dict)
    errors: int = 0
    """Posts without an answer."""
    answer_ms: Latency | None = None
    """Of the slowest stretch of ten seconds."""
    late_ms: Latency | None = None
    """How late the live projection was, in the latest partition, at every look."""

    @property
    def failed(self) -> int:
        return self.errors + sum(count for status, count in self.statuses.items() if status not in EXPECTED)

    @property
    def is_good(self) -> bool:
        return not self.failed and self.late_ms is not None and self.late_ms.p99 < LATE_P99_MS


class Figures(msgspec.Struct, kw_only=True):
    machine: Machine
    payments: int
    records: int = 0
    before: Spell = msgspec.field(default_factory=Spell)
    rebuild: Spell = msgspec.field(default_factory=Spell)
    rollback: Spell = msgspec.field(default_factory=Spell)
    codes: dict[str, int] = msgspec.field(default_factory=dict)
    """What `rebuild` ended with, by its subcommand; `drop` compares all rows."""
    said: list[str] = msgspec.field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return self.rebuild.is_good and self.rollback.is_good and not any(self.codes.values())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--payments", type=int, default=1_000_000, help="on the log before, five events each")
    parser.add_argument("--rate", type=float, default=300.0, help="payments per second that arrive meanwhile")
    parser.add_argument(
        "--before", type=float, default=20.0, help="seconds of load without a rebuild, to compare"
    )
    add_json_option(parser, "rebuild")


def run(args: argparse.Namespace) -> int:
    """1 where a payment failed, the live projection was late, or anything differs."""
    console = Console(stderr=args.json == Path("-"))
    figures = uvloop.run(_measure(args, console.print))
    write_json(figures, args.json)
    _show(figures, console)
    return 0 if figures.is_good else 1


async def _measure(args: argparse.Namespace, say: Callable[[str], None]) -> Figures:
    figures = Figures(machine=this_machine(), payments=args.payments)
    stack = Stack(LOCAL / "bench", Ports.free())
    product = Product(stack, stack.folder)
    try:
        await stack.start(empty=True)
        await product.start()  # before there is a log, or a Postgres that is new to it would be waited for
        settings = Settings.from_environment(product.env)
        say(f"{args.payments:,} payments of history …")
        await _past(settings, args.payments)
        async with Drill(product, settings, figures, say) as drill:
            figures.records = await drill.reaches_the_end()
            say(f"{args.rate:g} payments/s …")
            figures.before = await drill.load(args.rate, asyncio.sleep(args.before))
            figures.rebuild = await drill.load(args.rate, drill.command("payments"))
            figures.rollback = await drill.load(args.rate, drill.command("rollback"))
            await drill.reaches_the_end()
            await drill.command("drop")
    finally:
        await product.stop()
        await stack.stop()
    return figures


async def _past(settings: Settings, payments: int) -> None:
    publisher = Publisher(settings.kafka_bootstrap_servers, acknowledgement_timeout_ms=60_000)
    await publisher.start()
    try:
        for first in range(0, payments, MADE_AT_ONCE):
            await publish(publisher, PAYMENTS_TOPIC, lives(min(MADE_AT_ONCE, payments - first), cells=100))
    finally:
        await publisher.stop()


class Drill(AsyncExitStack):
    def __init__(
        self, product: Product, settings: Settings, figures: Figures, say: Callable[[str], None]
    ) -> None:
        super().__init__()
        self._product = product
        self._settings = settings
        self._figures = figures
        self._say = say

    async def __aenter__(self) -> "Drill":
        self._reader = LogReader(self._settings.kafka_bootstrap_servers)
        self.push_async_callback(self._reader.stop)
        database = await Database.connect(self._settings.database_url, max_size=1)
        self.push_async_callback(database.close)
        self._views = PaymentViews(database, partition_for)
        return self

    async def reaches_the_end(self) -> int:
        """How many records that is."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                ends = await self._reader.end_offsets(PAYMENTS_TOPIC, timeout_s=10)
                marks = await self._views.watermarks()
                if all(marks[PAYMENTS_TOPIC, p].next_offset == end for p, end in ends.items() if end):
                    return sum(ends.values())
                await asyncio.sleep(LOOK_EVERY_S)

    async def command(self, name: str) -> None:
        self._say(f"rebuild {name} …")
        command = [sys.executable, "-m", "streams.cli", "rebuild", name]
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=surroundings(self._product.env), stdout=PIPE, stderr=STDOUT
        )
        assert process.stdout is not None
        async for line in process.stdout:
            self._figures.said.append(line.decode().rstrip())
            self._say(f"  {self._figures.said[-1]}")
        self._figures.codes[name] = await process.wait()

    async def load(self, rate_per_s: float, work: Coroutine[None, None, None]) -> Spell:
        """Until the work is done, in stretches."""
        spell, begun = Spell(), time.perf_counter()
        late_s = array("d")
        looking, working = asyncio.create_task(self._look(late_s)), asyncio.create_task(work)
        statuses: Counter[int] = Counter()
        parts = urlsplit(self._product.api.url)
        while not working.done():
            plan = Plan(
                host=parts.hostname or "",
                port=parts.port or 0,
                request=payment_requests(self._product.api.url),
                connections=128,
                duration_s=STRETCH_S,
                rate_per_s=rate_per_s,
            )
            report = await drive(plan)
            statuses.update(report.statuses)
            spell.errors += sum(report.errors.values())
            slowest = spell.answer_ms
            if report.latency_ms and (slowest is None or slowest.p99 < report.latency_ms.p99):
                spell.answer_ms = report.latency_ms
        looking.cancel()
        await working
        spell.statuses, spell.late_ms = dict(sorted(statuses.items())), latency_of(late_s)
        spell.seconds = round(time.perf_counter() - begun, 1)
        return spell

    async def _look(self, late_s: "array[float]") -> None:
        lateness = Lateness()
        while True:
            marks = {partition: mark for (_, partition), mark in (await self._views.watermarks()).items()}
            ends = await self._reader.end_offsets(PAYMENTS_TOPIC, timeout_s=10)
            late_s.append(lateness.see(marks, ends, time.time() * 1000) / 1000)
            await asyncio.sleep(LOOK_EVERY_S)


def _show(figures: Figures, console: Console) -> None:
    names = ("without", "rebuild and switch", "way back")
    title = f"{figures.payments:,} payments, {figures.records:,} records beside load"
    table = Table("", *names, title=title)
    for row in zip(*map(_column, (figures.before, figures.rebuild, figures.rollback)), strict=True):
        table.add_row(row[0][0], *(value for _, value in row))
    console.print(table)
    compared = "nothing differs" if figures.codes.get("drop") == 0 else "something differs"
    console.print(f"at the end, live rows against the others: {compared}")
    console.print(figures.machine.sentence(), soft_wrap=True)


def _column(spell: Spell) -> list[tuple[str, str]]:
    late, answer = spell.late_ms, spell.answer_ms
    return [
        ("seconds", f"{spell.seconds:g}"),
        ("payments by status", ", ".join(f"{status}: {count:,}" for status, count in spell.statuses.items())),
        ("  failed (asked for: 0)", f"{spell.failed}"),
        ("  answered within, p99 of the slowest ten seconds, ms", f"{answer.p99:g}" if answer else ""),
        ("live projection late, p50 ms", f"{late.p50:g}" if late else ""),
        ("  p99 (asked for: under 2,000)", f"{late.p99:g}" if late else ""),
        ("  most", f"{late.max:g}" if late else ""),
    ]
