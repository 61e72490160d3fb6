"""Limits and keys at two processes of the whole product."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.local.stack import Stack
from infra.redis.connection import connect
from schemas.access import AdminKey, MerchantKey, digest
from schemas.rate_limit import RateLimit
from tests.bench.limits import TARGET_ERROR, count
from tests.chaos.test_one_key import new_key
from tests.product import BODY, Product, read_topic, running
from tests.waiting import until

pytestmark = pytest.mark.chaos

LIMIT = RateLimit(name="client", per_second=10, burst=400)
"""So much at once, and so little more, that it hardly matters how long the requests take."""
CHECKS = "payments_gateway_rate_limit_checks_total"
MOST_TRIES = 20
OPERATOR, MERCHANT, ANOTHER = "pgk_of-asha", "pgm_of-m-001", "pgm_of-m-002"


def written(folder: Path, name: str, *keys: AdminKey | MerchantKey) -> str:
    file = folder / name
    file.write_bytes(msgspec.json.encode(keys))
    return str(file)


@pytest.fixture(scope="module")
def product(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("keys")
    asha = AdminKey(name="asha", sha256=digest(OPERATOR.encode()), scopes=("read", "configuration"))
    ours = MerchantKey(merchant_id="m_001", sha256=digest(MERCHANT.encode()))
    anothers = MerchantKey(merchant_id="m_002", sha256=digest(ANOTHER.encode()))
    env = {
        "RATE_LIMIT_PER_SECOND": str(int(LIMIT.per_second)),
        "RATE_LIMIT_BURST": str(LIMIT.burst),
        "ADMIN_KEYS_FILE": written(folder, "operators.json", asha),
        "MERCHANT_KEYS_FILE": written(folder, "merchants.json", ours, anothers),
    }
    product = Product(stack, stack.folder / "access", apis=2, env=env)
    with running(product):
        yield product


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as http:
        yield http


def bearing(key: str, **others: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}", **others}


async def test_a_thousand_requests_at_two_processes_get_what_the_limit_comes_to(
    stack: Stack, product: Product, http: aiohttp.ClientSession
) -> None:
    """By Redis. Where it was not heard in time a process has counted for itself, and another client tries."""
    redis = connect(stack.env["REDIS_URL"])
    urls = [api.url for api in product.apis]
    for number in range(MOST_TRIES):
        before = await counted_alone(http, urls)
        counted = await count(redis, urls, f"203.0.113.{number}", 1_000, LIMIT)
        if await counted_alone(http, urls) == before:
            break
    else:
        pytest.fail("Redis is never heard in time")
    await redis.aclose()
    assert counted.let_through + counted.refused == counted.requests == 1_000
    assert counted.refused > 300
    assert abs(counted.error) <= TARGET_ERROR, counted


async def counted_alone(http: aiohttp.ClientSession, urls: Sequence[str]) -> float:
    """How often a process asked nobody but itself what a client has left."""
    total = 0.0
    for url in urls:
        async with http.get(f"{url}/metrics") as answer:
            for family in text_string_to_metric_families(await answer.text()):
                total += sum(
                    sample.value
                    for sample in family.samples
                    if (sample.name, sample.labels.get("by")) == (CHECKS, "process")
                )
    return total


async def test_a_merchant_pays_at_one_process_and_only_it_sees_that_at_the_other(
    stack: Stack, product: Product, http: aiohttp.ClientSession
) -> None:
    headers = bearing(MERCHANT, **{"Idempotency-Key": new_key(), "X-Forwarded-For": "198.51.100.77"})
    async with http.post(f"{product.apis[0].url}/payments", json=BODY, headers=headers) as answer:
        paid = await answer.json()
        assert answer.status == 201, paid
    url = f"{product.apis[1].url}/payments/{paid['payment_id']}"
    seen = {}
    for key in (MERCHANT, ANOTHER, "a guess"):
        async with http.get(url, headers=bearing(key)) as answer:
            seen[key] = answer.status
    assert seen == {MERCHANT: 200, ANOTHER: 404, "a guess": 401}
    requested = (await read_topic(stack))[paid["payment_id"]][0].event
    assert requested.order.attributes == {"client-network": "198.51.100.0/24"}  # type: ignore[union-attr]


async def test_what_is_set_with_a_named_key_is_signed_by_it_everywhere(
    product: Product, http: aiohttp.ClientSession
) -> None:
    one, other = (f"{api.url}/scoring/weights" for api in product.apis)
    key = {"X-Internal-Api-Key": OPERATOR}
    async with http.get(one, headers=key) as answer:
        before, etag = await answer.json(), answer.headers["ETag"]
    document = {"weights": {"cost": 0.001}, "by": "ravi"}
    async with http.put(one, json=document, headers={**key, "If-Match": etag}) as answer:
        assert answer.status == 200, await answer.text()
        etag = answer.headers["ETag"]
    async with asyncio.timeout(60):
        while True:
            async with http.get(other, headers=key) as answer:
                told = await answer.json()
            if told["by"] == "key:asha for ravi":
                break
            await asyncio.sleep(0.05)
    as_found = {"weights": before["weights"], "by": "asha"}
    async with http.put(one, json=as_found, headers={**key, "If-Match": etag}) as answer:
        assert (await answer.json())["by"] == "key:asha"
    circuit = f"{product.apis[0].url}/circuit-breaker/force-open/payu/UPI"
    async with http.post(circuit, headers=key) as answer:
        assert (answer.status, (await answer.json())["type"]) == (403, "/problems/forbidden")


@pytest.mark.safety
async def test_a_key_that_leaked_is_refused_everywhere_when_it_is_taken_out_of_its_file(
    product: Product, http: aiohttp.ClientSession
) -> None:
    """Also while the file is written in two steps; a file that makes no sense takes nobody's key away."""
    file = product.env["ADMIN_KEYS_FILE"]
    gone = msgspec.json.encode([AdminKey(name="ravi", sha256=digest(b"pgk_of-ravi"), scopes=("read",))])
    urls = [f"{api.url}/routing-rules" for api in product.apis]
    valid = overwritten(file, b'[{"name":')
    try:
        for api in product.apis:
            await until(partial(keys_are, http, api.url, well=False))
        assert await statuses(http, urls, OPERATOR) == {200}
        overwritten(file, gone)
        for api in product.apis:
            await until(partial(keys_are, http, api.url, well=True))
        assert await statuses(http, urls, OPERATOR) == {401}
        assert await statuses(http, urls, "pgk_of-ravi") == {200}
    finally:
        overwritten(file, valid)
        await until(partial(is_known, http, urls, OPERATOR))


def overwritten(file: str, content: bytes) -> bytes:
    """What was there before."""
    before = Path(file).read_bytes()
    Path(file).write_bytes(content)
    return before


async def statuses(http: aiohttp.ClientSession, urls: Sequence[str], key: str) -> set[int]:
    found = set()
    for url in urls:
        async with http.get(url, headers={"X-Internal-Api-Key": key}) as answer:
            found.add(answer.status)
    return found


async def keys_are(http: aiohttp.ClientSession, url: str, *, well: bool) -> bool:
    async with http.get(f"{url}/ops/readiness") as answer:
        (keys,) = (one for one in (await answer.json())["dependencies"] if one["name"] == "keys")
    assert not keys["required"]
    return bool(keys["ok"]) is well


async def is_known(http: aiohttp.ClientSession, urls: Sequence[str], key: str) -> bool:
    return await statuses(http, urls, key) == {200}
