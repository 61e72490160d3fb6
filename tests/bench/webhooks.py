"""`./dev bench webhooks`: a hundred endpoints, some of which hang or fail, and how soon the healthy ones are told.

Subscriptions are made over HTTP; payments are put on the topic as the service would write them, each for one endpoint.
The time counts from the event to the arrival of its first delivery, in one process, so on one clock.
"""

import argparse
import asyncio
import time
from array import array
from collections.abc import Callable
from itertools import count

import aiohttp
import msgspec
import uvloop
from aiohttp import web
from rich.console import Console
from rich.table import Table
from standardwebhooks import Webhook

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.local import LOCAL
from infra.local.ports import HOST, Ports
from infra.local.stack import Stack
from infra.settings import DEFAULT_ADMIN_KEY
from schemas.codec import PAYMENTS_TOPIC, encode
from schemas.envelope import Outgoing, unowned
from tests.bench.json_figures import add_json_option, write_json
from tests.bench.machine import Machine, this_machine
from tests.bench.report import Latency, latency_of
from tests.product import Product
from tests.projections.story import paid, renamed, requested, routed, started, succeeded

TARGET_P99_MS = 1_000.0
ACKNOWLEDGED_WITHIN_MS = 30_000
"""A payment that is not certain to be on the log could not be counted."""
ARRIVED_WITHIN_S = 60.0
LOOK_EVERY_S = 0.1


class Figures(msgspec.Struct, kw_only=True):
    machine: Machine
    endpoints: int
    hanging: int
    failing: int
    events_per_second: float
    seconds: float
    dispatchers: int
    killed: int
    healthy_first_delivery_ms: Latency | None = None
    to_healthy: int = 0
    """Events that healthy endpoints were to be told of."""
    lost: int = 0
    """Those that did not arrive within a minute after the load."""
    repeated: int = 0
    """Deliveries that came again: after a kill some may."""
    unverified: int = 0
    dispatcher_cpu_ms_per_event: float = 0.0
    dispatcher_mib: float = 0.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--endpoints", type=int, default=100)
    parser.add_argument("--hanging", type=int, default=10)
    parser.add_argument("--failing", type=int, default=10)
    parser.add_argument("--rate", type=float, default=200.0, help="events a second, over all endpoints")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--dispatchers", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0, help="so often a dispatcher is killed under load")
    add_json_option(parser, "webhooks")


def run(args: argparse.Namespace) -> int:
    """1 when the target is missed, or anything was lost."""
    console = Console(stderr=True)
    figures = uvloop.run(_measure(args, console.print))
    write_json(figures, args.json)
    _show(figures, console)
    latency = figures.healthy_first_delivery_ms
    is_late = latency is None or (latency.p99 > TARGET_P99_MS and not figures.killed)
    return 1 if is_late or figures.lost or figures.unverified else 0


class Receivers:
    """All endpoints. The first ones hang, the next ones fail, the others answer at once."""

    def __init__(self, hanging: int, failing: int) -> None:
        self._hanging = hanging
        self._failing = failing
        self.secrets: dict[int, Webhook] = {}
        self.arrived: dict[tuple[int, str], float] = {}
        """When the first delivery of a payment came to a healthy endpoint."""
        self.repeated = 0
        self.unverified = 0

    def is_healthy(self, number: int) -> bool:
        return number >= self._hanging + self._failing

    async def start(self) -> int:
        app = web.Application()
        app.router.add_post("/{number}", self._receive)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        number, at = int(request.match_info["number"]), time.time()
        if number < self._hanging:
            await asyncio.sleep(3_600)
        if not self.is_healthy(number):
            return web.Response(status=500)
        self._note(number, at, await request.read(), dict(request.headers))
        return web.Response(status=204)

    def _note(self, number: int, at: float, body: bytes, headers: dict[str, str]) -> None:
        try:
            told = self.secrets[number].verify(body, headers)
        except Exception:
            self.unverified += 1
            return
        place = (number, told["data"]["payment_id"])
        self.repeated += place in self.arrived
        self.arrived.setdefault(place, at)


