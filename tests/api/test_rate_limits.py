"""Who asks too often hears 429 before anything is done for him, and everybody hears what he has left."""

from ipaddress import ip_network

import msgspec
import pytest

from api.app import create_app
from schemas.access import AdminKey, digest
from schemas.rate_limit import RateLimit
from tests.api.client import Answer, Client, Headers
from tests.api.requests import HEADERS, JSON, assert_problem, body
from tests.api.stand_ins import ADMIN_KEY, GATEWAY, World, signed

STATUS = "/circuit-breaker/status"


@pytest.fixture
def client(world: World) -> Client:
    """Three at once, then one every two seconds; 127.0.0.1 is a proxy that is trusted."""
    world.client_limit = RateLimit(name="client", per_second=0.5, burst=3)
    world.proxies = (ip_network("127.0.0.1"), ip_network("10.0.0.0/8"))
    return Client(create_app(world.services()))


async def ask(client: Client, forwarded_for: str = "203.0.113.7", path: str = STATUS) -> Answer:
    return await client.get(path, [("X-Forwarded-For", forwarded_for)])


async def exhausted(client: Client, forwarded_for: str = "203.0.113.7") -> None:
    for _ in range(3):
        assert (await ask(client, forwarded_for)).status == 200


async def test_every_answer_tells_the_policy_and_what_is_left(client: Client) -> None:
    answers = [await ask(client) for _ in range(4)]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"client";q=3;w=6'}
    assert [answer.headers["ratelimit"] for answer in answers] == [
        '"client";r=2;t=2',
        '"client";r=1;t=2',
        '"client";r=0;t=2',
        '"client";r=0;t=2',
    ]


async def test_one_too_many_is_429_with_the_seconds_to_wait(world: World, client: Client) -> None:
    await exhausted(client)
    world.clock.ms += 500
    refused = await ask(client)
    assert_problem(refused, 429, "rate-limited")
    assert refused.headers["retry-after"] == "2"
    world.clock.ms += 1500
    assert (await ask(client)).status == 200
    assert (await ask(client)).status == 429


async def test_a_refused_payment_never_reaches_the_handler(world: World, client: Client) -> None:
    await exhausted(client)
    refused = await client.post("/payments", [*HEADERS, ("X-Forwarded-For", "203.0.113.7")], body())
    assert_problem(refused, 429, "rate-limited")
    assert not world.handler.calls


async def test_paths_that_are_nothing_and_wrong_admin_keys_count_too(client: Client) -> None:
    for path in ("/nothing", "/reviews", "/reviews"):
        assert (await ask(client, path=path)).status in (401, 404)
    assert (await ask(client)).status == 429


async def test_a_flood_from_an_operators_own_address_does_not_keep_him_from_a_kill_switch(
    world: World, client: Client
) -> None:
    await exhausted(client)
    assert (await ask(client)).status == 429
    switch = b'{"kind":"gateway","name":"razorpay","on":true,"by":"asha","note":"it charges twice"}'
    said: Headers = [JSON, ("X-Forwarded-For", "203.0.113.7"), ("X-Internal-Api-Key", ADMIN_KEY)]
    answer = await client.post("/kill-switches", said, switch)
    assert answer.status == 200, answer.body
    assert answer.headers["ratelimit"] == '"operator";r=2;t=2'


async def test_operators_are_counted_by_their_keys_from_wherever(world: World, client: Client) -> None:
    asha = AdminKey(name="asha", sha256=digest(b"pgk_of-asha"), scopes=("read",))
    world.admin_keys = (asha, msgspec.structs.replace(asha, name="ravi", sha256=digest(b"pgk_of-ravi")))
    client = Client(create_app(world.services()))

    async def statuses(key: str) -> list[int]:
        said: list[Headers] = [
            [("X-Forwarded-For", f"203.0.113.{n}"), ("X-Internal-Api-Key", key)] for n in range(4)
        ]
        return [(await client.get(STATUS, one)).status for one in said]

    assert await statuses("pgk_of-asha") == [200, 200, 200, 429]
    assert await statuses("pgk_of-ravi") == [200, 200, 200, 429]
    assert await statuses(ADMIN_KEY) == [200, 200, 200, 429]


async def test_a_key_that_is_not_known_is_counted_by_its_address(client: Client) -> None:
    said: Headers = [("X-Forwarded-For", "203.0.113.7"), ("X-Internal-Api-Key", "pgk_a-guess")]
    answers = [await client.get("/kill-switches", said) for _ in range(4)]
    assert [answer.status for answer in answers] == [401, 401, 401, 429]
    assert (await ask(client)).status == 429


