"""A whole product under load and disasters, then made whole again, then everything that it left behind is checked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from infra.gateways.registry import registry
from infra.kafka.reader import LogReader
from infra.local.child import Child
from infra.local.ports import Ports
from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.settings import Settings
from schemas.base import Value
from tests.chaos import mix
from tests.chaos.aftermath import Aftermath, gathered
from tests.chaos.checker import Checker
from tests.chaos.disasters import Disasters, forecast
from tests.chaos.figures import Figures, figures
from tests.chaos.learned import Learning, circuit_figures
from tests.chaos.listeners import Listeners
from tests.chaos.recovery import everybody_is_answered, everything_runs, heal_gateways, nothing_is_left
from tests.chaos.reviewer import Reviewer
from tests.chaos.shoppers import Shoppers
from tests.chaos.spells import come_and_go
from tests.checker.checker import Violation
from tests.product import Client, Product, plain

PROCESSES = 2
"""Of each: API, projection worker, verifier, circuit writer, metrics worker, webhook dispatcher."""
Say = Callable[[str], None]


class Chaos(Value, frozen=True, kw_only=True):
    """What was drawn from a seed is drawn again from it; what the processes make of it is theirs."""

    seed: int
    seconds: float
    per_second: float


class Result(Value, frozen=True, kw_only=True):
    chaos: Chaos
    figures: Figures
    violations: tuple[Violation, ...]
    aftermath: Aftermath


async def unleash(chaos: Chaos, folder: Path, say: Say) -> Result:
    """Servers with empty stores, in that folder, are started and stopped."""
    stack = Stack(folder, Ports.free(), given={})
    product = _product(stack, chaos.seed)
    try:
        say("starting everything")
        await stack.start(empty=True)
        await product.start()
        return await _suffer(chaos, product, say)
    finally:
        await product.stop()
        await stack.stop()


def _product(stack: Stack, seed: int) -> Product:
    stack.folder.mkdir(parents=True, exist_ok=True)
    policies, circuits = stack.folder / "policies.json", stack.folder / "circuit_policies.json"
    policies.write_bytes(msgspec.json.encode(mix.POLICIES))
    circuits.write_bytes(msgspec.json.encode(mix.CIRCUITS))
    return Product(
        stack,
        stack.folder,
        apis=PROCESSES,
        workers=PROCESSES,
        verifiers=PROCESSES,
        circuit_writers=PROCESSES,
        metrics_workers=PROCESSES,
        webhook_dispatchers=PROCESSES,
        profiles=mix.profiles(seed),
        gateways=mix.GATEWAYS,
        env=mix.settings(str(policies), str(circuits)),
    )


async def _suffer(chaos: Chaos, product: Product, say: Say) -> Result:
    client = Client(product)
    profiles = mix.profiles(chaos.seed, _webhook_urls(product))
    for profile in profiles:
        await client.set_profile(**plain(profile))
    shoppers = Shoppers(client, chaos.seed, len(product.apis))
    disasters = Disasters(_children(product))
    async with (
        _reviewing(product, client) as reviewer,
        _reading(product) as (database, reader),
        _listening(client) as listeners,
    ):
        async with _meanwhile(disasters.supervise(), reviewer.work()):
            say(f"{chaos.seconds:.0f} s of load and disasters")
            planned = forecast(chaos.seed, chaos.seconds, list(_children(product)))
            async with asyncio.TaskGroup() as at_once:
                at_once.create_task(shoppers.shop(chaos.per_second, chaos.seconds))
                at_once.create_task(disasters.happen(planned))
                spells = at_once.create_task(come_and_go(client, profiles, chaos.seed, chaos.seconds))
            say("making everything whole")
            await heal_gateways(client, profiles)
            await everything_runs(_children(product).values())
            await everybody_is_answered(shoppers)
            say("waiting until nothing is left to be settled")
            say(f"  {await nothing_is_left(database, reader, say)}")
            say("waiting until what was learned is that of the log")
            known = await Learning(product, client, database, reader).learned()
            say("waiting until whoever subscribed is told")
            heard = await listeners.heard(product.stack, database, reader, say)
        say("checking")
        run = f"seed {chaos.seed}"
        aftermath = await gathered(run, product, client, database, shoppers.purchases, known, heard)
        circuits = await circuit_figures(product, chain(*aftermath.evidence.records.values()))
    await client.close()
    return Result(
        chaos=chaos,
        figures=figures(aftermath, profiles, disasters)
        | {
            "settled by hand": dict(reviewer.said),
            "spells": dict(sorted(spells.result().items())),
            "stayed away": shoppers.stayed_away,
            "circuits": circuits,
            "webhooks": heard.figures,
        },
        violations=tuple(Checker(aftermath).violations()),
        aftermath=aftermath,
    )


def _children(product: Product) -> dict[str, Child]:
    """Those that disasters befall; the gateways are the outside world."""
    ours = (
        *product.apis,
        *product.workers,
        *product.verifiers,
        *product.circuit_writers,
        *product.metrics_workers,
        *product.webhook_dispatchers,
    )
    servers = (product.stack.kafka, product.stack.postgres, product.stack.redis)
    return {child.name: child for child in (*ours, *servers)}


def _webhook_urls(product: Product) -> dict[str, str]:
    """A process each, so that one that is away is not missed by the other's gateway."""
    return {
        gateway: f"{api.url}/gateway-notifications/{gateway}"
        for gateway, api in zip(("razorpay", "stripe"), product.apis, strict=True)
    }


@asynccontextmanager
async def _meanwhile(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """These go on until the block ends, or end it with what they raise."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        yield
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def _reviewing(product: Product, client: Client) -> AsyncIterator[Reviewer]:
    gateways = registry(Settings.from_environment(product.env))
    reviewer = Reviewer(product, client, gateways)
    try:
        yield reviewer
    finally:
        await reviewer.close()
        await gateways.close()


@asynccontextmanager
async def _listening(client: Client) -> AsyncIterator[Listeners]:
    listeners = Listeners()
    await listeners.start()
    try:
        await listeners.subscribe(client)
        yield listeners
    finally:
        await listeners.stop()


@asynccontextmanager
async def _reading(product: Product) -> AsyncIterator[tuple[Database, LogReader]]:
    database = await Database.connect(product.env["DATABASE_URL"], min_size=0, max_size=2)
    reader = LogReader(product.env["KAFKA_BOOTSTRAP_SERVERS"])
    try:
        yield database, reader
    finally:
        await reader.stop()
        await database.close()
