"""`POST /routing-rules/dry-run`: the route that a payment would get, without making it."""

from typing import Any

import msgspec
import pytest

from tests.api.client import Answer, Client
from tests.api.requests import BODY, CARD, CARD_NUMBER, JSON, assert_problem
from tests.api.stand_ins import ADMIN_KEY, World
from tests.api.test_configuration import RULES, put

KEY = ("X-Internal-Api-Key", ADMIN_KEY)
CARDS: dict[str, Any] = {"payment_method": "CARD", "instrument": CARD}


async def dry_run(client: Client, *headers: tuple[str, str], **changes: object) -> Answer:
    return await client.post(
        "/routing-rules/dry-run", [JSON, KEY, *headers], msgspec.json.encode({**BODY, **changes})
    )


def gateways_of(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [candidate["gateway"] for candidate in answer.json["route"]["candidates"]]


def excluded_of(answer: Answer) -> set[tuple[str, str, str | None]]:
    return {(one["gateway"], one["reason"], one["rule"]) for one in answer.json["route"]["excluded"]}


async def test_without_rules_it_tells_the_route_as_it_is_scored(world: World, client: Client) -> None:
    answer = await dry_run(client, **CARDS)
    assert gateways_of(answer) == ["razorpay", "stripe"]
    assert answer.json["configuration_version"] == 0
    assert answer.json["route"]["strategy"] == "SCORE"
    assert answer.json["route"]["decision"]["segment"] == "CARD"
    assert answer.json["route"]["candidates"][0]["score"] is not None
    assert not world.handler.calls
    assert not world.topic.records


async def test_it_tells_why_a_gateway_cannot_take_the_payment(client: Client) -> None:
    answer = await dry_run(client, currency="USD")
    assert gateways_of(answer) == []
    assert excluded_of(answer) == {("razorpay", "currency", None), ("stripe", "method", None)}


async def test_it_obeys_the_rules_in_force_and_names_them(client: Client) -> None:
    exclusion = {"id": "no-razorpay", "then": {"type": "exclude", "gateways": ["razorpay"]}}
    await put(client, "/routing-rules", {**RULES, "rules": [exclusion, *RULES["rules"]]})
    answer = await dry_run(client, **CARDS, merchant_id="m_002")
    assert gateways_of(answer) == ["stripe"]
    assert excluded_of(answer) == {("razorpay", "rule", "no-razorpay")}
    assert answer.json["configuration_version"] == 1
    assert answer.json["route"]["decision"]["versions"]["configuration"] == 1
    pinned = await dry_run(client, **CARDS)
    assert gateways_of(pinned) == []
    assert pinned.json["route"]["decision"]["rule"]["id"] == "pinned"


async def test_weights_and_segments_are_those_in_force(client: Client) -> None:
    affinity = {"gateway": "stripe", "value": 1, "payment_method": "CARD"}
    await put(client, "/scoring/weights", {"by": "asha", "weights": {}, "affinities": [affinity]})
    await put(client, "/bandit/segmentation", {"by": "asha", "dimensions": ["payment_method", "currency"]})
    answer = await dry_run(client, **CARDS)
    assert gateways_of(answer) == ["stripe", "razorpay"]
    assert answer.json["route"]["decision"]["segment"] == "CARD:INR"


async def test_proposed_rules_are_tried_instead_of_those_in_force_and_not_set(
    world: World, client: Client
) -> None:
    await put(client, "/routing-rules", RULES)
    proposed = [
        {"id": "all", "then": {"type": "prefer", "gateways": ["stripe"]}},
        {
            "id": "app",
            "then": {"type": "pin", "gateway": "stripe"},
            "when": {"attributes": {"channel": ["app"]}},
        },
    ]
    answer = await dry_run(client, **CARDS, rules=proposed)
    assert gateways_of(answer) == ["stripe", "razorpay"]
    assert answer.json["configuration_version"] is None
    assert answer.json["route"]["decision"]["rule"]["id"] == "all"
    assert [warning["pointer"] for warning in answer.json["warnings"]] == ["/rules/1"]
    assert len(world.topic.records) == 1


async def test_a_split_tells_the_share_of_each(client: Client) -> None:
    halves = {"id": "halves", "then": {"type": "split", "weights": {"razorpay": 1, "stripe": 3}}}
    answer = await dry_run(client, **CARDS, rules=[halves])
    shares = {one["gateway"]: one["propensity"] for one in answer.json["route"]["candidates"]}
    assert shares == {"razorpay": 0.25, "stripe": 0.75}


async def test_context_headers_are_what_rules_look_at(client: Client) -> None:
    rule = {
        "id": "app",
        "then": {"type": "exclude", "gateways": ["razorpay"]},
        "when": {"attributes": {"channel": ["app"]}},
    }
    assert gateways_of(await dry_run(client, ("X-Context-Channel", "app"), **CARDS, rules=[rule])) == [
        "stripe"
    ]
    assert gateways_of(await dry_run(client, **CARDS, rules=[rule])) == ["razorpay", "stripe"]


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"currency": "XXX"}, ["/currency"]),
        ({"amount_minor": 0}, ["/amount_minor"]),
        ({"customer_id": CARD_NUMBER}, ["/customer_id"]),
        (
            {"currency": "XXX", "rules": [{"id": "a", "then": {"type": "pin", "gateway": "ghost"}}]},
            ["/currency", "/rules/0/then/gateway"],
        ),
    ],
)
async def test_a_payment_or_rules_that_would_be_refused_are_refused_alike(
    client: Client, changes: dict[str, object], pointers: list[str]
) -> None:
    answer = await dry_run(client, **changes)
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == pointers
    assert CARD_NUMBER.encode() not in answer.body