async def test_clients_do_not_share_a_limit(client: Client) -> None:
    await exhausted(client)
    assert (await ask(client, "203.0.113.8")).status == 200


@pytest.mark.parametrize("path", ["/ops/liveness", "/ops/readiness", "/metrics"])
async def test_probes_and_metrics_are_free(client: Client, path: str) -> None:
    answers = [await ask(client, path=path) for _ in range(5)]
    assert 429 not in {answer.status for answer in answers}
    assert "ratelimit" not in answers[0].headers


async def test_a_gateway_has_a_limit_of_its_own_that_is_larger(client: Client) -> None:
    await exhausted(client)
    content = b'{"id":"evt_1","about":null}'
    told = [("X-Forwarded-For", "203.0.113.7"), signed(content)]
    answer = await client.post(f"/gateway-notifications/{GATEWAY}", told, content)
    assert answer.status == 200
    assert answer.headers["ratelimit"] == '"notifications";r=59;t=1'


@pytest.mark.parametrize(
    "spoofed",
    [
        "198.51.100.1, 203.0.113.7",
        "nonsense, 203.0.113.7",
        "10.1.1.1,203.0.113.7, 10.9.9.9",
        "203.0.113.7:4711",
    ],
)
async def test_what_a_client_wrote_before_the_proxies_is_not_believed(client: Client, spoofed: str) -> None:
    await exhausted(client)
    assert (await ask(client, spoofed)).status == 429


async def test_seven_hundred_invented_addresses_are_one_client_without_a_trusted_proxy(world: World) -> None:
    world.client_limit = RateLimit(name="client", per_second=0.5, burst=3)
    client = Client(create_app(world.services()))
    answers = [await ask(client, f"198.51.100.{n % 250}, 192.0.2.{n // 250}") for n in range(700)]
    assert [answer.status for answer in answers].count(200) == 3


async def test_a_subscriber_of_ipv6_is_one_client_with_all_his_addresses(client: Client) -> None:
    await exhausted(client, "2001:db8:1:2::1")
    assert (await ask(client, "[2001:db8:1:2:ffff::9]:443")).status == 429
    assert (await ask(client, "2001:db8:1:3::1")).status == 200


async def test_an_address_is_the_same_client_as_ipv6_too(client: Client) -> None:
    await exhausted(client)
    assert (await ask(client, "::ffff:203.0.113.7")).status == 429


@pytest.mark.parametrize("nobody", ["unknown", "", "10.1.1.1, ", "::1::1", "203.0.113.7, ١٠.0.0.1"])
async def test_who_is_named_by_no_address_counts_as_the_proxy_that_named_him(
    client: Client, nobody: str
) -> None:
    for _ in range(3):
        assert (await ask(client, nobody)).status == 200
    assert (await client.get(STATUS)).status in (200, 429)
    assert (await ask(client, nobody)).status == 429


async def test_headers_given_twice_are_one_list(client: Client) -> None:
    await exhausted(client)
    twice: Headers = [("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.7")]
    assert (await client.get(STATUS, twice)).status == 429


async def test_a_payment_knows_the_network_it_was_asked_for_from_and_no_more(
    world: World, client: Client
) -> None:
    for forwarded_for in ("203.0.113.7", "2001:db8:1:2::1"):
        said = [*HEADERS, ("X-Forwarded-For", forwarded_for), ("X-Context-Client-Network", "1.2.3.0/24")]
        assert (await client.post("/payments", said, body())).status == 201
    networks = [call.attributes["client-network"] for call in world.handler.calls]
    assert networks == ["203.0.113.0/24", "2001:db8:1::/48"]


async def test_a_merchant_has_a_limit_over_all_addresses_where_one_is_set(world: World) -> None:
    world.merchant_limit = RateLimit(name="merchant", per_second=0.1, burst=2)
    world.proxies = (ip_network("127.0.0.1"),)
    client = Client(create_app(world.services()))
    answers = [
        await client.post("/payments", [*HEADERS, ("X-Forwarded-For", f"203.0.113.{n}")], body())
        for n in range(3)
    ]
    assert [answer.status for answer in answers] == [201, 201, 429]
    assert_problem(answers[2], 429, "rate-limited")
    assert answers[2].headers["ratelimit"] == '"client";r=999;t=1, "merchant";r=0;t=10'
    assert answers[2].headers["ratelimit-policy"] == '"client";q=1000;w=10, "merchant";q=2;w=20'
    other = await client.post("/payments", HEADERS, body(merchant_id="m_002"))
    assert other.status == 201
    assert len(world.handler.calls) == 3
