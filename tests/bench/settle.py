"""`./dev bench settle`: how soon a payment that nobody knew the end of is settled, by the broker's stamps.

Real processes: two APIs (one of them is killed), a worker, a verifier, the gateways' simulator, Kafka and Postgres.
"""

import argparse
import asyncio
import math
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import asyncpg
import msgspec
import uvloop
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from infra.gateways.local import RAZORPAY_WEBHOOK_SECRET
from infra.gateways.simulator.defaults import CASHFREE, PAYU, RAZORPAY
from infra.gateways.simulator.profile import Fault, Latency, Profile, Webhooks
from infra.local import LOCAL
from infra.local.ports import Ports
from infra.local.stack import Stack
from schemas.instrument import PaymentMethod
from schemas.payment import PaymentRequested
from schemas.routing_configuration import RetryPolicy
from tests.bench.machine import this_machine
from tests.bench.payments import INSTRUMENTS
from tests.bench.settling import (
    History,
    Span,
    Spans,
    after_first_check,
    after_hand_over,
    after_window,
    spans,
    until_given_back,
)
from tests.product import Client, Product, plain, read_topic

MOST_PAYMENTS = 5_000
PER_SECOND = 20
WARM_UP = 10
"""Payments before those that count: a verifier's first ones wait up to a second longer, until it is connected."""
ORPHANS_AT_ONCE = 20
"""Of each kind, when the API is killed: what a gateway's default limits let a verifier look at within half a second."""
BUDGET_MS, GATEWAY_TIMEOUT_MS = 3_000, 2_000
SCHEDULE_S = (3, 6, 12)
SETTLED_WITHIN_S = 90.0
HASTY = "m_hasty"
MERCHANTS = ("m_001", "m_002", "m_003", "m_004")

TOLD: tuple[PaymentMethod, ...] = ("CARD", "UPI")
"""Of Razorpay, which tells; its first check comes long after the end of these runs."""
POLLED: tuple[PaymentMethod, ...] = ("NETBANKING", "WALLET")
"""Of gateways that tell nothing: one speaks Razorpay's wire, the other the simulator's own."""

Gateway = Mapping[str, object]
GATEWAYS: tuple[Gateway, ...] = (
    {"id": "razorpay", "adapter": "razorpay", "payment_methods": TOLD, "priority": 10},
    {"id": "silent", "adapter": "razorpay", "payment_methods": ["NETBANKING"], "priority": 20},
    {"id": "payu", "adapter": "simulator", "payment_methods": ["WALLET"], "priority": 30},
    {"id": "cashfree", "adapter": "simulator", "payment_methods": TOLD, "priority": 40},
)

_LEFT = """
SELECT (SELECT count(*) FROM verifications)
    + (SELECT count(*) FROM payments WHERE status NOT IN ('SUCCESS', 'FAILURE'))
"""

# What is measured, where from, and what was asked for. A run's name is the customer of its payments.
ROWS: tuple[tuple[str, str, Span, str], ...] = (
    ("timeout, told: after hand-over", "timeout-told", after_hand_over, "< 1,000"),
    ("timeout, polled: after it was due", "timeout-polled", after_first_check, "< 3,000"),
    ("killed, told: after its window", "killed-told", after_window, "< 2,000"),
    ("killed, polled: after its window", "killed-polled", after_window, "< 2,000"),
    ("second success: until given back", "hasty", until_given_back, ""),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--payments", type=int, default=100, help=f"of each kind, at most {MOST_PAYMENTS:,} (default 100)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", default=LOCAL / "bench" / "settle.json")


def run(args: argparse.Namespace) -> int:
    """1 when a payment was not settled."""
    console, machine = Console(), this_machine()
    payments = min(args.payments, MOST_PAYMENTS)
    figures = uvloop.run(_measure(payments, console))
    args.json.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "milliseconds": figures}
    args.json.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    _show(figures, console)
    console.print(machine.sentence(), soft_wrap=True)
    return 0 if all(found.count == found.of for found in figures.values()) else 1


def _show(figures: Mapping[str, Spans], console: Console) -> None:
    columns = ("payments", "taken over", "p50", "p99", "max", "asked for")
    table = Table("what, in ms", *columns, title="time to settle")
    for (what, *_, wanted), found in zip(ROWS, figures.values(), strict=True):
        taken_over = "" if found.taken_over_p50 is None else f"{found.taken_over_p50:,}"
        numbers = (f"{number:,}" for number in (found.p50, found.p99, found.max))
        table.add_row(what, f"{found.count}/{found.of}", taken_over, *numbers, wanted)
    console.print(table)


async def _measure(payments: int, console: Console) -> dict[str, Spans]:
    stack = Stack(LOCAL / "bench", Ports.free())
    product = _product(stack)
    try:
        console.print("starting the product …")
        await stack.start(empty=True)
        await product.start()
        client = Client(product)
        try:
            await _scenarios(payments, product, client, console.print)
        finally:
            await client.close()
        return await _figures(stack)
    finally:
        await product.stop()
        await stack.stop()


