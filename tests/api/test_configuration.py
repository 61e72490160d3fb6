"""`/routing-rules`, `/scoring/weights`, `/bandit/…`: how routing is configured, who may, and instead of what."""

from typing import Any

import msgspec
import pytest

from schemas.routing_configuration import ScoringWeights
from tests.api.client import Answer, Client, Headers
from tests.api.requests import CARD_NUMBER, HEADERS, JSON, assert_problem, body
from tests.api.stand_ins import ADMIN_KEY, World

pytestmark = pytest.mark.time_jumps

KEY = ("X-Internal-Api-Key", ADMIN_KEY)
PIN = {"id": "pinned", "then": {"type": "pin", "gateway": "razorpay"}, "when": {"merchant_ids": ["m_001"]}}
RULES = {"rules": [PIN], "by": "asha", "note": "a contract"}
WEIGHTS = {
    "weights": {"latency": 0.01},
    "affinities": [{"gateway": "stripe", "value": 0.5, "merchant_id": "m_001"}],
    "by": "asha",
}
SEGMENTS = {
    "dimensions": ["payment_method", "merchant_tier"],
    "merchant_tiers": {"m_001": "gold"},
    "by": "asha",
}
DOCUMENTS = [("/routing-rules", RULES), ("/scoring/weights", WEIGHTS), ("/bandit/segmentation", SEGMENTS)]

of_every_document = pytest.mark.parametrize(
    ("path", "document"), DOCUMENTS, ids=[path for path, _ in DOCUMENTS]
)


async def put(
    client: Client, path: str, document: object, version: int | None = 0, headers: Headers = ()
) -> Answer:
    seen = [] if version is None else [("If-Match", f'"{version}"')]
    return await client.request("PUT", path, [JSON, KEY, *seen, *headers], msgspec.json.encode(document))


async def get(client: Client, path: str, *headers: tuple[str, str]) -> Answer:
    return await client.get(path, [KEY, *headers])


async def post(client: Client, path: str, document: object = None, *headers: tuple[str, str]) -> Answer:
    if document is None:
        return await client.post(path, [KEY, *headers], b"")
    return await client.post(path, [KEY, JSON, *headers], msgspec.json.encode(document))


# Who may


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path, _ in DOCUMENTS),
        *(("PUT", path) for path, _ in DOCUMENTS),
        ("GET", "/bandit/policy"),
        ("POST", "/bandit/policy/UPI/enable"),
        ("POST", "/bandit/policy/UPI/disable"),
        ("POST", "/routing-rules/dry-run"),
    ],
)
@pytest.mark.parametrize("headers", [[], [("X-Internal-Api-Key", "a guess")]])
async def test_it_is_for_those_who_have_the_key(
    world: World, client: Client, method: str, path: str, headers: Headers
) -> None:
    assert_problem(await client.request(method, path, headers), 401, "unauthorized")
    assert not world.topic.records


# Documents


async def test_before_anybody_set_anything_the_defaults_are_told_as_version_0(client: Client) -> None:
    answer = await get(client, "/routing-rules")
    assert (answer.status, answer.headers["etag"]) == (200, '"0"')
    assert answer.json == {
        "version": 0,
        "by": None,
        "note": None,
        "at": None,
        "rules": [],
        "warnings": [],
    }
    weights = (await get(client, "/scoring/weights")).json["weights"]
    assert weights == msgspec.to_builtins(ScoringWeights())
    assert (await get(client, "/bandit/segmentation")).json["dimensions"] == ["payment_method"]


@of_every_document
async def test_what_is_put_is_answered_with_its_version_and_then_told(
    client: Client, path: str, document: dict[str, Any]
) -> None:
    answer = await put(client, path, document)
    assert (answer.status, answer.headers["etag"]) == (200, '"1"'), answer.body
    assert (answer.json["version"], answer.json["by"]) == (1, "asha")
    shown = await get(client, path)
    assert (shown.json, shown.headers["etag"]) == (answer.json, '"1"')
    assert (await get(client, path, ("If-None-Match", '"1"'))).status == 304


async def test_a_rule_is_told_as_it_was_put_with_its_defaults(client: Client) -> None:
    answer = await put(client, "/routing-rules", RULES)
    assert answer.json["rules"] == [{**PIN, "enabled": True, "note": ""}]
    assert answer.json["note"] == "a contract"
    assert answer.json["at"] == "2026-11-23T09:30:00Z"


@of_every_document
async def test_who_has_seen_the_last_version_replaces_it(
    client: Client, path: str, document: dict[str, Any]
) -> None:
    await put(client, path, document)
    emptied = {"rules": [], "weights": {}, "dimensions": ["payment_method", "currency"]}
    other = {"by": "ravi", **{name: value for name, value in emptied.items() if name in document}}
    answer = await put(client, path, other, version=1)
    assert (answer.status, answer.json["version"], answer.json["by"]) == (200, 2, "ravi")


