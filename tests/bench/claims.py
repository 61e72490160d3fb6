"""`./dev bench claims`: what a verifier's claim costs, behind short and long backlogs."""

import argparse
import time
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlsplit

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table

from infra.clock import SystemClock
from infra.local import LOCAL
from infra.local.ports import Ports
from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.postgres.verification_queue import PostgresVerificationQueue
from schemas.ids import GatewayId
from tests.bench.machine import this_machine
from tests.infra.postgres.backlog import due_payments, last_looks, owned_payments, told_payments

FREE = 16
GUARD_MS = 750
LEASE_MS = 20_000
GATEWAY = GatewayId("alpha")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backlog", type=int, default=100_000, help="payments in the long one")
    parser.add_argument("--claims", type=int, default=50, help="how many claims, of 16 payments each")
    parser.add_argument("--json", type=Path, metavar="FILE", default=LOCAL / "bench" / "claims.json")


def run(args: argparse.Namespace) -> int:
    figures = uvloop.run(_measure(args.backlog, args.claims))
    args.json.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": this_machine(), "milliseconds": figures}
    args.json.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    table = Table("behind", "p50 ms", "p95 ms", title=f"a claim of {FREE} payments")
    for behind, (middle, high) in figures.items():
        table.add_row(behind, f"{middle:.1f}", f"{high:.1f}")
    Console().print(table)
    return 0


async def _measure(backlog: int, claims: int) -> dict[str, tuple[float, float]]:
    stack = Stack(LOCAL / "bench", Ports.free())
    try:
        await stack.start(empty=True)
        url = stack.env["DATABASE_URL"]
        just_enough = claims * FREE
        return {
            f"{just_enough:,} due": await _timed(url, "short", claims, due=just_enough),
            f"{backlog:,} due": await _timed(url, "long", claims, due=backlog),
            f"{just_enough:,} due, {backlog:,} owned": await _timed(
                url, "owned", claims, due=just_enough, owned=backlog
            ),
            f"{just_enough:,} due, {backlog:,} last looks": await _timed(
                url, "last_looks", claims, due=just_enough, looks=backlog
            ),
            f"{just_enough:,} due, {backlog:,} unused messages": await _timed(
                url, "told", claims, due=just_enough, told=backlog
            ),
        }
    finally:
        await stack.stop()


async def _timed(
    url: str, name: str, claims: int, *, due: int, owned: int = 0, looks: int = 0, told: int = 0
) -> tuple[float, float]:
    url = str(urlsplit(url)._replace(path=f"/claims_{name}").geturl())
    await migrate(url)
    database = await Database.connect(url)
    try:
        await due_payments(database, GATEWAY, due)
        await owned_payments(database, GATEWAY, owned)
        await last_looks(database, GATEWAY, looks)
        await told_payments(database, GATEWAY, told)
        queue = PostgresVerificationQueue(database, SystemClock(), GUARD_MS)
        took = [await _claim(queue) for _ in range(claims)]
        return quantiles(took, n=20)[9], quantiles(took, n=20)[18]
    finally:
        await database.close()


async def _claim(queue: PostgresVerificationQueue) -> float:
    began = time.perf_counter()
    await queue.claim({GATEWAY: FREE}, LEASE_MS)
    return (time.perf_counter() - began) * 1000
