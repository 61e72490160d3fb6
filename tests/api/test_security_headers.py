"""What every answer tells browsers and caches, whatever it answers."""

from ipaddress import ip_network

import pytest

from api.app import create_app
from tests.api.client import Client
from tests.api.stand_ins import PAYMENT, World

PROXIED = ("X-Forwarded-Proto", "https")


@pytest.mark.parametrize(
    "path", [f"/payments/{PAYMENT}", "/nothing", "/reviews", "/ops/liveness", "/metrics", "/%00"]
)
async def test_every_answer_is_to_be_guessed_kept_framed_and_run_by_nobody(client: Client, path: str) -> None:
    told = (await client.get(path)).headers
    assert told["x-content-type-options"] == "nosniff"
    assert told["cache-control"] == "no-store"
    assert told["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert told["referrer-policy"] == "no-referrer"
    assert told["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in told
    assert "strict-transport-security" not in told


async def test_failures_of_ours_tell_it_too(world: World, client: Client) -> None:
    world.reader.failure = RuntimeError("a bug")
    answer = await client.get(f"/payments/{PAYMENT}")
    assert (answer.status, answer.headers["x-content-type-options"]) == (500, "nosniff")


async def test_behind_https_browsers_are_told_to_stay_with_it_and_only_by_a_trusted_proxy(
    world: World,
) -> None:
    stranger = await Client(create_app(world.services())).get("/ops/liveness", [PROXIED])
    assert "strict-transport-security" not in stranger.headers
    world.proxies = (ip_network("127.0.0.1"),)
    proxied = await Client(create_app(world.services())).get("/ops/liveness", [PROXIED])
    assert proxied.headers["strict-transport-security"] == "max-age=31536000"