@of_every_document
@pytest.mark.parametrize("version", [0, 2])
async def test_who_has_seen_another_version_is_412_and_sets_nothing(
    world: World, client: Client, path: str, document: dict[str, Any], version: int
) -> None:
    await put(client, path, document)
    answer = await put(client, path, {**document, "note": "mine"}, version=version)
    assert_problem(answer, 412, "stale-version")
    assert len(world.topic.records) == 1


@of_every_document
async def test_without_if_match_it_is_428(
    world: World, client: Client, path: str, document: dict[str, Any]
) -> None:
    assert_problem(await put(client, path, document, version=None), 428, "version-missing")
    assert not world.topic.records


@pytest.mark.parametrize("tag", ["1", "*", 'W/"0"', '"a"', '"0", "1"', '""', '"-1"', '"٣"'])
async def test_an_entity_tag_that_is_none_of_ours_is_400(client: Client, tag: str) -> None:
    answer = await put(client, "/routing-rules", RULES, None, [("If-Match", tag)])
    assert_problem(answer, 400, "malformed-header")


async def test_the_same_again_writes_nothing(world: World, client: Client) -> None:
    await put(client, "/routing-rules", RULES)
    answer = await put(client, "/routing-rules", RULES, version=1)
    assert (answer.status, answer.json["version"]) == (200, 1)
    assert len(world.topic.records) == 1


async def test_a_rule_that_is_never_reached_is_set_with_a_warning(client: Client) -> None:
    first = {"id": "all", "then": {"type": "prefer", "gateways": ["stripe"]}}
    answer = await put(client, "/routing-rules", {**RULES, "rules": [first, PIN]})
    assert answer.status == 200
    assert [warning["pointer"] for warning in answer.json["warnings"]] == ["/rules/1"]
    assert (await get(client, "/routing-rules")).json["warnings"] == answer.json["warnings"]


