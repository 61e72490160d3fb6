"""What each process used while something ran: CPU time, and per payment that the API answered meanwhile."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from infra.local.child import Child
from tests.product import Client, Product


class Usage(Struct, frozen=True, kw_only=True):
    cpu_s: float
    share_of_a_core: float
    cpu_ms_per_payment: float


@asynccontextmanager
async def used(product: Product) -> AsyncIterator[dict[str, Usage]]:
    """Filled when the block ends. Payments are counted by the simulator's charges."""
    children: list[Child] = [
        *product.services,
        product.stack.kafka,
        product.stack.postgres,
    ]
    usage: dict[str, Usage] = {}
    before = {child.name: child.cpu_seconds() for child in children}
    charges_before, begun = await _charges(product), time.perf_counter()
    yield usage
    elapsed_s, charges = time.perf_counter() - begun, await _charges(product) - charges_before
    for child in children:
        cpu_s = child.cpu_seconds() - before[child.name]
        usage[child.name] = Usage(
            cpu_s=round(cpu_s, 2),
            share_of_a_core=round(cpu_s / elapsed_s, 3),
            cpu_ms_per_payment=round(cpu_s * 1000 / max(charges, 1), 3),
        )


async def _charges(product: Product) -> int:
    client = Client(product)
    try:
        return int((await client.ledger_summary())["references"])
    finally:
        await client.close()
