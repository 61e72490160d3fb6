"""`./dev bench recovery`: how soon the product is itself again after a kill, under a steady load."""

import argparse
import asyncio
import time
from pathlib import Path

import asyncpg
import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from infra.local import LOCAL
from infra.local.child import Child
from infra.local.ports import Ports
from infra.local.stack import Stack
from tests.bench.machine import this_machine
from tests.chaos.load import Load, assert_nothing_is_lost_or_charged_twice
from tests.product import Client, Product

PATIENCE_S = 60.0
_PROGRESS = "SELECT sum(next_offset)::bigint FROM watermarks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--outage", type=float, default=20.0, metavar="SECONDS", help="how long Kafka and Postgres are away"
    )
    parser.add_argument("--rate", type=float, default=60.0, help="payments per second meanwhile")
    parser.add_argument("--json", type=Path, metavar="FILE", default=LOCAL / "bench" / "recovery.json")


def run(args: argparse.Namespace) -> int:
    console = Console()
    figures = uvloop.run(_measure(args, console))
    args.json.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": this_machine(), "seconds": figures}
    args.json.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    table = Table("what", "seconds", title="recovery; nothing was lost or charged twice in any of these")
    for what, seconds in figures.items():
        table.add_row(what, f"{seconds:.2f}")
    console.print(table)
    return 0


async def _measure(args: argparse.Namespace, console: Console) -> dict[str, float]:
    folder = LOCAL / "bench"
    stack = Stack(folder, Ports.free())
    product = Product(stack, folder)
    try:
        await stack.start(empty=True)
        await product.start()
        return {
            "worker killed: start to the first projected event": await _worker_killed(args, product, console),
            "API killed: start to the first payment": await _away(args, product, product.api, 0.5, console),
            "Kafka killed: start to the first payment": await _away(
                args, product, stack.kafka, args.outage, console
            ),
            "Postgres killed: start to the first payment": await _away(
                args, product, stack.postgres, args.outage, console
            ),
        }
    finally:
        await product.stop()
        await stack.stop()


async def _worker_killed(args: argparse.Namespace, product: Product, console: Console) -> float:
    console.print("the worker is killed …")
    client = Client(product)
    connection = await asyncpg.connect(product.stack.env["DATABASE_URL"])
    try:
        async with Load(client, per_second=args.rate) as load:
            await asyncio.sleep(3)
            product.worker.kill()
            await asyncio.sleep(2)
            before, begun = await connection.fetchval(_PROGRESS), time.perf_counter()
            await product.worker.start()
            async with asyncio.timeout(PATIENCE_S):
                while await connection.fetchval(_PROGRESS) == before:  # noqa: ASYNC110  # another process moves it
                    await asyncio.sleep(0.005)
            took_s = time.perf_counter() - begun
        await assert_nothing_is_lost_or_charged_twice(product.stack, client, load)
        return took_s
    finally:
        await connection.close()
        await client.close()


async def _away(
    args: argparse.Namespace, product: Product, child: Child, seconds: float, console: Console
) -> float:
    console.print(f"{child.name} is killed, and away for {seconds:g} s …")
    client = Client(product)
    try:
        async with Load(client, per_second=args.rate) as load:
            await asyncio.sleep(3)
            child.kill()
            await asyncio.sleep(seconds)
            begun = time.perf_counter()
            await child.start()
            async with asyncio.timeout(PATIENCE_S):
                for attempt in range(10_000):
                    if (await client.pay(f"{child.name}-{begun}-{attempt}")).status == 201:
                        break
                    await asyncio.sleep(0.02)
            took_s = time.perf_counter() - begun
            await asyncio.sleep(2)
        await product.api.wait_ready()
        await assert_nothing_is_lost_or_charged_twice(product.stack, client, load)
        console.print(f"  answers by status: {load.statuses}")
        return took_s
    finally:
        await client.close()
