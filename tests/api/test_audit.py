"""`GET /audit`: who may read it, its pages and filters, and whether what was just changed is in it."""

from typing import Any

import msgspec
import pytest

from schemas.audit import AuditEntry
from schemas.codec import CONFIGURATION_TOPIC
from schemas.envelope import Position
from schemas.views import Watermark
from tests.api.client import Answer, Client
from tests.api.requests import JSON, assert_problem
from tests.api.stand_ins import ADMIN_KEY, STAMP_MS, World

KEY = ("X-Internal-Api-Key", ADMIN_KEY)
AT_ONCE = ("Prefer", "wait=0")


def an_entry(offset: int, aggregate: str = "scoring", by: str = "asha") -> AuditEntry:
    return AuditEntry(
        position=Position(topic=CONFIGURATION_TOPIC, partition=0, offset=offset),
        stamp_ms=STAMP_MS + offset,
        aggregate=aggregate,
        what="ScoringWeightsSet",
        by=by,
        note="a contract",
        request_id=f"req_{offset}",
        before=None,
        after={"type": "ScoringWeightsSet"},
    )


async def keep(world: World, *entries: AuditEntry) -> None:
    reached = Watermark(next_offset=len(entries), last_stamp_ms=STAMP_MS)
    await world.audit.keep(CONFIGURATION_TOPIC, 0, 0, entries, reached)


async def get(client: Client, query: str = "", *headers: tuple[str, str]) -> Answer:
    return await client.get(f"/audit{query}", [KEY, *headers])


@pytest.mark.parametrize("headers", [[], [("X-Internal-Api-Key", "a guess")]])
async def test_it_is_for_those_who_have_the_key(client: Client, headers: list[tuple[str, str]]) -> None:
    assert_problem(await client.get("/audit", headers), 401, "unauthorized")


async def test_before_anything_was_changed_it_is_empty_and_current(client: Client) -> None:
    answer = await get(client)
    assert (answer.status, answer.json) == (200, {"entries": [], "next": None, "current": True})


async def test_an_entry_says_who_changed_what_when_why_and_by_which_request(
    world: World, client: Client
) -> None:
    await keep(world, an_entry(0))
    (entry,) = (await get(client)).json["entries"]
    assert entry == {
        "at": "2026-11-23T09:30:00Z",
        "what": "ScoringWeightsSet",
        "aggregate": "scoring",
        "by": "asha",
        "note": "a contract",
        "request_id": "req_0",
        "source": "configuration.events.v1-0:0",
        "before": None,
        "after": {"type": "ScoringWeightsSet"},
    }


async def test_pages_follow_one_another_the_newest_first(world: World, client: Client) -> None:
    await keep(world, *(an_entry(offset) for offset in range(5)))
    requests: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await get(client, f"?limit=2{after}")).json
        requests += [entry["request_id"] for entry in page["entries"]]
        after = f"&after={page['next']}" if page["next"] is not None else None
    assert requests == [f"req_{offset}" for offset in (4, 3, 2, 1, 0)]


async def test_pages_are_of_an_aggregate_or_a_person(world: World, client: Client) -> None:
    await keep(world, an_entry(0), an_entry(1, by="ravi"), an_entry(2, aggregate="gateway:stripe"))

    async def requests(query: str) -> list[Any]:
        return [entry["request_id"] for entry in (await get(client, query)).json["entries"]]

    assert await requests("?aggregate=gateway:stripe") == ["req_2"]
    assert await requests("?by=ravi") == ["req_1"]
    assert await requests("?aggregate=scoring&by=asha") == ["req_0"]


@pytest.mark.parametrize(
    "query",
    ["?limit=0", "?limit=x", "?after=1", "?after=1-topic", "?aggregate=", "?by=", "?by=a%0Ab", f"?by={'x' * 201}"],
)  # fmt: skip
async def test_a_query_that_makes_no_sense_is_refused(client: Client, query: str) -> None:
    assert_problem(await get(client, query), 400, "malformed-query")


async def test_what_was_changed_through_this_process_is_waited_for(world: World, client: Client) -> None:
    switch = {"kind": "method", "name": "UPI", "on": True, "by": "asha", "note": "why"}
    await client.post("/kill-switches", [JSON, KEY], msgspec.json.encode(switch))
    behind = await get(client, "", AT_ONCE)
    assert (behind.json["current"], behind.headers["preference-applied"]) == (False, "wait=0")
    await keep(world, an_entry(0))
    assert (await get(client, "", AT_ONCE)).json["current"]


async def test_while_the_store_is_away_it_is_503(world: World, client: Client) -> None:
    world.audit.is_away = True
    assert_problem(await get(client), 503, "store-unavailable")
