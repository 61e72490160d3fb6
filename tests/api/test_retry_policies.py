"""`/retry-policy/{merchant_id}`: a merchant's retry policy, who may set it, and what is refused."""

from typing import Any

import msgspec
import pytest

from tests.api.client import Answer, Client
from tests.api.requests import CARD_NUMBER, JSON, assert_problem
from tests.api.stand_ins import ADMIN_KEY, World

pytestmark = pytest.mark.time_jumps

KEY = ("X-Internal-Api-Key", ADMIN_KEY)
PATH = "/retry-policy/m_001"
POLICY: dict[str, Any] = {
    "merchant_id": "m_001",
    "max_attempts": 2,
    "latency_budget_ms": 5_000,
    "retry_on_timeout": True,
    "enabled": True,
}


async def put(client: Client, version: int | None = 0, path: str = PATH, **policy: object) -> Answer:
    seen = [] if version is None else [("If-Match", f'"{version}"')]
    body = msgspec.json.encode({"by": "asha", "note": "why", **policy})
    return await client.request("PUT", path, [JSON, KEY, *seen], body)


async def delete(client: Client, version: int, body: bytes = b"") -> Answer:
    seen = ("If-Match", f'"{version}"')
    return await client.request("DELETE", PATH, [KEY, seen, *([JSON] if body else [])], body)


async def get(client: Client, path: str = PATH) -> Answer:
    return await client.get(path, [KEY])


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_it_is_for_those_who_have_the_key(world: World, client: Client, method: str) -> None:
    for headers in ([], [("X-Internal-Api-Key", "a guess")]):
        assert_problem(await client.request(method, PATH, headers), 401, "unauthorized")
    assert not world.topic.records


async def test_a_merchant_of_whom_nothing_is_set_has_the_default(client: Client) -> None:
    answer = await get(client)
    assert (answer.status, answer.headers["etag"]) == (200, '"0"')
    assert answer.json == {
        "version": 0,
        "by": None,
        "note": None,
        "at": None,
        "merchant_id": "m_001",
        "is_default": True,
        "max_attempts": 3,
        "latency_budget_ms": 10_000,
        "enabled": True,
        "retry_on_timeout": False,
        "keep_late_success": False,
        "try_open_circuits": True,
        "warnings": [],
    }


async def test_what_is_put_is_in_force_and_told_with_who_set_it(world: World, client: Client) -> None:
    answer = await put(client, **POLICY)
    assert (answer.status, answer.headers["etag"]) == (200, '"1"'), answer.body
    assert POLICY.items() <= answer.json.items()
    assert (answer.json["is_default"], answer.json["by"], answer.json["note"]) == (False, "asha", "why")
    assert (await get(client)).json == answer.json
    assert (await get(client, "/retry-policy/m_002")).json["is_default"]
    (record,) = world.topic.records
    assert record.envelope.aggregate_id == "retry-policy:m_001"


async def test_what_a_put_leaves_out_is_as_in_the_default(client: Client) -> None:
    await put(client, **POLICY)
    answer = await put(client, 1, max_attempts=5)
    assert (answer.json["max_attempts"], answer.json["latency_budget_ms"]) == (5, 10_000)
    assert not answer.json["retry_on_timeout"]


async def test_a_policy_that_is_deleted_leaves_the_default(world: World, client: Client) -> None:
    await put(client, **POLICY)
    answer = await delete(client, 1, b'{"by":"ravi","note":"as before"}')
    assert (answer.status, answer.json["version"], answer.json["by"]) == (200, 2, "ravi")
    assert (answer.json["is_default"], answer.json["max_attempts"]) == (True, 3)
    assert (await delete(client, 2)).json["version"] == 2
    assert len(world.topic.records) == 2


async def test_who_has_not_seen_the_last_version_sets_nothing(world: World, client: Client) -> None:
    await put(client, **POLICY)
    assert_problem(await put(client, 0, max_attempts=9), 412, "stale-version")
    assert_problem(await delete(client, 0), 412, "stale-version")
    assert_problem(await put(client, None, max_attempts=9), 428, "version-missing")
    assert len(world.topic.records) == 1


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"max_attempts": -1}, "/max_attempts"),
        ({"max_attempts": 0}, "/max_attempts"),
        ({"max_attempts": 11}, "/max_attempts"),
        ({"max_attempts": 2.5}, "/max_attempts"),
        ({"max_attempts": True}, "/max_attempts"),
        ({"latency_budget_ms": -1}, "/latency_budget_ms"),
        ({"latency_budget_ms": 99}, "/latency_budget_ms"),
        ({"latency_budget_ms": 60_001}, "/latency_budget_ms"),
        ({"latency_budget_ms": 2**63}, "/latency_budget_ms"),
        ({"enabled": None}, "/enabled"),
        ({"retry_on_timeout": 1}, "/retry_on_timeout"),
        ({"merchant_id": "m_002"}, "/merchant_id"),
        ({"retries": 3}, "/retries"),
        ({"note": CARD_NUMBER}, "/note"),
    ],
)
async def test_what_is_wrong_is_told_by_its_pointer(
    world: World, client: Client, changes: dict[str, Any], pointer: str
) -> None:
    answer = await put(client, **{**POLICY, **changes})
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert not world.topic.records


@pytest.mark.parametrize("name", ["a%20b", "m" * 65, CARD_NUMBER, "%E2%98%83"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_merchant_that_cannot_be_is_404_and_is_not_written_down(
    world: World, client: Client, method: str, name: str
) -> None:
    answer = await client.request(
        method, f"/retry-policy/{name}", [JSON, KEY, ("If-Match", '"0"')], b'{"by":"asha"}'
    )
    assert_problem(answer, 404, "no-such-merchant")
    assert not world.topic.records


async def test_a_budget_that_a_restart_may_cut_off_is_taken_with_a_warning(client: Client) -> None:
    assert (await put(client, latency_budget_ms=27_500)).json["warnings"] == []
    answer = await put(client, 1, latency_budget_ms=60_000)
    assert answer.status == 200
    assert [warning["pointer"] for warning in answer.json["warnings"]] == ["/latency_budget_ms"]


async def test_another_method_is_405_and_is_told_which_there_are(client: Client) -> None:
    answer = await client.request("POST", PATH, [KEY])
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "PUT", "DELETE"}
