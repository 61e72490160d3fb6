"""A gateway's live figures are shown as they were published, and nothing is made up where nothing is."""

from datetime import UTC, datetime

from schemas.metrics import Published
from tests.api.client import Client
from tests.api.stand_ins import GATEWAY, World

LATELY = Published(version=7, as_of=datetime(2026, 11, 23, tzinfo=UTC))
PATH = f"/metrics/gateways/{GATEWAY}"


async def test_what_was_published_is_shown_as_it_is(world: World, client: Client) -> None:
    world.published_metrics.told[GATEWAY] = b'{"gateway":"published"}'
    world.published_metrics.published = LATELY
    answer = await client.get(PATH)
    assert (answer.status, answer.json) == (200, {"gateway": "published"})


async def test_a_gateway_that_had_no_payments_has_empty_windows(world: World, client: Client) -> None:
    world.published_metrics.published = LATELY
    answer = await client.get(PATH)
    assert (answer.status, answer.json["version"], answer.json["methods"]) == (200, 7, {})
    assert set(answer.json["total"]) == {"1m", "5m", "15m", "60m"}
    assert answer.json["total"]["60m"]["attempts"] == 0
    assert answer.json["total"]["60m"]["success_rate"] is None


async def test_of_a_gateway_that_is_none_of_ours_nothing_is_known(client: Client) -> None:
    answer = await client.get("/metrics/gateways/unheard-of")
    assert (answer.status, answer.json["type"]) == (404, "/problems/no-such-gateway")


async def test_while_nobody_publishes_or_redis_is_away_it_is_to_be_asked_again(
    world: World, client: Client
) -> None:
    for world.published_metrics.away in (False, True):
        answer = await client.get(PATH)
        assert (answer.status, answer.json["type"]) == (503, "/problems/store-unavailable")
        assert answer.headers["retry-after"] == "1"
