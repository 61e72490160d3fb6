"""`GET /scoring/debug` and `GET /bandit/state`: what routing knows, for people."""

import pytest
from msgspec.structs import replace

from api.app import create_app
from schemas.access import MerchantKey, digest
from schemas.circuit import CircuitView
from schemas.ids import GatewayId
from schemas.routing import Facts, Posterior
from schemas.routing_configuration import Affinity, BanditPolicy, RoutingConfiguration
from tests.api.client import Client
from tests.api.requests import assert_problem
from tests.api.stand_ins import ADMIN_KEY, World

KEY = ("X-Internal-Api-Key", ADMIN_KEY)
RAZORPAY, STRIPE = GatewayId("razorpay"), GatewayId("stripe")
KNOWN = Facts(
    configuration=RoutingConfiguration(version=7, bandits={"CARD": BanditPolicy(enabled=True)}),
    posteriors={
        (RAZORPAY, "CARD"): Posterior(alpha=90, beta=10, changed_at=179_000_000),
        (STRIPE, "CARD"): Posterior(alpha=95, beta=5),
        (STRIPE, "WALLET"): Posterior(alpha=5, beta=5),
    },
    health_version=12,
)
OPEN = {(STRIPE, "CARD"): CircuitView(status="OPEN")}


@pytest.fixture
def known(world: World) -> World:
    world.facts.known = KNOWN
    return world


async def test_every_term_of_every_score_is_shown(known: World, client: Client) -> None:
    answer = await client.get("/scoring/debug?payment_method=CARD&amount_minor=5000&issuer=411111")
    assert answer.status == 200, answer.body
    assert answer.json["strategy"] == "THOMPSON"
    for candidate in answer.json["candidates"]:
        assert sum(candidate["terms"].values()) == pytest.approx(candidate["score"])
    assert sum(candidate["propensity"] for candidate in answer.json["candidates"]) == pytest.approx(1)
    assert answer.json["versions"] == {"configuration": 7, "circuits": 0, "health": 12}


async def test_how_the_payments_of_one_merchant_are_routed_is_no_other_merchants_business(
    known: World,
) -> None:
    known.merchant_keys = [
        MerchantKey(merchant_id=name, sha256=digest(f"pgm_of-{name}".encode())) for name in ("m_001", "m_002")
    ]
    client = Client(create_app(known.services()))
    rewarded = replace(
        KNOWN.configuration, affinities=(Affinity(gateway=STRIPE, merchant_id="m_001", value=1),)
    )
    known.facts.known = replace(KNOWN, configuration=rewarded)
    everybodys = await client.get("/scoring/debug?payment_method=CARD")
    path = "/scoring/debug?payment_method=CARD&merchant_id=m_001"
    assert_problem(await client.get(path), 401, "unauthorized")
    assert_problem(await client.get(path, [("Authorization", "Bearer pgm_of-m_002")]), 403, "forbidden")
    for headers in ([KEY], [("Authorization", "Bearer pgm_of-m_001")]):
        told = await client.get(path, headers)
        assert told.status == everybodys.status == 200
        assert told.json["candidates"] != everybodys.json["candidates"]


async def test_where_merchants_have_no_keys_everybody_may_ask_for_one(known: World, client: Client) -> None:
    assert (await client.get("/scoring/debug?payment_method=CARD&merchant_id=m_001")).status == 200


async def test_what_operators_have_written_of_a_circuit_is_for_operators(
    known: World, client: Client
) -> None:
    forced = CircuitView(status="FORCED_OPEN", by="asha", note="it charges twice")
    known.facts.known = Facts(circuits={(STRIPE, "CARD"): forced})
    path = "/scoring/debug?payment_method=CARD"
    shown = [(await client.get(path, headers)).json["circuits"]["stripe"] for headers in ((), [KEY])]
    assert [(one["status"], one["by"]) for one in shown] == [("FORCED_OPEN", None), ("FORCED_OPEN", "asha")]


async def test_a_gateway_whose_circuit_is_open_is_shown_with_its_circuit(
    known: World, client: Client
) -> None:
    known.facts.known = Facts(circuits=OPEN)  # type: ignore[arg-type]
    answer = await client.get("/scoring/debug?payment_method=CARD")
    assert {"gateway": "stripe", "reason": "circuit_open", "rule": None} in answer.json["excluded"]
    assert answer.json["circuits"]["stripe"]["status"] == "OPEN"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "payment_method=CASH",
        "payment_method=CARD&amount_minor=0",
        "payment_method=CARD&amount_minor=x",
        "payment_method=CARD&currency=XXX",
        "payment_method=CARD&merchant_id=%20",
        "payment_method=CARD&colour=red",
    ],
)
async def test_a_query_that_makes_no_sense_is_refused_by_name(client: Client, query: str) -> None:
    assert_problem(await client.get(f"/scoring/debug?{query}"), 400, "malformed-query")


async def test_the_bandits_beliefs_are_shown_by_segment(known: World, client: Client) -> None:
    answer = await client.get("/bandit/state")
    assert answer.status == 200, answer.body
    cards, wallets = answer.json["segments"]
    assert (cards["segment"], cards["policy"]["enabled"]) == ("CARD", True)
    assert (wallets["segment"], wallets["policy"]["enabled"]) == ("WALLET", False)
    razorpay, stripe = cards["arms"]
    assert razorpay["low"] < razorpay["mean"] == 0.9 < razorpay["high"]
    assert razorpay["propensity"] + stripe["propensity"] == pytest.approx(1)
    assert razorpay["last_change_at"].startswith("2026-09-21")
    assert stripe["last_change_at"] is None


async def test_an_arm_is_frozen_while_its_circuit_is_open(known: World, client: Client) -> None:
    known.facts.known = Facts(posteriors=KNOWN.posteriors, circuits=OPEN)  # type: ignore[arg-type]
    answer = await client.get("/bandit/state?segment=CARD")
    (cards,) = answer.json["segments"]
    razorpay, stripe = cards["arms"]
    assert (stripe["is_frozen"], stripe["propensity"], stripe["circuit"]) == (True, None, "OPEN")
    assert razorpay["propensity"] == 1.0
