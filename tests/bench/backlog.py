"""`./dev bench backlog`: a verifier behind a hundred thousand due payments: its pace, its limits, its memory.

The payments are written straight to the topic and taken in by the projection; a tenth of them was charged, of the
others the gateway knows nothing. Ordinary payments go on meanwhile. A second verifier then joins the first.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec
import uvloop
from msgspec.structs import replace
from rich.console import Console

from infra.gateways.registry import registry
from infra.gateways.simulator.profile import Latency, Profile
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.local import LOCAL
from infra.local.ports import Ports
from infra.local.processes import Service
from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.postgres.payments import PaymentViews
from infra.settings import Settings
from schemas.codec import PAYMENTS_TOPIC, decode
from schemas.envelope import Position
from schemas.gateway import GatewayConfiguration
from schemas.ids import AttemptId
from tests.bench.backlog_figures import Figures, Phase, show
from tests.bench.doubtful import AMOUNT_MINOR, CURRENCY, put_on_topic
from tests.bench.generator import Plan, drive
from tests.bench.machine import this_machine
from tests.bench.pace import Pace
from tests.bench.payments import payment_requests
from tests.product import Client, Product

LIMITS = {"narrow": (8, 20.0), "usual": (16, 100.0), "wide": (64, 400.0)}
"""Of each gateway: payments that a verifier works on at once, and how many it begins in a second."""
GATEWAY_MS, LOOK_UP_MS = 50, 50
CHARGED_ONE_IN = 10
CHARGES_AT_ONCE = 64
ORDINARY_PER_SECOND = 10.0
SAMPLE_EVERY_S = 1.0
TAKEN_IN_WITHIN_S = 1_800.0
READ_AT_ONCE = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--payments", type=int, default=100_000, help="that are due")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase: one verifier, then two")
    parser.add_argument("--json", type=Path, metavar="FILE", default=LOCAL / "bench" / "backlog.json")


def run(args: argparse.Namespace) -> int:
    """1 when a payment ended twice, or an epoch had two writers."""
    console = Console()
    figures = uvloop.run(_measure(args.payments, args.seconds, console))
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    show(figures, LIMITS, console)
    return 1 if figures.ended_twice or figures.written_twice else 0


async def _measure(payments: int, seconds: float, console: Console) -> Figures:
    stack = Stack(LOCAL / "bench", Ports.free())
    product = _product(stack)
    verifiers = [product.another_verifier(), product.another_verifier()]
    try:
        console.print("starting the product …")
        await stack.start(empty=True)
        await product.start()
        async with _watching(product) as watch:
            return await _scenario(watch, verifiers, payments, seconds, console.print)
    finally:
        for verifier in verifiers:
            await verifier.stop()
        await product.stop()
        await stack.stop()


def _product(stack: Stack) -> Product:
    behaviour = Profile(success_rate=1.0, latency=Latency(fixed_ms=GATEWAY_MS), lookup_ms=LOOK_UP_MS)
    return Product(
        stack,
        stack.folder,
        profiles=[replace(behaviour, gateway=name) for name in LIMITS],
        gateways=[
            {
                "id": name,
                "name": name.title(),
                "adapter": "simulator",
                "payment_methods": ["UPI", "CARD", "NETBANKING", "WALLET"],
                "currencies": [CURRENCY],
                "max_concurrent_checks": at_once,
                "checks_per_second": per_second,
            }
            for name, (at_once, per_second) in LIMITS.items()
        ],
    )


class _Watch:
    """What is seen of the product from outside."""

    def __init__(self, product: Product, client: Client, reader: LogReader, views: PaymentViews) -> None:
        self.product = product
        self.client = client
        self.reader = reader
        self._views = views

    async def lag(self) -> int:
        ends = await self.reader.end_offsets(PAYMENTS_TOPIC, timeout_s=30)
        marks = await self._views.watermarks()
        known = {partition: mark.next_offset for (_, partition), mark in marks.items()}
        return sum(end - known.get(partition, 0) for partition, end in ends.items())

    async def taken_in(self) -> None:
        async with asyncio.timeout(TAKEN_IN_WITHIN_S):
            while await self.lag():  # noqa: ASYNC110  # another process moves it
                await asyncio.sleep(0.2)


@asynccontextmanager
async def _watching(product: Product) -> AsyncIterator[_Watch]:
    database = await Database.connect(product.env["DATABASE_URL"], min_size=0, max_size=1)
    reader, client = LogReader(product.env["KAFKA_BOOTSTRAP_SERVERS"]), Client(product)
    try:
        yield _Watch(product, client, reader, PaymentViews(database, lambda _: 0))
    finally:
        await client.close()
        await reader.stop()
        await database.close()


async def _scenario(
    watch: _Watch, verifiers: Sequence[Service], payments: int, seconds: float, say: Callable[[str], None]
) -> Figures:
    machine = this_machine()
    say(f"{payments:,} payments in doubt are put on the log …")
    begun = time.perf_counter()
    attempts = await _put_on_topic(watch.product, payments)
    written_s = time.perf_counter() - begun
    await watch.taken_in()
    taken_in_s = time.perf_counter() - begun
    records = sum((await watch.reader.end_offsets(PAYMENTS_TOPIC)).values())
    say("a tenth of them was charged …")
    await _charge(watch.product, attempts[::CHARGED_ONE_IN])

    say(f"a verifier, {seconds:g} s …")
    one, two = verifiers
    await one.start()
    await one.wait_ready()
    ready_ms = time.time() * 1000
    phases = [await _phase(watch, [one], seconds)]
    look_ups = (await watch.client.ledger_summary())["most_look_ups_at_once"]
    say(f"two verifiers, {seconds:g} s …")
    await two.start()
    await two.wait_ready()
    phases.append(await _phase(watch, [one, two], seconds))
    claims = await _claims(verifiers)
    for verifier in verifiers:
        await verifier.stop()

    say("reading what they wrote …")
    pace = await _pace(watch.reader)
    return Figures(
        machine=machine,
        payments=payments,
        written_per_second=round(records / written_s),
        projected_per_second=round(records / taken_in_s),
        first_settlement_s=None if pace.first_ms is None else round((pace.first_ms - ready_ms) / 1000, 2),
        phases=tuple(phase(pace) for phase in phases),
        most_look_ups_at_once=look_ups,
        claims=claims,
        ended_twice=pace.ended_twice,
        written_twice=pace.written_twice,
    )


async def _put_on_topic(product: Product, payments: int) -> list[tuple[AttemptId, GatewayConfiguration]]:
    publisher = Publisher(product.env["KAFKA_BOOTSTRAP_SERVERS"], acknowledgement_timeout_ms=30_000)
    await publisher.start()
    gateways = registry(Settings.from_environment(product.env))
    try:
        return await put_on_topic(publisher, gateways.gateways(), payments)
    finally:
        await publisher.stop()
        await gateways.close()


async def _charge(product: Product, attempts: Sequence[tuple[AttemptId, GatewayConfiguration]]) -> None:
    """What the gateway did although nobody heard of it."""
    turns = asyncio.Semaphore(CHARGES_AT_ONCE)
    async with aiohttp.ClientSession() as http:

        async def charge(attempt: AttemptId, gateway: GatewayConfiguration) -> None:
            body = {"reference": attempt, "amount_minor": AMOUNT_MINOR, "currency": CURRENCY}
            url = f"{gateway.base_url}/charges"
            async with turns, http.post(url, json=body | {"method": "UPI", "instrument": {}}) as answer:
                answer.raise_for_status()

        await asyncio.gather(*(charge(attempt, gateway) for attempt, gateway in attempts))


async def _phase(watch: _Watch, verifiers: Sequence[Service], seconds: float) -> Callable[[Pace], Phase]:
    """Its figures, once what was written meanwhile has been read."""
    begin_ms = time.time() * 1000
    before = _memory(verifiers)
    lags: list[int] = []
    sampling = asyncio.create_task(_sample(watch, lags))
    parts = urlsplit(watch.product.api.url)
    ordinary = await drive(
        Plan(
            host=parts.hostname or "",
            port=parts.port or 0,
            request=payment_requests(watch.product.api.url),
            connections=16,
            duration_s=seconds,
            rate_per_s=ORDINARY_PER_SECOND,
        )
    )
    sampling.cancel()
    end_ms, after = begin_ms + seconds * 1000, _memory(verifiers)
    return lambda pace: Phase(
        verifiers=len(verifiers),
        seconds=seconds,
        gateways=pace.between(round(begin_ms), round(end_ms)),
        memory_mib={name: (before[name], after[name]) for name in before},
        most_lag=max(lags, default=0),
        ordinary_ms=ordinary.latency_ms,
        ordinary=ordinary.statuses,
    )


async def _sample(watch: _Watch, lags: list[int]) -> None:
    while True:
        lags.append(await watch.lag())
        await asyncio.sleep(SAMPLE_EVERY_S)


def _memory(verifiers: Sequence[Service]) -> dict[str, float]:
    return {verifier.name: round(verifier.resident_bytes() / 2**20, 1) for verifier in verifiers}


async def _claims(verifiers: Sequence[Service]) -> dict[str, int]:
    """Of all of them, by what became of each."""
    claims: Counter[str] = Counter()
    async with aiohttp.ClientSession() as http:
        for verifier in verifiers:
            async with http.get(f"{verifier.url}/metrics") as answer:
                text = await answer.text()
            for line in text.splitlines():
                if line.startswith("verification_claims_total{"):
                    claims[line.split('"')[1]] += round(float(line.rpartition(" ")[2]))
    return dict(claims)


async def _pace(reader: LogReader) -> Pace:
    pace = Pace()
    for partition, end in (await reader.end_offsets(PAYMENTS_TOPIC, timeout_s=30)).items():
        for start in range(0, end, READ_AT_ONCE):
            stop = min(start + READ_AT_ONCE, end)
            for raw in await reader.read(PAYMENTS_TOPIC, partition, start, stop, timeout_s=60):
                position = Position(topic=PAYMENTS_TOPIC, partition=partition, offset=raw.offset)
                pace.note(decode(raw.value, raw.headers, position, raw.timestamp))
    return pace
