"""How many connections a client may hold: those beyond are answered, not served, and others are not shut out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network

import pytest

from api.client_address import Network, TrustedProxies
from api.connections import Connections
from api.protocol import REFUSED_HEAD_TIMEOUT_S
from tests.api.requests import body
from tests.api.served import served
from tests.api.stand_ins import World
from tests.api.test_server import READINESS, answer_of, ask, connected, post

pytestmark = pytest.mark.time_jumps

MOST = 3
PROXY = ip_network("10.0.0.0/8")


def places(connections: Connections, *addresses: str) -> list[str]:
    return [connections.open((address, 50_000)) for address in addresses]


def limited(*proxies: Network) -> Connections:
    return Connections(TrustedProxies(proxies), MOST)


def test_each_address_has_its_own_and_as_many_again_are_answered() -> None:
    connections = limited()
    assert places(connections, *["192.0.2.1"] * 7) == [*["taken"] * 3, *["over"] * 3, "far_over"]
    assert places(connections, "192.0.2.2") == ["taken"]


@pytest.mark.parametrize("same", [("2001:db8::1", "2001:db8::ffff:2"), ("192.0.2.1", "::ffff:192.0.2.1")])
def test_all_that_a_subscriber_has_counts_as_one_address(same: Sequence[str]) -> None:
    assert places(limited(), *[address for address in same for _ in range(2)])[-1] == "over"


def test_a_trusted_proxy_holds_as_many_as_its_clients_need() -> None:
    assert set(places(limited(PROXY), *["10.1.2.3"] * 100)) == {"taken"}


def test_who_comes_by_no_network_is_not_counted() -> None:
    connections = limited()
    assert {connections.open(None) for _ in range(100)} == {"taken"}
    connections.close(None)


def test_what_is_closed_makes_room_and_nothing_is_kept_of_who_has_gone() -> None:
    connections = limited()
    for number in range(1_000):
        peer = (f"192.0.{number // 250}.{number % 250}", 1)
        assert places(connections, *[peer[0]] * 4) == ["taken", "taken", "taken", "over"]
        for _ in range(4):
            connections.close(peer)
    assert not connections._open


@asynccontextmanager
async def holding(port: int, how_many: int) -> AsyncIterator[None]:
    """So many connections that were used, and are kept."""
    async with AsyncExitStack() as stack:
        for _ in range(how_many):
            reader, writer = await stack.enter_async_context(connected(port))
            writer.write(post(body()))
            assert (await answer_of(reader)).status == 201
        yield


async def test_one_too_many_is_told_so_at_its_first_request_and_those_that_there_are_go_on(
    world: World,
) -> None:
    world.connections_per_client = MOST
    async with served(world) as port, connected(port) as (reader, writer), holding(port, MOST - 1):
        refused = await ask(port, post(body()))
        assert (refused.status, refused.json["type"]) == (429, "/problems/too-many-connections")
        assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
        assert refused.headers["x-content-type-options"] == "nosniff"
        writer.write(post(body()))
        assert (await answer_of(reader)).status == 201
    assert len(world.handler.calls) == MOST


async def test_who_closes_one_is_served_again(world: World) -> None:
    world.connections_per_client = 1
    async with served(world) as port:
        async with holding(port, 1):
            assert (await ask(port, READINESS)).status == 429
        for _ in range(100):
            if (await ask(port, READINESS)).status != 429:
                break
            await asyncio.sleep(0.02)
        else:
            pytest.fail("there is no room though nobody holds a connection")


@pytest.mark.parametrize("sent", [b"", b"POST /payments HTTP/1.1\r\n"])
async def test_one_too_many_that_asks_for_nothing_is_ended_soon(world: World, sent: bytes) -> None:
    world.connections_per_client = 1
    async with served(world) as port, holding(port, 1), connected(port) as (reader, writer):
        writer.write(sent)
        async with asyncio.timeout(REFUSED_HEAD_TIMEOUT_S * 4):
            assert await reader.read() == b""


async def test_what_is_far_too_many_is_cut_at_once(world: World) -> None:
    world.connections_per_client = 1
    async with served(world) as port, holding(port, 1), connected(port) as (waiting, _):
        assert await all_that_comes(port, READINESS) == b""
        assert not waiting.at_eof()


async def all_that_comes(port: int, sent: bytes) -> bytes:
    """Nothing of a connection that is cut."""
    async with connected(port) as (reader, writer):
        try:
            writer.write(sent)
            await writer.drain()
            return await reader.read()
        except ConnectionError:
            return b""


async def test_behind_a_trusted_proxy_nobody_is_shut_out(world: World) -> None:
    world.connections_per_client = 1
    world.proxies = (ip_network("127.0.0.0/8"),)
    async with served(world) as port, holding(port, 5):
        assert (await ask(port, post(body()))).status == 201
