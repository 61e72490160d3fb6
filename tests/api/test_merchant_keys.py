"""Merchants' keys, where they are asked for: each for its own payments, and no other exists for it."""

import pytest

from api.app import create_app
from api.merchant_keys import LONGEST_KEY
from schemas.access import AdminKey, MerchantKey, digest
from tests.api.client import Client, Headers
from tests.api.requests import HEADERS, assert_problem, body
from tests.api.stand_ins import ADMIN_KEY, PAYMENT, World

OURS, ANOTHERS = "pgm_of-m-001", "pgm_of-m-002"
READS = [f"/payments/{PAYMENT}{part}" for part in ("", "/attempts", "/routing-decision", "/events")]
READS.append(f"/payments/{PAYMENT}/status-verification")


@pytest.fixture
def client(world: World) -> Client:
    world.merchant_keys = [
        MerchantKey(merchant_id="m_001", sha256=digest(OURS.encode())),
        MerchantKey(merchant_id="m_002", sha256=digest(ANOTHERS.encode())),
    ]
    return Client(create_app(world.services()))


def bearing(key: str) -> Headers:
    return [("Authorization", f"Bearer {key}")]


async def test_a_merchant_pays_and_reads_with_its_key(client: Client) -> None:
    assert (await client.post("/payments", [*HEADERS, *bearing(OURS)], body())).status == 201
    for path in READS:
        assert (await client.get(path, bearing(OURS))).status == 200


async def test_a_payment_to_another_merchant_is_refused(world: World, client: Client) -> None:
    answer = await client.post("/payments", [*HEADERS, *bearing(ANOTHERS)], body())
    assert_problem(answer, 403, "forbidden")
    assert not world.handler.calls


@pytest.mark.parametrize("path", READS)
async def test_a_payment_of_another_merchant_does_not_exist(world: World, client: Client, path: str) -> None:
    hidden = await client.get(path, bearing(ANOTHERS))
    absent = await client.get("/payments/no-such-payment", bearing(ANOTHERS))
    assert_problem(hidden, 404, "payment-not-found")
    assert hidden.body == absent.body


@pytest.mark.parametrize(
    "headers",
    [
        [],
        bearing(""),
        bearing("a guess"),
        [("Authorization", OURS)],
        [("Authorization", f"Basic {OURS}")],
        [*bearing(OURS), *bearing(OURS)],
        [("X-Internal-Api-Key", OURS)],
        bearing("\xff"),
    ],
)
async def test_nothing_is_done_or_told_without_a_key(world: World, client: Client, headers: Headers) -> None:
    answer = await client.post("/payments", [*HEADERS, *headers], body())
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    for path in READS:
        assert_problem(await client.get(path, headers), 401, "unauthorized")
    assert not world.handler.calls
    assert not world.reader.asked


async def test_what_is_too_long_is_no_key_whoever_it_would_be_of_and_among_many_each_finds_its_merchant(
    world: World,
) -> None:
    """Though its digest is known: nothing of that length is hashed."""
    longest, too_long = "x" * LONGEST_KEY, "x" * (LONGEST_KEY + 1)
    keys = [*(f"pgm_of-{n}" for n in range(1_000)), longest, too_long]
    world.merchant_keys = [MerchantKey(merchant_id="m_001", sha256=digest(key.encode())) for key in keys]
    client = Client(create_app(world.services()))
    for key in (keys[0], keys[999], longest):
        assert (await client.get(READS[0], bearing(key))).status == 200
    for key in (too_long, "x" * 60_000):
        assert_problem(await client.get(READS[0], bearing(key)), 401, "unauthorized")


async def test_operators_who_may_read_see_every_payment_and_no_others_do(
    world: World, client: Client
) -> None:
    assert (await client.get(READS[0], [("X-Internal-Api-Key", ADMIN_KEY)])).status == 200
    world.admin_keys = (AdminKey(name="bot", sha256=digest(b"pgk_of-a-bot"), scopes=("circuits",)),)
    client = Client(create_app(world.services()))
    assert_problem(await client.get(READS[0], [("X-Internal-Api-Key", "pgk_of-a-bot")]), 403, "forbidden")


async def test_without_the_setting_payments_need_no_key(world: World) -> None:
    client = Client(create_app(world.services()))
    assert (await client.post("/payments", HEADERS, body())).status == 201
    assert (await client.get(READS[0])).status == 200