def _product(stack: Stack) -> Product:
    policies = stack.folder / "policies.json"
    policies.parent.mkdir(parents=True, exist_ok=True)
    hasty = RetryPolicy(latency_budget_ms=BUDGET_MS, retry_on_timeout=True)
    policies.write_bytes(msgspec.json.encode({HASTY: hasty}))
    usual = {"currencies": ["INR"]}
    schedules = {
        **dict.fromkeys(TOLD, "120,240"),
        **dict.fromkeys(POLLED, ",".join(map(str, SCHEDULE_S))),
    }
    return Product(
        stack,
        stack.folder,
        apis=2,
        verifiers=1,
        profiles=[],
        gateways=[{"name": gateway["id"], **usual, **gateway} for gateway in GATEWAYS],
        env={
            "RETRY_LATENCY_BUDGET_MS": str(BUDGET_MS),
            "GATEWAY_TIMEOUT_MS": str(GATEWAY_TIMEOUT_MS),
            "RETRY_POLICIES_FILE": str(policies),
            **{f"VERIFICATION_SCHEDULE_{method}": after for method, after in schedules.items()},
        },
    )


async def _scenarios(payments: int, product: Product, client: Client, say: Callable[[str], None]) -> None:
    await _behave(product, client, faults=(Fault(kind="effect_then_timeout"),))
    await _pay(client, "first", TOLD, WARM_UP)
    say("gateways take the money and do not answer …")
    await asyncio.gather(
        _pay(client, "timeout-told", TOLD, payments),
        _pay(client, "timeout-polled", POLLED, payments),
    )
    say("a hasty merchant's payments are made twice …")
    await _pay(client, "hasty", ("CARD",), payments, merchants=(HASTY,))
    await _all_settled(product)
    say("the API is killed in the call …")
    await _behave(product, client, latency=Latency(fixed_ms=GATEWAY_TIMEOUT_MS - 500))
    for _ in range(math.ceil(payments / ORPHANS_AT_ONCE)):
        await _orphan(product, client, min(payments, ORPHANS_AT_ONCE))
    await _all_settled(product)


async def _behave(
    product: Product, client: Client, *, faults: tuple[Fault, ...] = (), latency: Latency | None = None
) -> None:
    """What is told comes to the API that is not killed. The last gateway has no faults: it is asked second."""
    url = f"{product.apis[1].url}/gateway-notifications/razorpay"
    webhooks = Webhooks(url=url, secrets=(RAZORPAY_WEBHOOK_SECRET,))
    usual: tuple[Profile, ...] = (
        replace(RAZORPAY, webhooks=webhooks, faults=faults),
        replace(RAZORPAY, gateway="silent", faults=faults),
        replace(PAYU, faults=faults),
        CASHFREE,
    )
    for profile in usual:
        behaves = replace(profile, success_rate=1.0, latency=latency or Latency(fixed_ms=50))
        await client.set_profile(**plain(behaves))


async def _pay(
    client: Client,
    name: str,
    methods: Sequence[PaymentMethod],
    payments: int,
    *,
    merchants: Sequence[str] = MERCHANTS,
    pause_s: float = 1 / PER_SECOND,
) -> None:
    """Returns when all are answered, also by a connection that ended."""
    posts = []
    for number in range(payments):
        method = methods[number % len(methods)]
        post = client.pay(
            f"key-{uuid.uuid4()}",
            payment_method=method,
            instrument=INSTRUMENTS[method],
            merchant_id=merchants[number % len(merchants)],
            customer_id=name,
        )
        posts.append(asyncio.create_task(post))
        await asyncio.sleep(pause_s)
    await asyncio.gather(*posts)


async def _orphan(product: Product, client: Client, payments: int) -> None:
    """Payments whose attempts are written ahead and under way when their API is killed."""
    posts = [
        asyncio.create_task(_pay(client, name, methods, payments, pause_s=0.02))
        for name, methods in (("killed-told", TOLD), ("killed-polled", POLLED))
    ]
    await asyncio.sleep(0.02 * payments + 0.5)
    product.api.kill()
    await asyncio.gather(*posts)
    await product.api.start()
    await product.api.wait_ready()


async def _all_settled(product: Product) -> None:
    """Or the time is up; the figures then tell how many are missing."""
    give_up_at = time.monotonic() + SETTLED_WITHIN_S
    connection = await asyncpg.connect(product.stack.env["DATABASE_URL"])
    try:
        await asyncio.sleep(1)
        while await connection.fetchval(_LEFT) and time.monotonic() < give_up_at:  # noqa: ASYNC110  # others move it
            await asyncio.sleep(0.5)
    finally:
        await connection.close()


async def _figures(stack: Stack) -> dict[str, Spans]:
    by_customer: dict[str, list[History]] = defaultdict(list)
    for history in (await read_topic(stack)).values():
        requested = history[0].event
        if isinstance(requested, PaymentRequested):
            by_customer[requested.order.customer_id].append(history)
    return {what: spans(by_customer[name], span) for what, name, span, _ in ROWS}
