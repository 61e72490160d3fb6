"""The running service answers as its OpenAPI document says, whatever it is sent: schemathesis makes the requests.

No server error, no status, header, media type or problem type that is not described, no body that its schema does not
allow; what the document does not allow is refused, and so is who lacks the key. Payments go to simulated gateways.
"""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from api.contract.openapi import OPERATIONS
from infra.settings import DEFAULT_ADMIN_KEY
from schemas.money import EXPONENTS
from tests.product import PLAIN_GATEWAYS, PLAIN_PROFILES, Product, own_servers, running

pytestmark = [pytest.mark.integration]

AT_ONCE = 3
HANGS_AFTER_S = 1_800
"""Thousands of requests take minutes, and many more where a machine does much else."""
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
MOSTLY_PAID = tuple(
    replace(profile, success_rate=0.9, latency=replace(profile.latency, fixed_ms=1))
    for profile in PLAIN_PROFILES
)
OF_MANY_CURRENCIES = tuple({**gateway, "currencies": sorted(EXPONENTS)[::2]} for gateway in PLAIN_GATEWAYS)
"""Half of the payments that are asked for are made, and half are refused."""


@pytest.fixture(scope="module")
def product() -> Iterator[Product]:
    """On servers of its own: what is configured, opened and started here must not meet any other test."""
    with own_servers("contracts") as stack:
        product = Product(
            stack,
            stack.folder / "product",
            circuit_writers=1,
            metrics_workers=1,
            profiles=MOSTLY_PAID,
            gateways=OF_MANY_CURRENCIES,
            env={"RATE_LIMIT_PER_SECOND": "10000", "RATE_LIMIT_BURST": "1000000"},
        )
        with running(product):
            yield product


@pytest.mark.timeout(HANGS_AFTER_S + 60)
async def test_a_hundred_examples_of_each_operation_are_answered_as_described(product: Product) -> None:
    """Most of the time is waiting for answers, so the operations are asked in groups, side by side."""
    tags = sorted({operation.tag for operation in OPERATIONS})
    async with asyncio.timeout(HANGS_AFTER_S), asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(product, tags=tags[n::AT_ONCE])) for n in range(AT_ONCE)]
    failures = [text for code, text in (one.result() for one in asked) if code != 0]
    assert not failures, "\n".join(failures)


@pytest.mark.deep
@pytest.mark.timeout(HANGS_AFTER_S + 60)
@pytest.mark.parametrize("operation", [operation.id for operation in OPERATIONS])
async def test_a_thousand_examples_of_an_operation_are_answered_as_described(
    product: Product, operation: str
) -> None:
    """Each by itself, so that one which has become slow is named by its own test."""
    async with asyncio.timeout(HANGS_AFTER_S):
        code, text = await ask(product, examples=1_000, operations=[operation])
    assert code == 0, text


async def ask(
    product: Product, *, examples: int = 100, tags: Sequence[str] = (), operations: Sequence[str] = ()
) -> tuple[int, str]:
    """Its exit code and what it printed, seed included; requests that fill pages are cut."""
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("schemathesis"),
        *("--config-file", CONFIGURATION, "run", f"{product.api.url}/openapi.json"),
        *("-H", f"X-Internal-Api-Key: {DEFAULT_ADMIN_KEY}"),
        *(f"--include-tag={tag}" for tag in tags),
        *(f"--include-operation-id={operation}" for operation in operations),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", str(examples)),
        *("--no-color", "--no-shrink", "--generation-database", "none", "--warnings", "off"),
        cwd=product.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, "\n".join(line[:400] for line in output.decode().splitlines())