@pytest.mark.parametrize(
    ("path", "document", "pointers"),
    [
        (
            "/routing-rules",
            {
                "by": CARD_NUMBER,
                "rules": [
                    {"id": "a", "then": {"type": "pin", "gateway": "ghost"}, "when": {"currencies": []}},
                    {"id": "a", "then": {"type": "split", "weights": {"razorpay": 1}}},
                ],
            },
            ["/rules/0/when/currencies", "/rules/0/then/gateway", "/rules/1/id", "/rules/1/then/weights", "/by"],
        ),
        ("/routing-rules", {**RULES, "by": ""}, ["/by"]),
        ("/routing-rules", {"rules": []}, ["/by"]),
        ("/routing-rules", {**RULES, "rules": [{**PIN, "when": {"weekday": ["monday"]}}]}, ["/rules/0/when/weekday"]),
        ("/routing-rules", {**RULES, "rules": [PIN] * 201}, ["/rules"]),
        ("/scoring/weights", {**WEIGHTS, "weights": {"latency": 11}}, ["/weights/latency"]),
        ("/scoring/weights", {**WEIGHTS, "affinities": [{"gateway": "ghost", "value": 0}]},
         ["/affinities/0", "/affinities/0/gateway"]),
        ("/bandit/segmentation", {**SEGMENTS, "dimensions": []}, ["/dimensions"]),
        ("/bandit/segmentation", {**SEGMENTS, "dimensions": ["weekday"]}, ["/dimensions/0"]),
        ("/bandit/segmentation", {**SEGMENTS, "dimensions": ["currency"]}, ["/dimensions/0"]),
        ("/bandit/segmentation", {**SEGMENTS, "moon": 1}, ["/moon"]),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_by_its_pointers(
    world: World, client: Client, path: str, document: object, pointers: list[str]
) -> None:
    answer = await put(client, path, document)
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == pointers
    assert CARD_NUMBER.encode() not in answer.body
    assert not world.topic.records


async def test_while_the_log_is_away_what_is_in_force_is_told_and_nothing_is_set(
    world: World, client: Client
) -> None:
    await put(client, "/routing-rules", RULES)
    world.topic.is_available = False
    assert_problem(await put(client, "/routing-rules", {**RULES, "rules": []}, 1), 503, "log-unavailable")
    assert (await get(client, "/routing-rules")).json["version"] == 1


async def test_what_is_not_heard_of_in_time_is_503_and_nobody_knows(world: World, client: Client) -> None:
    world.tail.pause()
    assert_problem(await put(client, "/routing-rules", RULES), 503, "unconfirmed")
    world.tail.resume()
    assert (await get(client, "/routing-rules")).json["version"] == 1


@pytest.mark.parametrize("path", [path for path, _ in DOCUMENTS])
async def test_another_method_is_405_and_is_told_which_there_are(client: Client, path: str) -> None:
    answer = await client.request("DELETE", path, [KEY])
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "PUT"}


# Bandit policies


async def test_the_policy_of_all_segments_is_listed_before_anybody_set_one(client: Client) -> None:
    (policy,) = (await get(client, "/bandit/policy")).json["policies"]
    assert (policy["segment"], policy["enabled"], policy["version"]) == ("*", False, 0)


async def test_a_policy_is_enabled_without_a_body_and_keeps_its_budgets(world: World, client: Client) -> None:
    answer = await post(client, "/bandit/policy/*/enable")
    assert (answer.status, answer.headers["etag"]) == (200, '"1"')
    assert answer.json == {
        "version": 1,
        "by": "operator",
        "note": "",
        "at": "2026-11-23T09:30:00Z",
        "segment": "*",
        "enabled": True,
        "exploration_share": 0.02,
        "worse_by": 0.05,
        "expected_loss": 0.0033,
        "sharpness": 1.5,
    }
    assert world.configuration.current.routing.bandit("UPI").enabled


async def test_a_segment_begins_with_the_policy_of_all_and_then_has_its_own(client: Client) -> None:
    await post(client, "/bandit/policy/*/enable", {"exploration_share": 0.5, "by": "asha"})
    answer = await post(client, "/bandit/policy/UPI/disable", {"worse_by": 0.1, "by": "ravi", "note": "calm"})
    assert (answer.json["enabled"], answer.json["exploration_share"], answer.json["worse_by"]) == (
        False,
        0.5,
        0.1,
    )
    listed = (await get(client, "/bandit/policy")).json["policies"]
    assert [(one["segment"], one["enabled"], one["version"]) for one in listed] == [
        ("*", True, 1),
        ("UPI", False, 2),
    ]


async def test_a_policy_may_be_set_instead_of_a_version_that_was_seen(client: Client) -> None:
    await post(client, "/bandit/policy/UPI/enable")
    stale = await post(client, "/bandit/policy/UPI/disable", None, ("If-Match", '"0"'))
    assert_problem(stale, 412, "stale-version")
    assert (await post(client, "/bandit/policy/UPI/disable", None, ("If-Match", '"1"'))).status == 200


@pytest.mark.parametrize("segment", ["upi", "UPI:gold", "CASH", "%2e%2e"])
async def test_a_segment_that_no_payment_is_of_is_404(client: Client, segment: str) -> None:
    assert_problem(await post(client, f"/bandit/policy/{segment}/enable"), 404, "segment-not-found")


async def test_segments_are_those_of_the_segmentation_and_an_older_one_can_still_be_disabled(
    client: Client,
) -> None:
    await post(client, "/bandit/policy/UPI/enable")
    await put(client, "/bandit/segmentation", SEGMENTS)
    assert (await post(client, "/bandit/policy/UPI:gold/enable")).status == 200
    assert (await post(client, "/bandit/policy/UPI/disable")).status == 200
    assert_problem(await post(client, "/bandit/policy/CARD/enable"), 404, "segment-not-found")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"exploration_share": 1.5}, "/exploration_share"),
        ({"by": ""}, "/by"),
        ({"enabled": True}, "/enabled"),
    ],
)
async def test_a_wrong_budget_is_named_by_its_pointer(
    client: Client, changes: dict[str, object], pointer: str
) -> None:
    answer = await post(client, "/bandit/policy/UPI/enable", changes)
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]


async def test_a_body_that_is_not_json_is_415(client: Client) -> None:
    answer = await client.post("/bandit/policy/UPI/enable", [KEY], b"{}")
    assert_problem(answer, 415, "unsupported-media-type")


# Before it is loaded


@pytest.mark.parametrize("path", [*(path for path, _ in DOCUMENTS), "/bandit/policy"])
async def test_nothing_is_told_before_it_is_known_what_is_set(
    world: World, client: Client, path: str
) -> None:
    world.tail.is_caught_up = False
    assert_problem(await get(client, path), 503, "log-unavailable")
    if path != "/bandit/policy":
        assert_problem(await put(client, path, dict(DOCUMENTS)[path]), 503, "log-unavailable")
    assert not world.topic.records


async def test_no_payment_is_taken_before_it_is_known_how_they_are_routed(
    world: World, client: Client
) -> None:
    world.tail.is_caught_up = False
    assert_problem(await client.post("/payments", HEADERS, body()), 503, "not-admitting")
    assert not world.handler.calls
    world.tail.is_caught_up = True
    assert (await client.post("/payments", HEADERS, body())).status == 201
