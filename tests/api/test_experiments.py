"""`/experiments`: who may start and lead them, what is refused, and how they look."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from api.answers import folded
from api.app import create_app
from schemas.access import MerchantKey, digest
from schemas.experiment import ConcludeExperiment, Evidence, PauseExperiment
from schemas.ids import ExperimentId
from schemas.payment import ExperimentAssigned
from schemas.routing import NO_FACTS
from tests.api.client import Answer, Client, Headers
from tests.api.requests import BODY, CARD, CARD_NUMBER, HEADERS, JSON, assert_problem, body
from tests.api.stand_ins import ADMIN_KEY, PAYMENT, REQUESTED, ROUTED, STARTED, World, records
from tests.commands.test_experiment import UNREAD

pytestmark = pytest.mark.time_jumps

KEY = ("X-Internal-Api-Key", ADMIN_KEY)
DESIGN = {
    "name": "cards to stripe",
    "variants": [
        {"name": "control", "weight": 1_000},
        {"name": "stripe-first", "weight": 1_000, "override": {"order": ["stripe"]}},
    ],
    "filter": {"payment_methods": ["CARD"]},
    "planned_customers": 10_000,
    "planned_days": 14,
}
BY = {"by": "asha", "note": "fees"}
EVIDENCE = Evidence(verdict="harmful", reasons=("fewer succeed",), figures={"stripe-first": {"rate": 0.5}})


async def post(client: Client, path: str, document: object = None, headers: Headers = (KEY,)) -> Answer:
    if document is None:
        return await client.post(path, headers, b"")
    return await client.post(path, [JSON, *headers], msgspec.json.encode(document))


async def started(client: Client, **changes: object) -> str:
    answer = await post(client, "/experiments", {**DESIGN, **BY, **changes})
    assert answer.status == 201, answer.body
    return str(answer.json["experiment_id"])


async def statuses(client: Client, query: str = "") -> dict[str, str]:
    answer = await client.get(f"/experiments{query}", [KEY])
    assert answer.status == 200, answer.body
    return {one["design"]["name"]: one["status"] for one in answer.json["experiments"]}


# Who may


@pytest.mark.parametrize("path", ["", "/exp_1/stop", "/exp_1/pause", "/exp_1/resume"])
@pytest.mark.parametrize("headers", [[], [("X-Internal-Api-Key", "a guess")]])
async def test_only_who_has_the_key_starts_and_leads_them(
    world: World, client: Client, path: str, headers: Headers
) -> None:
    assert_problem(await post(client, f"/experiments{path}", {**DESIGN, **BY}, headers), 401, "unauthorized")
    assert not world.experiments_topic.records


async def test_everybody_may_look_until_merchants_have_keys_and_then_operators_alone(
    world: World, client: Client
) -> None:
    experiment = await started(client, filter={"merchant_ids": ["m_001"]})
    paths = ("/experiments", f"/experiments/{experiment}")
    for path in paths:
        assert (await client.get(path)).status == 200
    world.merchant_keys = [MerchantKey(merchant_id="m_001", sha256=digest(b"pgm_of-m-001"))]
    client = Client(create_app(world.services()))
    for path in paths:
        assert (await client.get(path, [KEY])).status == 200
        stranger = await client.get(path)
        assert_problem(stranger, 401, "unauthorized")
        assert b"m_001" not in stranger.body


async def test_figures_are_for_everybody_and_tell_neither_filter_nor_note(client: Client) -> None:
    experiment = await started(client, filter={"merchant_ids": ["m_001"]})
    for figures in ("results", "winner"):
        answer = await client.get(f"/experiments/{experiment}/{figures}")
        assert answer.status == 200
        assert not {word for word in (b"m_001", b"fees", b"asha") if word in answer.body}


# Started


async def test_what_is_started_is_answered_as_it_is_shown_from_then_on(world: World, client: Client) -> None:
    answer = await post(client, "/experiments", {**DESIGN, **BY})
    assert (answer.status, answer.headers["etag"]) == (201, '"1"'), answer.body
    shown = await client.get(answer.headers["location"], [KEY])
    assert (shown.json, shown.headers["etag"]) == (answer.json, '"1"')
    assert {
        name: shown.json[name] for name in ("status", "started_by", "changed_by", "note", "evidence")
    } == {
        "status": "RUNNING",
        "started_by": "asha",
        "changed_by": "asha",
        "note": "fees",
        "evidence": None,
    }
    assert shown.json["shares"] == {"control": 0.1, "stripe-first": 0.1}
    assert shown.json["design"]["variants"][1]["override"] == {"order": ["stripe"]}
    assert shown.json["started_at"] == "2026-11-23T09:30:00Z"
    assert shown.json["planned_end"] == "2026-12-07T09:30:00Z"
    (running,) = world.experiments.current.running
    assert running.experiment_id == shown.json["experiment_id"]


async def test_the_same_post_again_finds_the_one_that_it_has_started(world: World, client: Client) -> None:
    first = await post(client, "/experiments", {**DESIGN, **BY})
    again = await post(client, "/experiments", {**DESIGN, "by": "ravi"})
    assert (again.status, again.json, again.headers["location"]) == (
        200,
        first.json,
        first.headers["location"],
    )
    assert len(world.experiments_topic.records) == 1


async def test_another_one_of_the_same_name_is_409_until_the_first_has_ended(client: Client) -> None:
    experiment = await started(client)
    answer = await post(client, "/experiments", {**DESIGN, **BY, "planned_days": 15})
    assert_problem(answer, 409, "experiment-conflict")
    assert experiment in answer.json["detail"]
    await post(client, f"/experiments/{experiment}/stop")
    assert await started(client, planned_days=15) != experiment


async def test_a_group_that_has_too_few_customers_left_is_409(client: Client) -> None:
    await started(client, group="checkout")
    halves = [{**variant, "weight": 5_000} for variant in DESIGN["variants"]]  # type: ignore[attr-defined]
    answer = await post(
        client, "/experiments", {**DESIGN, **BY, "name": "two", "variants": halves, "group": "checkout"}
    )
    assert_problem(answer, 409, "experiment-conflict")


async def test_in_a_group_the_shares_are_of_all_customers_too_and_the_arms_are_shown(client: Client) -> None:
    one = f"/experiments/{await started(client, group='checkout')}"
    shown = (await client.get(one, [KEY])).json
    assert shown["shares"] == {"control": 0.1, "stripe-first": 0.1}
    assert shown["allocation"] == [{"variant": "*", "first": 0, "end": 2_000}]
    assert [(arm["variant"], arm["end"]) for arm in shown["design"]["arms"]] == [
        ("control", 1_000),
        ("stripe-first", 2_000),
    ]
    await post(client, f"{one}/pause")
    resumed = (await post(client, f"{one}/resume", {"scale": 4})).json
    assert resumed["shares"] == {"control": 0.4, "stripe-first": 0.4}
    arms = {**DESIGN, **BY, "name": "two", "arms": shown["design"]["arms"]}
    assert_problem(await post(client, "/experiments", arms), 422, "invalid-body")


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"variants": DESIGN["variants"][:1]}, ["/variants"]),  # type: ignore[index]
        ({"variants": [{"name": "a", "weight": 10_001}] * 2}, ["/variants/0/weight"]),
        ({"planned_customers": 1}, ["/planned_customers"]),
        ({"planned_customers": 99}, ["/planned_customers"]),
        ({"moon": 1}, ["/moon"]),
        ({"by": ""}, ["/by"]),
        ({"metric": "moon"}, ["/metric"]),
        ({"filter": {"payment_methods": ["CASH"]}}, ["/filter/payment_methods/0"]),
        ({"guardrails": {"max_success_drop": 2}}, ["/guardrails/max_success_drop"]),
        (
            {
                "by": CARD_NUMBER,
                "filter": {"currencies": []},
                "variants": [
                    {"name": "a", "weight": 6_000},
                    {"name": "a", "weight": 6_000, "override": {"order": ["ghost"]}},
                ],
            },
            ["/variants/1/name", "/variants", "/variants/1/override/order/0", "/filter/currencies", "/by"],
        ),
        (
            {
                "filter": {"merchant_ids": ["m_001"]},
                "variants": [
                    {"name": "a", "weight": 1},
                    {"name": "b", "weight": 1, "override": {"retry": {"latency_budget_ms": 60_000}}},
                ],
            },
            ["/variants/1/override/retry/latency_budget_ms"],
        ),
    ],
)
async def test_what_is_wrong_is_told_by_its_pointers(
    world: World, client: Client, changes: dict[str, object], pointers: list[str]
) -> None:
    answer = await post(client, "/experiments", {**DESIGN, **BY, **changes})
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == pointers
    assert CARD_NUMBER.encode() not in answer.body
    assert not world.experiments_topic.records


# Led


async def test_it_is_paused_resumed_with_more_customers_and_stopped(world: World, client: Client) -> None:
    one = f"/experiments/{await started(client)}"
    paused = await post(client, f"{one}/pause", {"by": "ravi", "note": "a holiday"})
    assert (paused.status, paused.json["status"], paused.headers["etag"]) == (200, "PAUSED", '"2"')
    assert (paused.json["changed_by"], paused.json["note"]) == ("ravi", "a holiday")
    assert paused.json["started_by"] == "asha"
    assert world.experiments.current.running == ()
    resumed = await post(client, f"{one}/resume", {"by": "asha", "scale": 5})
    assert (resumed.json["status"], resumed.json["shares"]) == (
        "RUNNING",
        {"control": 0.5, "stripe-first": 0.5},
    )
    stopped = await post(client, f"{one}/stop")
    assert (stopped.json["status"], stopped.json["changed_by"]) == ("STOPPED", "operator")
    assert (await client.get(one, [KEY])).json == stopped.json


async def test_what_is_as_it_should_be_is_answered_and_not_written_again(
    world: World, client: Client
) -> None:
    one = f"/experiments/{await started(client)}"
    assert (await post(client, f"{one}/resume")).status == 200
    for _ in range(2):
        assert (await post(client, f"{one}/pause")).json["status"] == "PAUSED"
    for _ in range(2):
        assert (await post(client, f"{one}/stop")).json["status"] == "STOPPED"
    assert len(world.experiments_topic.records) == 3


@pytest.mark.parametrize("path", ["pause", "resume"])
async def test_an_ended_one_stays_ended(client: Client, path: str) -> None:
    one = f"/experiments/{await started(client)}"
    await post(client, f"{one}/stop")
    assert_problem(await post(client, f"{one}/{path}"), 409, "experiment-conflict")


@pytest.mark.parametrize(
    ("path", "document", "pointer"),
    [
        ("resume", {"scale": 0}, "/scale"),
        ("resume", {"scale": 10_001}, "/scale"),
        ("pause", {"scale": 1}, "/scale"),
        ("pause", {"by": CARD_NUMBER}, "/by"),
        ("stop", {"note": "a\nb"}, "/note"),
    ],
)
async def test_a_wrong_word_about_one_is_named_by_its_pointer(
    world: World, client: Client, path: str, document: object, pointer: str
) -> None:
    one = f"/experiments/{await started(client)}"
    answer = await post(client, f"{one}/{path}", document)
    assert_problem(answer, 422, "invalid-body")
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]
    assert len(world.experiments_topic.records) == 1


async def test_a_scale_while_it_runs_is_409(client: Client) -> None:
    one = f"/experiments/{await started(client)}"
    assert_problem(await post(client, f"{one}/resume", {"scale": 2}), 409, "experiment-conflict")


async def test_one_that_nobody_knows_is_404(client: Client) -> None:
    assert_problem(await client.get("/experiments/exp_1", [KEY]), 404, "experiment-not-found")
    for path in ("stop", "pause", "resume"):
        assert_problem(await post(client, f"/experiments/exp_1/{path}"), 404, "experiment-not-found")


async def test_one_that_this_process_is_too_old_for_is_409_and_not_listed(
    world: World, client: Client
) -> None:
    await started(client)
    (record,) = world.experiments_topic.records
    world.experiments_tail.take(replace(record, event=UNREAD, position=replace(record.position, offset=1)))
    assert_problem(
        await client.get(f"/experiments/{UNREAD.experiment_id}", [KEY]), 409, "experiment-conflict"
    )
    assert list(await statuses(client)) == [DESIGN["name"]]


async def test_the_numbers_that_somebody_acted_on_are_shown(world: World, client: Client) -> None:
    experiment = ExperimentId(await started(client))
    await world.experiments.obey(
        PauseExperiment(experiment_id=experiment, by="analyzer", note="", evidence=EVIDENCE), "req_1"
    )
    paused = (await client.get(f"/experiments/{experiment}", [KEY])).json
    assert (paused["status"], paused["changed_by"]) == ("PAUSED", "analyzer")
    assert paused["evidence"] == msgspec.json.decode(msgspec.json.encode(EVIDENCE))
    conclude = ConcludeExperiment(
        experiment_id=experiment, follows_version=2, by="analyzer", evidence=EVIDENCE
    )
    await world.experiments.obey(conclude, "req_2")
    concluded = (await client.get(f"/experiments/{experiment}", [KEY])).json
    assert (concluded["status"], concluded["planned_end"]) == ("CONCLUDED", None)


async def test_stopping_a_harmful_one_keeps_the_numbers_and_its_results_tell_them(
    world: World, client: Client
) -> None:
    experiment = ExperimentId(await started(client))
    await world.experiments.obey(
        PauseExperiment(experiment_id=experiment, by="analyzer", note="", evidence=EVIDENCE), "req_1"
    )
    stopped = (await post(client, f"/experiments/{experiment}/stop")).json
    expected = ("STOPPED", msgspec.json.decode(msgspec.json.encode(EVIDENCE)))
    assert (stopped["status"], stopped["evidence"]) == expected
    winner = (await client.get(f"/experiments/{experiment}/winner")).json
    assert (winner["status"], winner["acted_on"]) == expected
    assert winner["verdict"] == "collecting", "nobody concluded it: as things stand"


# Shown


async def test_they_are_listed_the_newest_first_and_by_status(client: Client) -> None:
    first = await started(client, name="first")
    await started(client, name="second")
    third = await started(client, name="third")
    await post(client, f"/experiments/{first}/pause")
    await post(client, f"/experiments/{third}/stop")
    assert await statuses(client) == {"third": "STOPPED", "second": "RUNNING", "first": "PAUSED"}
    assert list(await statuses(client)) == ["third", "second", "first"]
    assert await statuses(client, "?status=PAUSED") == {"first": "PAUSED"}
    assert await statuses(client, "?status=CONCLUDED") == {}


async def test_they_are_listed_in_pages(client: Client) -> None:
    for number in range(5):
        await started(client, name=f"e{number}")
    found, query = [], "?limit=2"
    while True:
        page = (await client.get(f"/experiments{query}", [KEY])).json
        assert len(page["experiments"]) <= 2
        found += [one["design"]["name"] for one in page["experiments"]]
        if page["next"] is None:
            break
        query = f"?limit=2&after={page['next']}"
    assert found == ["e4", "e3", "e2", "e1", "e0"]


@pytest.mark.parametrize("query", ["status=running", "limit=0", "limit=1000", "after=exp_1"])
async def test_a_query_that_means_nothing_is_400(client: Client, query: str) -> None:
    assert_problem(await client.get(f"/experiments?{query}", [KEY]), 400, "malformed-query")


async def test_what_has_not_changed_is_304(client: Client) -> None:
    one = f"/experiments/{await started(client)}"
    assert (await client.get(one, [KEY, ("If-None-Match", '"1"')])).status == 304
    await post(client, f"{one}/pause")
    assert (await client.get(one, [KEY, ("If-None-Match", '"1"')])).status == 200


async def test_another_method_is_405_and_is_told_which_there_are(client: Client) -> None:
    answer = await client.request("DELETE", "/experiments", [KEY])
    assert_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


# Before they are loaded, and without the log


async def test_nothing_is_told_and_no_payment_taken_before_it_is_known_which_there_are(
    world: World, client: Client
) -> None:
    world.experiments_tail.is_caught_up = False
    assert_problem(await client.get("/experiments", [KEY]), 503, "log-unavailable")
    assert_problem(await post(client, "/experiments", {**DESIGN, **BY}), 503, "log-unavailable")
    assert_problem(await client.post("/payments", HEADERS, body()), 503, "not-admitting")
    assert not world.experiments_topic.records


async def test_while_the_log_is_away_they_are_shown_and_none_is_started(world: World, client: Client) -> None:
    experiment = await started(client)
    world.experiments_topic.is_available = False
    assert_problem(await post(client, f"/experiments/{experiment}/stop"), 503, "log-unavailable")
    assert await statuses(client) == {DESIGN["name"]: "RUNNING"}


async def test_what_is_not_heard_of_in_time_is_503_and_may_be_asked_again(
    world: World, client: Client
) -> None:
    world.experiments_tail.pause()
    assert_problem(await post(client, "/experiments", {**DESIGN, **BY}), 503, "unconfirmed")
    world.experiments_tail.resume()
    assert (await post(client, "/experiments", {**DESIGN, **BY})).status == 200
    assert len(world.experiments_topic.records) == 1


# In routes


async def test_the_dry_run_tells_the_experiment_and_the_variant_of_the_customer(
    world: World, client: Client
) -> None:
    halves = [{**variant, "weight": 5_000} for variant in DESIGN["variants"]]  # type: ignore[attr-defined]
    experiment = await started(client, variants=halves)
    world.facts.known = replace(NO_FACTS, experiments=world.experiments.current.running)
    seen: dict[Any, set[str]] = {}
    for number in range(20):
        payment = {
            **BODY,
            "payment_method": "CARD",
            "instrument": CARD,
            "customer_id": f"cust_{number}",
        }
        route = (await post(client, "/routing-rules/dry-run", payment)).json["route"]
        assert route["experiment"] == experiment
        seen.setdefault(route["variant"], set()).add(route["candidates"][0]["gateway"])
    assert seen == {"control": {"razorpay"}, "stripe-first": {"stripe"}}
    upi = (await post(client, "/routing-rules/dry-run", BODY)).json["route"]
    assert (upi["experiment"], upi["variant"]) == (None, None)


async def test_a_routing_decision_tells_the_experiment_that_the_payment_is_in(
    world: World, client: Client
) -> None:
    path = f"/payments/{PAYMENT}/routing-decision"
    assert (await client.get(path)).json["experiment"] is None
    assigned = ExperimentAssigned(experiment_id="exp_1", variant="stripe-first", treatment=True)
    world.reader.reading.history = folded(records(REQUESTED, assigned, ROUTED, STARTED))
    decision = (await client.get(path)).json
    assert (decision["experiment"], decision["variant"]) == ("exp_1", "stripe-first")