async def _measure(args: argparse.Namespace, say: Callable[[str], None]) -> Figures:
    figures = Figures(
        machine=this_machine(),
        endpoints=args.endpoints,
        hanging=args.hanging,
        failing=args.failing,
        events_per_second=args.rate,
        seconds=args.seconds,
        dispatchers=args.dispatchers,
        killed=args.kills,
    )
    stack = Stack(LOCAL / "bench", Ports.free())
    product = Product(
        stack,
        stack.folder,
        webhook_dispatchers=args.dispatchers,
        env={"WEBHOOK_ALLOWED_TARGETS": "127.0.0.0/8"},
    )
    receivers = Receivers(args.hanging, args.failing)
    publisher = Publisher(stack.env["KAFKA_BOOTSTRAP_SERVERS"], ACKNOWLEDGED_WITHIN_MS)
    try:
        say("starting the product …")
        await stack.start(empty=True)
        await product.start()
        await publisher.start()
        port = await receivers.start()
        await _subscribe(product, receivers, port, args.endpoints)
        say(f"{args.seconds:g} s at {args.rate:g} events/s …")
        before = [one.cpu_seconds() for one in product.webhook_dispatchers]
        killing = asyncio.create_task(_kill(product, args.kills, args.seconds))
        happened = await _load(publisher, args.endpoints, args.rate, args.seconds)
        await killing
        if not args.kills:
            cpu_s = sum(one.cpu_seconds() for one in product.webhook_dispatchers) - sum(before)
            figures.dispatcher_cpu_ms_per_event = round(cpu_s * 1000 / len(happened), 3)
        expected = {place for place in happened if receivers.is_healthy(place[0])}
        await _arrive(receivers, expected)
        figures.dispatcher_mib = round(
            max(one.resident_bytes() for one in product.webhook_dispatchers) / 2**20, 1
        )
    finally:
        await publisher.stop()
        await product.stop()
        await receivers.stop()
        await stack.stop()
    waits = array("d", [at - happened[place] for place, at in receivers.arrived.items()])
    figures.healthy_first_delivery_ms = latency_of(waits)
    figures.to_healthy = len(expected)
    figures.lost = len(expected - receivers.arrived.keys())
    figures.repeated, figures.unverified = receivers.repeated, receivers.unverified
    return figures


async def _subscribe(product: Product, receivers: Receivers, port: int, endpoints: int) -> None:
    async with aiohttp.ClientSession(headers={"X-Internal-Api-Key": DEFAULT_ADMIN_KEY}) as http:
        for number in range(endpoints):
            body = {
                "url": f"http://{HOST}:{port}/{number}",
                "event_types": ["payment.*"],
                "merchant_ids": [f"m_{number}"],
            }
            async with http.post(f"{product.api.url}/webhooks/subscriptions", json=body) as answer:
                assert answer.status == 201, await answer.text()
                receivers.secrets[number] = Webhook((await answer.json())["secret"])
    await asyncio.sleep(1)  # in force everywhere within half of it


async def _load(
    publisher: Publisher, endpoints: int, rate: float, seconds: float
) -> dict[tuple[int, str], float]:
    """When each payment ended, by endpoint and payment."""
    clock, happened = SystemClock(), dict[tuple[int, str], float]()
    sequence = count()

    async def pay() -> None:
        number = next(sequence) % endpoints
        payment = clock.payment_id()
        messages = []
        for event in (requested(f"m_{number}"), routed(), started(), succeeded(), paid()):
            envelope = unowned(clock.event_id(), payment, clock.now())
            outgoing = Outgoing(envelope=envelope, event=renamed(event, payment))
            messages.append((payment.encode(), *encode(outgoing)))
        happened[number, payment] = time.time()
        await publisher.publish(PAYMENTS_TOPIC, partition_for(payment), messages)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(round(seconds * rate)):
            late_s = begun + number / rate - time.perf_counter()
            if late_s > 0:
                await asyncio.sleep(late_s)
            group.create_task(pay())
    return happened


async def _kill(product: Product, kills: int, seconds: float) -> None:
    for number in range(kills):
        await asyncio.sleep(seconds / (kills + 1))
        victim = product.webhook_dispatchers[number % len(product.webhook_dispatchers)]
        victim.kill()
        await victim.start()


async def _arrive(receivers: Receivers, expected: set[tuple[int, str]]) -> None:
    for _ in range(round(ARRIVED_WITHIN_S / LOOK_EVERY_S)):
        if expected <= receivers.arrived.keys():
            return
        await asyncio.sleep(LOOK_EVERY_S)


def _show(figures: Figures, console: Console) -> None:
    table = Table(title=figures.machine.sentence())
    table.add_column("figure")
    table.add_column("", justify="right")
    table.add_column("target", justify="right")
    latency = figures.healthy_first_delivery_ms
    if latency is not None:
        table.add_row("first delivery p50, ms", f"{latency.p50:.0f}", "")
        table.add_row("first delivery p99, ms", f"{latency.p99:.0f}", f"{TARGET_P99_MS:.0f}")
        table.add_row("first delivery at most, ms", f"{latency.max:.0f}", "")
    table.add_row("events for healthy endpoints", f"{figures.to_healthy:,}", "")
    table.add_row("lost", str(figures.lost), "0")
    table.add_row("repeated", str(figures.repeated), "")
    table.add_row("not verified", str(figures.unverified), "0")
    table.add_row("dispatchers' CPU per event, ms", f"{figures.dispatcher_cpu_ms_per_event:.2f}", "")
    table.add_row("largest dispatcher, MiB", f"{figures.dispatcher_mib:.0f}", "")
    console.print(table)
