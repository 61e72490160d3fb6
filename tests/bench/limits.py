"""`./dev bench limits`: how exact the rate limit is over two processes, and what it costs a request."""

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import aiohttp
import uvloop
from msgspec import Struct
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table
from starlette.types import Receive, Scope, Send

from api.admin import Admin
from api.client_address import TrustedProxies
from api.rate_limits import RateLimited
from infra.clock import SystemClock
from infra.local import LOCAL
from infra.local.ports import Ports
from infra.local.stack import Stack
from infra.memory.rate_limits import LocalRateLimits
from infra.redis.absence import Absence
from infra.redis.connection import connect
from infra.redis.rate_limits import RedisRateLimits
from schemas.rate_limit import RateLimit
from tests.bench.json_figures import add_json_option, write_json
from tests.bench.machine import Machine, this_machine
from tests.product import Product

LIMIT = RateLimit(name="client", per_second=100, burst=200)
ENVIRONMENT = {"RATE_LIMIT_PER_SECOND": "100", "RATE_LIMIT_BURST": "200"}
TARGET_ERROR, TARGET_ADDED_MS = 0.02, 0.3
AT_ONCE = 16


class Counted(Struct, frozen=True, kw_only=True):
    """`allowed` is what the limit comes to between the first request and the last, by Redis's clock."""

    requests: int
    let_through: int
    refused: int
    allowed: float

    @property
    def error(self) -> float:
        return self.let_through / self.allowed - 1


class Figures(Struct, frozen=True, kw_only=True):
    machine: Machine
    counted: Counted
    error: float
    added_ms_p50: float
    """One request after the other."""
    added_ms_p50_at_64: float
    """Per request, where 64 come at once."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requests", type=int, default=10_000)
    add_json_option(parser, "limits")


def run(args: argparse.Namespace) -> int:
    """1 where a figure misses its target."""
    console = Console(stderr=args.json == Path("-"))
    figures = uvloop.run(_measure(args, console.print))
    write_json(figures, args.json)
    table = Table("figure", "measured", "asked for", title="the rate limit, two API processes")
    table.add_row("requests, let through", f"{args.requests:,}, {figures.counted.let_through:,}", "")
    table.add_row("beside the limit", f"{figures.error:+.2%}", "within 2 %")
    table.add_row("added, p50", f"{figures.added_ms_p50:.3f} ms", f"≤ {TARGET_ADDED_MS} ms")
    table.add_row("added per request of 64 at once, p50", f"{figures.added_ms_p50_at_64:.3f} ms", "")
    console.print(table)
    is_met = abs(figures.error) <= TARGET_ERROR and figures.added_ms_p50 <= TARGET_ADDED_MS
    return 0 if is_met else 1


async def _measure(args: argparse.Namespace, say: Callable[[str], None]) -> Figures:
    stack = Stack(LOCAL / "bench", Ports.free())
    product = Product(stack, stack.folder, apis=2, env=ENVIRONMENT)
    try:
        say("starting the product …")
        await stack.start(empty=True)
        await product.start()
        say(f"{args.requests:,} requests of one client at two processes …")
        redis = connect(stack.env["REDIS_URL"])
        counted = await count(redis, [api.url for api in product.apis], "203.0.113.7", args.requests)
        say("what it adds …")
        bare, limited = _nothing, _limited(redis)
        one, one_limited = await _each_ms(bare, 1), await _each_ms(limited, 1)
        many, many_limited = await _each_ms(bare, 64), await _each_ms(limited, 64)
        await redis.aclose()
        return Figures(
            machine=this_machine(),
            counted=counted,
            error=counted.error,
            added_ms_p50=one_limited - one,
            added_ms_p50_at_64=many_limited - many,
        )
    finally:
        await product.stop()
        await stack.stop()


async def count(
    redis: Redis, urls: Sequence[str], client: str, requests: int, limit: RateLimit = LIMIT
) -> Counted:
    """So many requests of one client, `AT_ONCE` at a time, in turn at each of the processes."""
    left = iter(range(requests))
    statuses: list[int] = []

    async def ask(http: aiohttp.ClientSession) -> None:
        for number in left:
            async with http.get(f"{urls[number % len(urls)]}/nothing") as answer:
                statuses.append(answer.status)

    async with aiohttp.ClientSession(headers={"X-Forwarded-For": client}) as http:
        since_s = await _redis_time_s(redis)
        await asyncio.gather(*(ask(http) for _ in range(AT_ONCE)))
        elapsed_s = await _redis_time_s(redis) - since_s
    return Counted(
        requests=len(statuses),
        let_through=statuses.count(404),
        refused=statuses.count(429),
        allowed=limit.burst + limit.per_second * elapsed_s,
    )


async def _redis_time_s(redis: Redis) -> float:
    seconds, microseconds = await redis.time()
    return float(seconds) + float(microseconds) / 1e6


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


def _limited(redis: Redis) -> RateLimited:
    elapsed_ms = SystemClock().elapsed_ms
    limits = RedisRateLimits(redis, LocalRateLimits(elapsed_ms), Absence(elapsed_ms), "a secret")
    return RateLimited(_nothing, limits, LIMIT, TrustedProxies(()), Admin("dev-internal-key"))


async def _each_ms(app: Callable[..., object], at_once: int, rounds: int = 2000) -> float:
    """The median of so many rounds, per request."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    async def send(_: object) -> None:
        pass

    async def ask(number: int) -> None:
        scope = {
            "type": "http",
            "path": "/payments",
            "client": (f"203.0.113.{number}", 1),
            "headers": [(b"host", b"x")] * 8,
            "state": {},
        }
        await app(scope, receive, send)  # type: ignore[misc]

    taken = []
    for number in range(rounds):
        since = time.perf_counter()
        await asyncio.gather(*(ask(number % 4 + n) for n in range(at_once)))
        taken.append((time.perf_counter() - since) * 1000 / at_once)
    return sorted(taken[rounds // 10 :])[len(taken[rounds // 10 :]) // 2]
